//! The counter against a model that forgets nothing.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// 64 parts of a second.
const WINDOW: Duration = Duration::from_secs(64);
const T0: Duration = Duration::from_secs(64 * 1_000_000);

fn counter() -> Counter {
    Counter::over(WINDOW, T0)
}

fn taken(counter: &Counter) -> u64 {
    let (reserved, spent) = counter.reserved_and_spent();
    reserved + spent
}

#[test]
fn the_limit_is_reached_exactly() {
    let counter = counter();
    for left in (0..10).rev() {
        assert_eq!(counter.spend(T0, 1, 10).unwrap().left, left);
    }
    assert_eq!(counter.spend(T0, 1, 10), Err(Untaken::Full));
    assert_eq!(
        counter.spend(T0, 2, 11),
        Err(Untaken::Full),
        "not in part either"
    );
    assert_eq!(
        counter.spend(T0, 1, 11).unwrap().left,
        0,
        "the limit was raised"
    );
    assert_eq!(counter.spend(T0, 1, 5), Err(Untaken::Full), "and lowered");
    assert_eq!(counter.reserved_and_spent(), (0, 11));
}

#[test]
fn what_was_spent_is_forgotten_a_part_late_and_never_early() {
    let counter = counter();
    let last = T0 + SECOND - Duration::from_nanos(1);
    counter.spend(last, 10, 10).unwrap();
    for early in [T0 + WINDOW, last + WINDOW] {
        assert_eq!(counter.spend(early, 1, 10), Err(Untaken::Full), "{early:?}");
    }
    assert_eq!(counter.fits_in(T0 + WINDOW, 1, 10), Some(SECOND));
    assert!(counter.spend(T0 + WINDOW + SECOND, 10, 10).is_ok());
}

#[test]
fn it_says_when_there_is_room() {
    let counter = counter();
    for second in 0..10 {
        counter.spend(T0 + SECOND * second, 1, 10).unwrap();
    }
    let now = T0 + SECOND * 20;
    for amount in 1..=10 {
        let wait = counter.fits_in(now, amount, 10).unwrap();
        assert_eq!(wait, WINDOW + SECOND * amount as u32 - SECOND * 20);
    }
    assert_eq!(counter.fits_in(now, 11, 10), None, "it never fits");
    assert_eq!(counter.fits_in(now, 1, 11), Some(Duration::ZERO));
    assert_eq!(counter.forgets_in(now), SECOND * 54);
    counter.reserve(now, 10, 20).unwrap();
    assert_eq!(counter.fits_in(now, 1, 10), None, "reservations do not age");
}

#[test]
fn a_reservation_does_not_age() {
    let counter = counter();
    counter.reserve(T0, 8, 10).unwrap();
    let late = T0 + WINDOW * 5;
    assert_eq!(counter.reserve(late, 3, 10), Err(Untaken::Full));
    assert_eq!(counter.reserved_and_spent(), (8, 0));
    counter.settle(late, 8, 5);
    assert_eq!(counter.reserved_and_spent(), (0, 5));
    assert_eq!(
        counter.spend(late + WINDOW, 6, 10),
        Err(Untaken::Full),
        "it was spent late"
    );
    assert!(counter.spend(late + WINDOW + SECOND, 10, 10).is_ok());
}

#[test]
fn a_reservation_can_settle_to_more() {
    let counter = counter();
    counter.reserve(T0, 8, 10).unwrap();
    counter.settle(T0, 8, 25);
    assert_eq!(counter.reserved_and_spent(), (0, 25));
    assert_eq!(counter.reserve(T0 + WINDOW, 1, 10), Err(Untaken::Full));
    assert!(
        counter.reserve(T0 + WINDOW + SECOND, 1, 10).is_ok(),
        "the debt is forgotten too"
    );
}

#[test]
fn what_is_given_back_leaves_nothing() {
    let counter = counter();
    counter.reserve(T0, 8, 10).unwrap();
    counter.release(8);
    let stamp = counter.spend(T0, 10, 10).unwrap().stamp;
    counter.unspend(stamp, 10);
    assert_eq!(counter.reserved_and_spent(), (0, 0));
    let stamp = counter.spend(T0, 10, 10).unwrap().stamp;
    counter.spend(T0 + WINDOW * 2, 3, 10).unwrap();
    counter.unspend(stamp, 10);
    assert_eq!(
        counter.reserved_and_spent(),
        (0, 3),
        "what was forgotten is not taken back"
    );
}

