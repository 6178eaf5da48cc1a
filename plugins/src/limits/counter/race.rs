//! The counter with every thread on it.

use std::sync::Barrier;
use std::sync::atomic::AtomicI64;
use std::thread;

use super::tests::Random;
use super::*;

const THREADS: u64 = 8;
const TIMES: u64 = 100_000;

/// Runs `work` in all threads at once, with the thread's number.
fn together(work: impl Fn(u64) + Sync) {
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (work, start) = (&work, &start);
            scope.spawn(move || {
                start.wait();
                work(number);
            });
        }
    });
}

#[test]
fn the_last_of_a_budget_is_taken_once() {
    const LIMIT: u64 = 300_000;
    let counter = Counter::over(Duration::from_secs(3600), Duration::ZERO);
    let admitted = AtomicU64::new(0);
    together(|_| {
        for _ in 0..TIMES {
            if counter.spend(Duration::ZERO, 1, LIMIT).is_ok() {
                admitted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(admitted.into_inner(), LIMIT, "all of it, and nothing more");
    assert_eq!(counter.reserved_and_spent(), (0, LIMIT));
}

/// Reservations of up to 100 that settle to less, to as much or to nothing, while the
/// window slides under them. What was settled within a window, as the threads
/// themselves add it up, stays within the limit.
#[test]
fn settled_usage_stays_within_the_limit_while_the_window_slides() {
    const LIMIT: u64 = 2_000;
    let window = Duration::from_micros(6_400);
    let counter = Counter::over(window, Duration::ZERO);
    let clock = AtomicU64::new(0);
    // What is surely outstanding or spent in this window: added after the counter
    // allowed it, removed before it is given back, so never more than the truth.
    let outstanding = AtomicI64::new(0);
    let admitted = AtomicU64::new(0);
    together(|number| {
        let mut random = Random(number);
        for _ in 0..TIMES {
            let now = Duration::from_micros(clock.fetch_add(1, Ordering::Relaxed));
            let amount = 1 + random.below(100);
            if counter.reserve(now, amount, LIMIT).is_err() {
                continue;
            }
            admitted.fetch_add(1, Ordering::Relaxed);
            let held = outstanding.fetch_add(amount as i64, Ordering::AcqRel) + amount as i64;
            assert!(held <= LIMIT as i64, "{held} are reserved at once");
            if random.below(100) == 0 {
                thread::yield_now();
            }
            outstanding.fetch_sub(amount as i64, Ordering::AcqRel);
            match random.below(3) {
                0 => counter.release(amount),
                1 => counter.settle(now, amount, random.below(amount + 1)),
                _ => counter.settle(now, amount, amount),
            }
        }
    });
    assert!(
        admitted.into_inner() > 5_000,
        "the window slid, so that there was room again"
    );
    let (reserved, spent) = counter.reserved_and_spent();
    assert_eq!(reserved, 0, "nothing is left reserved");
    assert!(spent <= LIMIT);
    assert!(
        counter.retire(Duration::from_secs(10)),
        "and in the end nothing counts"
    );
}

/// Taking back races with letting go: neither may take away what the other did.
#[test]
fn what_is_taken_back_is_never_taken_twice() {
    let counter = Counter::over(Duration::from_micros(640), Duration::ZERO);
    let clock = AtomicU64::new(0);
    together(|number| {
        let mut random = Random(number);
        let mut stamps = Vec::new();
        for _ in 0..TIMES {
            let now = Duration::from_micros(clock.fetch_add(1, Ordering::Relaxed));
            if let Ok(taken) = counter.spend(now, 3, 10_000) {
                stamps.push(taken.stamp);
            }
            if random.below(2) == 0
                && let Some(stamp) = stamps.pop()
            {
                counter.unspend(stamp, 3);
            }
            stamps.truncate(64);
            let (reserved, spent) = counter.reserved_and_spent();
            assert!(
                reserved + spent < 100_000,
                "the counter has wrapped below zero"
            );
        }
    });
    let end = Duration::from_secs(10);
    assert!(counter.retire(end), "all is forgotten: {counter:?}");
}

/// A limit that is removed from the table and made anew must not admit twice.
#[test]
fn a_counter_is_retired_by_one_and_only_when_idle() {
    let counter = Counter::over(Duration::from_secs(3600), Duration::ZERO);
    let (retired, spent) = (AtomicU64::new(0), AtomicU64::new(0));
    together(|number| {
        for _ in 0..1_000 {
            if number % 2 == 0 {
                retired.fetch_add(u64::from(counter.retire(Duration::ZERO)), Ordering::Relaxed);
            } else if counter.spend(Duration::ZERO, 1, 10).is_ok() {
                spent.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let (retired, spent) = (retired.into_inner(), spent.into_inner());
    assert!(
        (retired, spent) == (1, 0) || (retired, spent) == (0, 10),
        "{retired} {spent}"
    );
}
