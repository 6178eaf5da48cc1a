//! Which routes read an answer to its end after its client has gone, and how far.

use std::sync::Arc;
use std::time::Instant;

use penstock_config::route::Drain;
use penstock_plugins::Shared;
use prometheus::IntGauge;

use crate::places::{Place, Places};
use crate::telemetry::{Held, Outcome, Outcomes, Telemetry};

/// The answers of one route in one generation that are read on.
#[derive(Debug)]
pub struct Drains {
    bounds: Drain,
    places: Arc<Places>,
    open: IntGauge,
    outcomes: Arc<Outcomes<Drained>>,
}

/// How an answer ended that was read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// It is there to its end.
    Whole,
    /// The upstream failed before.
    Failed,
    /// It took too long.
    TimedOut,
    /// There was too much of it.
    TooLarge,
    /// It was not read on: too many others were.
    NoPlace,
}

/// How far one answer is still read on.
#[derive(Debug)]
pub struct Left {
    /// When that is over.
    pub until: Instant,
    bytes: u64,
    _place: Place,
    _open: Held,
}

impl Outcome for Drained {
    const ALL: &[Drained] = &[
        Self::Whole,
        Self::Failed,
        Self::TimedOut,
        Self::TooLarge,
        Self::NoPlace,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::NoPlace => "no_place",
        }
    }
}

impl Drains {
    /// Those of a route with these bounds. Its places survive reloads.
    pub fn new(route: &str, bounds: &Drain, telemetry: &Telemetry, shared: &Shared) -> Drains {
        Drains {
            bounds: bounds.clone(),
            places: shared.keep("drains", route, Places::default),
            open: telemetry.drains_open.clone(),
            outcomes: telemetry.drains(route),
        }
    }

    /// How far answers are read on.
    pub fn bounds(&self) -> &Drain {
        &self.bounds
    }

    /// A client was missed: how far its answer is read on, if at all.
    pub fn begin(&self, now: Instant) -> Option<Left> {
        Some(Left {
            _place: self.places.take(self.bounds.concurrent)?,
            _open: Held::new(&self.open),
            until: now + self.bounds.time.get(),
            bytes: self.bounds.bytes.bytes(),
        })
    }

    /// Counts how one ended.
    pub fn count(&self, drained: Drained) {
        self.outcomes.count(drained);
    }
}

impl Left {
    /// Takes so many bytes at this time.
    ///
    /// # Errors
    /// The bound that this would break.
    pub fn take(&mut self, bytes: u64, now: Instant) -> Result<(), Drained> {
        if now >= self.until {
            return Err(Drained::TimedOut);
        }
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Drained::TooLarge)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn drains(concurrent: u32) -> Drains {
        let bounds = Drain {
            time: penstock_config::unit::Duration::try_from(Duration::from_secs(10)).unwrap(),
            bytes: 100.try_into().unwrap(),
            concurrent,
        };
        let telemetry = Telemetry::new().unwrap();
        Drains::new("r", &bounds, &telemetry, &Shared::default())
    }

    #[test]
    fn each_bound_has_a_name() {
        let now = Instant::now();
        let drains = drains(2);
        let mut left = drains.begin(now).unwrap();
        assert_eq!(left.take(60, now), Ok(()));
        assert_eq!(left.take(40, now), Ok(()));
        assert_eq!(left.take(1, now), Err(Drained::TooLarge));
        let late = now + Duration::from_secs(10);
        assert_eq!(
            drains.begin(now).unwrap().take(1, late),
            Err(Drained::TimedOut)
        );
    }

    #[test]
    fn no_more_are_read_on_than_there_are_places() {
        let now = Instant::now();
        let drains = drains(1);
        let one = drains.begin(now);
        assert!(one.is_some() && drains.begin(now).is_none());
        assert_eq!(drains.open.get(), 1);
        drop(one);
        assert!(drains.begin(now).is_some());
        assert_eq!(drains.open.get(), 0);
    }
}
