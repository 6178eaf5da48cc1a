//! How often a client may do what costs it nothing.

use std::time::{Duration, Instant};

use super::abuse::Abuse;

/// What is allowed, is allowed in so long. A client that counts up more slowly is never
/// stopped, however long its connection lasts.
const WINDOW: Duration = Duration::from_secs(10);

/// Useful frames after which all counts are halved, so that a long good life pays for no great
/// attack.
const HALVED_AT: u32 = 1024;

/// Frames with nothing in them. No client needs any; Envoy takes one in a row, and the library
/// a hundred of them as DATA in a connection's life.
const EMPTY_MAX: u32 = 32;

/// Frames about windows, priorities and extensions for each useful one, on top of what is
/// allowed without any. A client that is told of data twice, for the stream and for the
/// connection, says two; Envoy allows ten.
const ABOUT_EACH: u32 = 4;

/// What is counted of a connection.
#[derive(Debug)]
pub(super) struct Budget {
    resets_max: u32,
    control_max: u32,
    since: Instant,
    counts: [u32; Abuse::ALL.len()],
    /// Requests that were begun.
    opened: u32,
    /// Frames that carry something, in both directions.
    useful: u32,
}

impl Budget {
    pub(super) fn new(resets_max: u32, control_max: u32, now: Instant) -> Self {
        Budget {
            resets_max,
            control_max,
            since: now,
            counts: Default::default(),
            opened: 0,
            useful: 0,
        }
    }

    /// A request was begun.
    pub(super) fn open(&mut self) {
        self.opened += 1;
        self.earn();
    }

    /// A frame that carries something.
    pub(super) fn earn(&mut self) {
        self.useful += 1;
        if self.useful >= HALVED_AT {
            self.halve();
        }
    }

    #[cold]
    fn halve(&mut self) {
        self.useful /= 2;
        self.opened /= 2;
        for count in &mut self.counts {
            *count /= 2;
        }
    }

    /// One of these frames. The time is asked for only where there are too many of them.
    ///
    /// # Errors
    /// There are too many of them.
    pub(super) fn spend(&mut self, on: Abuse, now: impl FnOnce() -> Instant) -> Result<(), Abuse> {
        let allowed = self.allowed(on);
        let Some(count) = self.counts.get_mut(on as usize) else {
            return Ok(());
        };
        *count += 1;
        if *count <= allowed {
            return Ok(());
        }
        let now = now();
        if now.saturating_duration_since(self.since) < WINDOW {
            return Err(on);
        }
        *self = Budget::new(self.resets_max, self.control_max, now);
        Ok(())
    }

    /// Streams that end early are measured against all that were begun: half of them may.
    /// Envoy draws the line there too, after 500.
    fn allowed(&self, of: Abuse) -> u32 {
        match of {
            Abuse::Resets | Abuse::StreamFaults => self.resets_max + self.opened / 2,
            Abuse::Empty => EMPTY_MAX,
            Abuse::Settings => self.control_max,
            // As many as there are frames to measure round trips by, as clients of gRPC do.
            Abuse::Ping => self.control_max + self.useful,
            Abuse::Priority | Abuse::WindowUpdate | Abuse::Other => {
                self.control_max + self.useful * ABOUT_EACH
            }
            // Found in other ways.
            Abuse::Continuation
            | Abuse::Fields
            | Abuse::Stall
            | Abuse::Library
            | Abuse::Protocol => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn spent(budget: &mut Budget, on: Abuse, now: Instant) -> u32 {
        let allowed = (0..100_000).position(|_| budget.spend(on, || now).is_err());
        allowed.map_or(u32::MAX, |allowed| allowed as u32)
    }

    #[test]
    fn what_is_allowed_is_allowed_again_after_a_while() {
        let start = Instant::now();
        let mut budget = Budget::new(10, 20, start);
        assert_eq!(spent(&mut budget, Abuse::Ping, start), 20);
        let later = start + 9 * SECOND;
        assert!(budget.spend(Abuse::Ping, || later).is_err(), "too soon");
        let later = start + 10 * SECOND;
        assert!(budget.spend(Abuse::Ping, || later).is_ok());
        assert_eq!(spent(&mut budget, Abuse::Ping, later), 20);
    }

    #[test]
    fn useful_frames_pay_for_others() {
        let now = Instant::now();
        for (of, alone, after_100) in [
            (Abuse::Ping, 20, 120),
            (Abuse::Settings, 20, 20),
            (Abuse::WindowUpdate, 20, 420),
            (Abuse::Priority, 20, 420),
            (Abuse::Other, 20, 420),
            (Abuse::Empty, 32, 32),
            (Abuse::Resets, 10, 60),
            (Abuse::StreamFaults, 10, 60),
        ] {
            let mut budget = Budget::new(10, 20, now);
            assert_eq!(spent(&mut budget, of, now), alone, "{of}");
            let mut budget = Budget::new(10, 20, now);
            (0..100).for_each(|_| budget.open());
            assert_eq!(spent(&mut budget, of, now), after_100, "{of}");
        }
    }

    #[test]
    fn a_long_good_life_pays_for_no_great_attack() {
        let now = Instant::now();
        let mut budget = Budget::new(10, 20, now);
        (0..1_000_000).for_each(|_| budget.open());
        assert!(spent(&mut budget, Abuse::Resets, now) < 600);
        assert!(spent(&mut budget, Abuse::WindowUpdate, now) < 5000);
    }

    #[test]
    fn a_client_that_takes_back_every_other_request_goes_on() {
        let now = Instant::now();
        let mut budget = Budget::new(10, 20, now);
        for request in 0..100_000 {
            budget.open();
            if request % 2 == 0 {
                assert!(budget.spend(Abuse::Resets, || now).is_ok(), "at {request}");
            }
        }
    }
}