#[test]
fn time_that_steps_back_counts_as_now() {
    let counter = counter();
    counter.spend(T0 + WINDOW, 1, 10).unwrap();
    counter.spend(T0, 1, 10).unwrap();
    assert_eq!(counter.reserved_and_spent(), (0, 2));
    counter.spend(T0 + WINDOW + SECOND * 64, 1, 10).unwrap();
    assert_eq!(
        counter.reserved_and_spent(),
        (0, 3),
        "both count as of the later time"
    );
}

#[test]
fn a_retired_counter_takes_nothing() {
    let counter = counter();
    counter.reserve(T0, 1, 10).unwrap();
    assert!(!counter.retire(T0 + WINDOW * 2), "something is reserved");
    counter.settle(T0, 1, 1);
    assert!(!counter.retire(T0 + WINDOW), "something was spent");
    assert!(counter.retire(T0 + WINDOW * 4));
    assert_eq!(
        counter.reserve(T0 + WINDOW * 5, 1, 10),
        Err(Untaken::Retired)
    );
    assert_eq!(counter.spend(T0 + WINDOW * 5, 1, 10), Err(Untaken::Retired));
    assert_eq!(counter.reserved_and_spent(), (0, 0));
}

#[test]
fn without_a_window_only_reservations_count() {
    let counter = Counter::of_reservations();
    counter.reserve(T0, 1, 2).unwrap();
    counter.reserve(T0, 1, 2).unwrap();
    assert_eq!(counter.reserve(T0 + WINDOW * 9, 1, 2), Err(Untaken::Full));
    assert_eq!(counter.fits_in(T0, 1, 2), None);
    counter.settle(T0, 1, 1);
    counter.release(1);
    assert_eq!(counter.reserved_and_spent(), (0, 0));
    assert!(counter.retire(T0));
}

#[test]
fn times_at_the_ends_of_their_range_are_fine() {
    for window in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let counter = Counter::over(window, Duration::ZERO);
        for now in [Duration::ZERO, T0, Duration::MAX] {
            assert!(counter.spend(now, 1, 10).is_ok());
            counter.reserve(now, 1, 10).unwrap();
            counter.settle(now, 1, 2);
            let _ = counter.fits_in(now, 10, 10);
            let _ = counter.forgets_in(now);
        }
    }
}

/// What was spent and when, forever, in whole parts: when the counter should have let
/// go of it, no sooner and no later.
#[derive(Clone, Default)]
struct Model {
    spent: Vec<(u64, u64)>,
    reserved: u64,
    newest: u64,
}

impl Model {
    fn turn(&mut self, now: Duration) {
        self.newest = self.newest.max(now.as_secs());
    }

    fn taken(&self) -> u64 {
        let live = self
            .spent
            .iter()
            .filter(|(part, _)| part + LIVE > self.newest);
        live.map(|(_, amount)| amount).sum::<u64>() + self.reserved
    }
}

/// A generator that is good enough to make test cases: SplitMix64 (Steele, Lea, Flood,
/// 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % bound
    }
}

