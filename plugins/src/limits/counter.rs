//! What one key has taken of one limit: exactly, with every core on it at once.
//!
//! A [`Counter`] holds one number that is compared with the limit, the amount taken:
//! what was spent within the window and what is reserved. Taking more is one
//! compare-and-swap on it, so that no two requests can both take the last of a budget.
//!
//! **The window slides in steps.** A window is cut into [`PARTS`] parts, and what is
//! spent is recorded in the part of the time at hand. A part is let go when it lies
//! wholly outside the window, so no window of the configured length, wherever it
//! begins, ever sees more than the limit; the price is that what was spent counts for
//! up to a sixty-fourth of the window too long. Time never steps back for a counter: an
//! event that comes late counts as of the newest part.
//!
//! **A reservation does not age.** It counts from the moment it is made until it is
//! settled, however long that takes, and what it settles to counts from then on as spent
//! now.
//!
//! The amount taken is never less than what is recorded and reserved together, at no
//! point between two steps: it grows before a record does, and shrinks after.

#[cfg(test)]
mod race;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// How many parts a window is cut into.
pub const PARTS: u64 = 64;

/// Parts that can reach into a window: it may begin in the middle of one.
const LIVE: u64 = PARTS + 1;

/// What the amount taken reads when the counter is no longer to be used. No limit is
/// so large.
const RETIRED: u64 = u64::MAX;

/// What one key has taken.
#[derive(Debug)]
pub struct Counter {
    taken: AtomicU64,
    /// None where nothing is spent and all is reserved: concurrency has no window.
    window: Option<Box<Window>>,
}

/// What was spent, by when.
#[derive(Debug)]
struct Window {
    /// Length of a part, in nanoseconds.
    part_ns: u64,
    /// Number of the newest part since the epoch. Those before it that still count are
    /// the [`LIVE`] - 1 before it.
    newest: AtomicU64,
    /// Held while parts are let go, once per part, and to take a record back.
    turning: Mutex<()>,
    /// What was spent in each part, at the part's number modulo [`LIVE`].
    parts: [AtomicU64; LIVE as usize],
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// It would have been more than the limit.
    Full,
    /// The counter was idle and has been removed: there is a new one for the key.
    Retired,
}

/// When something was spent, to take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

/// Taken, and how much of the limit that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How much.
    pub amount: u64,
    /// When, for [`Counter::unspend`].
    pub stamp: Stamp,
    /// What is left of the limit.
    pub left: u64,
}

impl Counter {
    /// A counter without a window: what is reserved counts, nothing is ever spent.
    pub fn of_reservations() -> Self {
        Self {
            taken: AtomicU64::new(0),
            window: None,
        }
    }

    /// A counter over a sliding window.
    pub fn over(window: Duration, now: Duration) -> Self {
        let part_ns = nanoseconds(window).div_ceil(PARTS).max(1);
        Self {
            taken: AtomicU64::new(0),
            window: Some(Box::new(Window {
                part_ns,
                newest: AtomicU64::new(nanoseconds(now) / part_ns),
                turning: Mutex::new(()),
                parts: [const { AtomicU64::new(0) }; LIVE as usize],
            })),
        }
    }

    /// Spends `amount` now if `limit` allows it.
    pub fn spend(&self, now: Duration, amount: u64, limit: u64) -> Result<Taken, Untaken> {
        let taken = self.reserve(now, amount, limit)?;
        let Some(window) = &self.window else {
            return Ok(taken);
        };
        let stamp = window.record(amount);
        Ok(Taken { stamp, ..taken })
    }

    /// Takes back what was spent, if it still counts.
    pub fn unspend(&self, stamp: Stamp, amount: u64) {
        let Some(window) = &self.window else {
            return self.release(amount);
        };
        // Nothing is let go meanwhile, so the part is either still there or not.
        let _turning = window.turning.lock();
        let age = window.newest.load(Ordering::Acquire).wrapping_sub(stamp.0);
        if age < LIVE {
            window.part(stamp.0).fetch_sub(amount, Ordering::AcqRel);
            self.taken.fetch_sub(amount, Ordering::AcqRel);
        }
    }

    /// Reserves `amount` if `limit` allows it, until [`release`](Self::release) or
    /// [`settle`](Self::settle) is called with the same amount.
    pub fn reserve(&self, now: Duration, amount: u64, limit: u64) -> Result<Taken, Untaken> {
        self.reserve_or_close(now, amount, amount, limit)
    }

