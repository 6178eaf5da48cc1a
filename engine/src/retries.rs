//! How many requests to an upstream may be repeated, so that one which fails everywhere is
//! not stormed besides.
//!
//! Requests earn their upstream a share of a retry each, and beyond that a few in a second
//! are always allowed, so that an upstream with little to do is not worse off. Both
//! numbers are those of Finagle's `RetryBudget`
//! (<https://twitter.github.io/finagle/guide/Clients.html#retries>); Envoy's
//! `retry_budget` also defaults to 20 %, of the requests that are active
//! (<https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/cluster/v3/circuit_breaker.proto>).
//! What no server can have worked on costs nothing and is not counted here: no connection
//! could be made, or a reused one turned out to be closed.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use penstock_config::unit::Percent;
use prometheus::IntCounter;

/// What one retry is, in the parts in which they are earned.
const RETRY: u32 = 100;

/// Parts of retries that are saved up at most, and there at the start.
const SAVED_MAX: u32 = 10 * RETRY;

/// Parts of retries in a millisecond that are allowed whatever was earned: ten retries in a
/// second.
const ALWAYS_PER_MS: u32 = 1;

/// What is left of an upstream's retries, or of a route's second attempts. Generations share
/// it.
pub struct Budget {
    /// Written by workers that earn and by those that spend. Nothing else is published
    /// through it, so no order is needed.
    parts: AtomicU32,
    /// Up to when there were given what is always allowed.
    given: Mutex<Instant>,
    /// Parts in a millisecond that are always allowed.
    always_per_ms: u32,
}

/// An upstream's retries in one generation.
pub struct Retries {
    share: Percent,
    budget: Arc<Budget>,
    refused: IntCounter,
}

impl Budget {
    /// A full one.
    pub fn new(now: Instant) -> Budget {
        Budget::of(ALWAYS_PER_MS, now)
    }

    /// A full one, from which nothing is allowed that was not earned.
    pub fn earned_only(now: Instant) -> Budget {
        Budget::of(0, now)
    }

    fn of(always_per_ms: u32, now: Instant) -> Budget {
        Budget {
            parts: AtomicU32::new(SAVED_MAX),
            given: Mutex::new(now),
            always_per_ms,
        }
    }

    /// A request earns this share of one.
    pub fn earn(&self, share: Percent) {
        // So many hundredths.
        self.add(u32::from(share.get()));
    }

    /// Writes nothing when it is full, as that of an upstream without trouble always is.
    fn add(&self, parts: u32) {
        let more = |left: u32| {
            let more = left.saturating_add(parts).min(SAVED_MAX);
            (more > left).then_some(more)
        };
        // An error means that there is no more to save.
        let _ = self.parts.fetch_update(Relaxed, Relaxed, more);
    }

    /// Takes one, if there is one.
    pub fn spend(&self, now: Instant) -> bool {
        if self.always_per_ms > 0 {
            self.give(now);
        }
        let less = |left: u32| left.checked_sub(RETRY);
        self.parts.fetch_update(Relaxed, Relaxed, less).is_ok()
    }

    /// Gives what is always allowed, in whole milliseconds: the rest waits for the next time.
    fn give(&self, now: Instant) {
        let mut given = self.given.lock();
        let ms = now.saturating_duration_since(*given).as_millis();
        let ms = u64::try_from(ms).unwrap_or(u64::MAX);
        *given += Duration::from_millis(ms);
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        self.add(ms.saturating_mul(self.always_per_ms));
    }
}

impl Retries {
    /// The retries of which requests earn this share, and which counts those that it does
    /// not allow.
    pub fn new(share: Percent, budget: Arc<Budget>, refused: IntCounter) -> Retries {
        Retries {
            share,
            budget,
            refused,
        }
    }

    /// A request is sent for the first time.
    pub fn earn(&self) {
        self.budget.earn(self.share);
    }

    /// Takes one, if there is one.
    pub fn spend(&self, now: Instant) -> bool {
        let is_allowed = self.budget.spend(now);
        if !is_allowed {
            self.refused.inc();
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(share: u8, now: Instant) -> Retries {
        let share = Percent::try_from(share).unwrap();
        Retries::new(share, Arc::new(Budget::new(now)), counter())
    }

    fn counter() -> IntCounter {
        IntCounter::new("refused", "Retries that were not allowed").unwrap()
    }

    fn spend_all(retries: &Retries, now: Instant) -> usize {
        (0..100).take_while(|_| retries.spend(now)).count()
    }

    #[test]
    fn requests_earn_their_share() {
        let now = Instant::now();
        for (share, earned) in [(0, 0), (20, 4), (100, 10)] {
            let retries = retries(share, now);
            assert_eq!(spend_all(&retries, now), 10, "at the start");
            (0..20).for_each(|_| retries.earn());
            assert_eq!(spend_all(&retries, now), earned, "{share} % of 20 requests");
        }
    }

    #[test]
    fn a_few_in_a_second_are_always_allowed() {
        let now = Instant::now();
        let retries = retries(0, now);
        assert_eq!(spend_all(&retries, now), 10);
        let later = now + Duration::from_millis(500);
        assert_eq!(spend_all(&retries, later), 5);
        assert_eq!(spend_all(&retries, now), 0, "time does not go back");
        let later = now + Duration::from_secs(60);
        assert_eq!(spend_all(&retries, later), 10, "no more are saved up");
    }

    #[test]
    fn what_is_only_earned_is_not_given() {
        let now = Instant::now();
        let budget = Budget::earned_only(now);
        let later = now + Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 10);
        (0..10).for_each(|_| budget.earn(Percent::try_from(10).unwrap()));
        assert!(budget.spend(later));
        assert!(!budget.spend(later + Duration::from_secs(60)));
    }

    #[test]
    fn generations_share_what_is_left() {
        let now = Instant::now();
        let old = retries(20, now);
        let new = Retries::new(Percent::default(), old.budget.clone(), counter());
        assert_eq!(spend_all(&old, now), 10);
        assert_eq!(spend_all(&new, now), 0);
        assert_eq!((old.refused.get(), new.refused.get()), (1, 1));
    }
}
