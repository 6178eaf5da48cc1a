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
use std::time::Instant;

use parking_lot::Mutex;
use penstock_config::unit::Percent;
use prometheus::IntCounter;

/// Retries that are saved up at most, and there at the start.
const SAVED_MAX: f64 = 10.0;

/// Retries in a second that are allowed whatever was earned.
const ALWAYS_PER_SECOND: f64 = 10.0;

/// What is left of an upstream's retries. Generations share it.
pub struct Budget(Mutex<Left>);

struct Left {
    retries: f64,
    at: Instant,
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
        Budget(Mutex::new(Left {
            retries: SAVED_MAX,
            at: now,
        }))
    }

    fn earn(&self, retries: f64) {
        let mut left = self.0.lock();
        left.retries = (left.retries + retries).min(SAVED_MAX);
    }

    fn spend(&self, now: Instant) -> bool {
        let mut left = self.0.lock();
        let seconds = now.saturating_duration_since(left.at).as_secs_f64();
        left.retries = (left.retries + seconds * ALWAYS_PER_SECOND).min(SAVED_MAX);
        left.at = left.at.max(now);
        let is_allowed = left.retries >= 1.0;
        if is_allowed {
            left.retries -= 1.0;
        }
        is_allowed
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
        self.budget.earn(f64::from(self.share.get()) / 100.0);
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
    use std::time::Duration;

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
    fn generations_share_what_is_left() {
        let now = Instant::now();
        let old = retries(20, now);
        let new = Retries::new(Percent::default(), old.budget.clone(), counter());
        assert_eq!(spend_all(&old, now), 10);
        assert_eq!(spend_all(&new, now), 0);
        assert_eq!((old.refused.get(), new.refused.get()), (1, 1));
    }
}