    /// Reserves `amount` if `limit` allows it. If it allows `least` only, that closes the
    /// counter: as much as the limit is reserved on top, so that nothing else is let in
    /// until this is settled, whatever else is. Among all that is reserved there is never
    /// more than one reservation that may turn out too small.
    pub fn reserve_or_close(
        &self,
        now: Duration,
        amount: u64,
        least: u64,
        limit: u64,
    ) -> Result<Taken, Untaken> {
        let newest = self.turn(now);
        let mut taken = self.taken.load(Ordering::Acquire);
        loop {
            if taken == RETIRED {
                return Err(Untaken::Retired);
            }
            let room = limit.saturating_sub(taken);
            let (amount, left) = if taken.saturating_add(amount) <= limit {
                (amount, room - amount)
            } else if taken.saturating_add(least) <= limit {
                (limit, room - least)
            } else {
                return Err(Untaken::Full);
            };
            let swapped = self.taken.compare_exchange_weak(
                taken,
                taken + amount,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swapped {
                Ok(_) => {
                    return Ok(Taken {
                        amount,
                        stamp: Stamp(newest),
                        left,
                    });
                }
                Err(other) => taken = other,
            }
        }
    }

    /// Gives a reservation back.
    pub fn release(&self, amount: u64) {
        self.taken.fetch_sub(amount, Ordering::AcqRel);
    }

    /// Replaces a reservation by what was really used, spent now, be it less or more.
    pub fn settle(&self, now: Duration, reserved: u64, used: u64) {
        let Some(window) = &self.window else {
            return self.release(reserved);
        };
        self.turn(now);
        if let Some(more) = used.checked_sub(reserved) {
            self.taken.fetch_add(more, Ordering::AcqRel);
        }
        window.record(used);
        if let Some(less) = reserved.checked_sub(used) {
            self.taken.fetch_sub(less, Ordering::AcqRel);
        }
    }

    /// How long until enough has been let go for `amount` to fit into `limit`; none if
    /// what is reserved stands in its way.
    pub fn fits_in(&self, now: Duration, amount: u64, limit: u64) -> Option<Duration> {
        let window = self.window.as_ref()?;
        let newest = self.turn(now);
        let taken = self.taken.load(Ordering::Acquire);
        let mut excess = taken.saturating_add(amount).saturating_sub(limit);
        if excess == 0 {
            return Some(Duration::ZERO);
        }
        for number in newest.saturating_sub(PARTS)..=newest {
            let spent = window.part(number).load(Ordering::Acquire);
            excess = excess.saturating_sub(spent);
            if excess == 0 {
                return Some(window.gone_at(number).saturating_sub(now));
            }
        }
        None
    }

    /// How long until nothing that was spent counts any more.
    pub fn forgets_in(&self, now: Duration) -> Duration {
        let Some(window) = &self.window else {
            return Duration::ZERO;
        };
        let newest = window.newest.load(Ordering::Acquire);
        let mut numbers = (newest.saturating_sub(PARTS)..=newest).rev();
        let last = numbers.find(|number| window.part(*number).load(Ordering::Acquire) > 0);
        last.map_or(Duration::ZERO, |number| {
            window.gone_at(number).saturating_sub(now)
        })
    }

    /// What is reserved, and what was spent and still counts. Exact when nothing
    /// happens meanwhile.
    pub fn reserved_and_spent(&self) -> (u64, u64) {
        let spent = match &self.window {
            Some(window) => window.spent(),
            None => 0,
        };
        match self.taken.load(Ordering::Acquire) {
            RETIRED => (0, 0),
            taken => (taken.saturating_sub(spent), spent),
        }
    }

    /// Puts the counter out of use if it counts nothing. Whoever still has it finds it
    /// [`Untaken::Retired`].
    pub fn retire(&self, now: Duration) -> bool {
        self.turn(now);
        self.taken
            .compare_exchange(0, RETIRED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Lets go of the parts that lie outside the window that ends now. The newest
    /// part's number.
    fn turn(&self, now: Duration) -> u64 {
        let Some(window) = &self.window else { return 0 };
        let to = nanoseconds(now) / window.part_ns;
        let newest = window.newest.load(Ordering::Acquire);
        if to <= newest {
            return newest;
        }
        let _turning = window.turning.lock();
        let newest = window.newest.load(Ordering::Acquire);
        if to <= newest {
            return newest;
        }
        let gone = newest + 1..=to.min(newest.saturating_add(LIVE));
        let spent: u64 = gone
            .map(|number| window.part(number).swap(0, Ordering::AcqRel))
            .sum();
        self.taken.fetch_sub(spent, Ordering::AcqRel);
        // Last: what is recorded in the new parts must not be let go with the old.
        window.newest.store(to, Ordering::Release);
        to
    }
}

impl Window {
    /// Records what is spent now. It is taken already.
    fn record(&self, amount: u64) -> Stamp {
        // Should the part be let go and begin anew before the amount is in it, the
        // amount counts for longer than it needs to, never shorter.
        let newest = self.newest.load(Ordering::Acquire);
        self.part(newest).fetch_add(amount, Ordering::AcqRel);
        Stamp(newest)
    }

    #[expect(clippy::indexing_slicing, reason = "a remainder of the array's length")]
    fn part(&self, number: u64) -> &AtomicU64 {
        &self.parts[(number % LIVE) as usize]
    }

    /// When a part lies wholly outside the window.
    fn gone_at(&self, number: u64) -> Duration {
        Duration::from_nanos(number.saturating_add(LIVE).saturating_mul(self.part_ns))
    }

    fn spent(&self) -> u64 {
        let parts = self.parts.iter();
        parts.map(|part| part.load(Ordering::Acquire)).sum()
    }
}

/// Enough for five centuries.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