/// A counter and its model, put through the same.
struct Pair {
    counter: Counter,
    model: Model,
    limit: u64,
    random: Random,
    reservations: Vec<u64>,
    /// And the places of what was spent in the model.
    stamps: Vec<(Stamp, usize)>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let (limit, mut model) = (1 + random.below(100), Model::default());
        model.turn(T0);
        Self {
            counter: counter(),
            model,
            limit,
            random,
            reservations: Vec::new(),
            stamps: Vec::new(),
        }
    }

    fn any<T>(random: &mut Random, of: &mut Vec<T>) -> Option<T> {
        let place = random.below(of.len().max(1) as u64) as usize;
        (!of.is_empty()).then(|| of.swap_remove(place))
    }

    fn step(&mut self, at: Duration, amount: u64) {
        match self.random.below(5) {
            0 => self.spend(at, amount),
            1 => self.reserve(at, amount),
            2 => {
                let reserved = Self::any(&mut self.random, &mut self.reservations);
                let Some(reserved) = reserved else { return };
                self.model.turn(at);
                self.counter.settle(at, reserved, amount);
                self.model.reserved -= reserved;
                self.model.spent.push((self.model.newest, amount));
            }
            3 => {
                let reserved = Self::any(&mut self.random, &mut self.reservations);
                let Some(reserved) = reserved else { return };
                self.counter.release(reserved);
                self.model.reserved -= reserved;
            }
            _ => {
                let stamp = Self::any(&mut self.random, &mut self.stamps);
                let Some((stamp, index)) = stamp else { return };
                let (part, amount) = self.model.spent[index];
                self.counter.unspend(stamp, amount);
                if part + LIVE > self.model.newest {
                    self.model.spent[index].1 = 0;
                }
            }
        }
    }

    fn spend(&mut self, at: Duration, amount: u64) {
        self.model.turn(at);
        let fits = self.model.taken() + amount <= self.limit;
        let spent = self.counter.spend(at, amount, self.limit);
        assert_eq!(spent.is_ok(), fits);
        if let Ok(taken) = spent {
            self.model.spent.push((self.model.newest, amount));
            self.stamps.push((taken.stamp, self.model.spent.len() - 1));
            assert_eq!(taken.left, self.limit - self.model.taken());
        }
    }

    fn reserve(&mut self, at: Duration, amount: u64) {
        self.model.turn(at);
        let least = self.random.below(amount + 1);
        let (taken, limit) = (self.model.taken(), self.limit);
        let wanted = match () {
            () if taken + amount <= limit => Some(amount),
            () if taken + least <= limit => Some(limit),
            () => None,
        };
        let reserved = self.counter.reserve_or_close(at, amount, least, limit);
        assert_eq!(reserved.ok().map(|taken| taken.amount), wanted);
        if let Some(amount) = wanted {
            self.model.reserved += amount;
            self.reservations.push(amount);
        }
    }

    fn compare(&self, at: Duration, amount: u64) {
        assert_eq!(taken(&self.counter), self.model.taken());
        let (reserved, _) = self.counter.reserved_and_spent();
        assert_eq!(reserved, self.model.reserved);
        let wait = self.counter.fits_in(at, amount, self.limit);
        let Some(wait) = wait.filter(|wait| !wait.is_zero()) else {
            return;
        };
        let fits = |at: Duration| {
            let mut later = self.model.clone();
            later.turn(at);
            later.taken() + amount <= self.limit
        };
        assert!(fits(at + wait) && !fits(at + wait - Duration::from_nanos(1)));
    }
}

#[test]
fn any_sequence_agrees_with_the_model() {
    for seed in 0..300 {
        let mut pair = Pair::new(seed);
        let pace = [50, 1_000, 40_000][pair.random.below(3) as usize];
        let mut now = T0;
        for _ in 0..1_000 {
            // Mostly forward, at times back a little, as two workers' clocks would be.
            now += Duration::from_millis(pair.random.below(pace));
            let back = pair.random.below(2) * pair.random.below(1_500);
            let at = now.saturating_sub(Duration::from_millis(back));
            let amount = pair.random.below(20);
            pair.step(at, amount);
            pair.compare(at, amount);
            pair.model.turn(at);
        }
    }
}

#[test]
fn no_window_wherever_it_begins_holds_more_than_the_limit() {
    for seed in 0..50 {
        let mut random = Random(1_000 + seed);
        let (counter, limit) = (counter(), 20);
        let (mut now, mut admitted) = (T0, Vec::new());
        for _ in 0..3_000 {
            now += Duration::from_micros(random.below(6_000_000));
            let amount = 1 + random.below(3);
            if counter.spend(now, amount, limit).is_ok() {
                admitted.push((now, amount));
            }
        }
        for (first, _) in &admitted {
            let within = admitted
                .iter()
                .filter(|(at, _)| at >= first && *at < *first + WINDOW);
            let total: u64 = within.map(|(_, amount)| amount).sum();
            assert!(
                total <= limit,
                "seed {seed}: {total} in the window from {first:?}"
            );
        }
    }
}
