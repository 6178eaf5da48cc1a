//! How long the first attempts of a route's requests took lately.
//!
//! Times are counted in classes, eight to each doubling, so that a percentile is at most an
//! eighth too long and never too short. At [`HALVED_AT`] all counts are halved: what is
//! known is of the last one or two thousand requests, however long ago they were.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Classes for each doubling.
const STEPS: u32 = 8;

/// Doublings from a millisecond on: to 36 hours, which is longer than any timeout.
const DOUBLINGS: u32 = 27;

const CLASSES: usize = (STEPS * DOUBLINGS) as usize;

/// So many are known when half of what each class holds is forgotten.
const HALVED_AT: u32 = 2000;

/// With fewer nothing can be said.
const KNOWN_MIN: u32 = 100;

/// The times of a route, shared by workers and generations. They do not wait for each
/// other: a time that is counted while another worker halves may be lost, of which a
/// percentile shows nothing.
pub(super) struct Times {
    classes: [AtomicU32; CLASSES],
    known: AtomicU32,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            classes: [const { AtomicU32::new(0) }; CLASSES],
            known: AtomicU32::new(0),
        }
    }
}

impl Times {
    pub(super) fn observe(&self, time: Duration) {
        if let Some(class) = self.classes.get(class(time)) {
            class.fetch_add(1, Relaxed);
        }
        if self.known.fetch_add(1, Relaxed) + 1 == HALVED_AT {
            self.halve();
        }
    }

    fn halve(&self) {
        let halved = self.classes.iter().map(|class| {
            let count = class.load(Relaxed);
            class.fetch_sub(count - count / 2, Relaxed);
            count / 2
        });
        self.known.store(halved.sum(), Relaxed);
    }

    /// The time within which so many of a hundred were; none if too few are known.
    pub(super) fn percentile(&self, percent: u8) -> Option<Duration> {
        let known = self.known.load(Relaxed);
        if known < KNOWN_MIN {
            return None;
        }
        let wanted = u64::from(known) * u64::from(percent);
        let mut below = 0_u64;
        let place = self.classes.iter().position(|class| {
            below += u64::from(class.load(Relaxed));
            below * 100 >= wanted
        });
        // Others may just be halving.
        Some(end(place.unwrap_or(CLASSES - 1)))
    }
}

/// The class of a time: its highest bit, and the three that follow that one.
fn class(time: Duration) -> usize {
    // In eighths of a millisecond, so that the shortest class begins at one.
    let eighths = u64::try_from(time.as_micros() / 125).unwrap_or(u64::MAX);
    let Some(above) = eighths.max(8).ilog2().checked_sub(3) else {
        return 0;
    };
    let step = (eighths.max(8) >> above) - 8;
    let class = u64::from(above * STEPS) + step;
    usize::try_from(class).map_or(CLASSES - 1, |class| class.min(CLASSES - 1))
}

/// Where a class ends.
fn end(class: usize) -> Duration {
    let class = u32::try_from(class).unwrap_or(u32::MAX);
    let (above, step) = (class / STEPS, class % STEPS);
    let eighths = u64::from(8 + step + 1) << above.min(DOUBLINGS);
    Duration::from_micros(eighths * 125)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_class_ends_after_its_times_and_not_long_after() {
        let mut last = 0;
        for micros in (0..200_000).step_by(50).chain([1 << 30, 86_400_000_000]) {
            let time = Duration::from_micros(micros);
            let class = class(time);
            assert!(class >= last && class < CLASSES, "{time:?}: {class}");
            last = class;
            let end = end(class);
            assert!(end > time, "{time:?} ends at {end:?}");
            if micros >= 1000 {
                assert!(end <= time + time / 7, "{time:?} ends at {end:?}");
            }
        }
    }

    #[test]
    fn a_percentile_is_that_of_what_was_seen() {
        let times = Times::default();
        (1..KNOWN_MIN).for_each(|n| times.observe(ms(n.into())));
        assert_eq!(times.percentile(50), None, "too few are known");
        times.observe(ms(100));
        for percent in [1, 50, 90, 99] {
            let found = times.percentile(percent).unwrap();
            let true_one = ms(percent.into());
            assert!(
                found > true_one && found <= true_one + true_one / 7 + ms(1),
                "p{percent}: {found:?}"
            );
        }
    }

    #[test]
    fn the_past_is_forgotten() {
        let times = Times::default();
        (0..10_000).for_each(|_| times.observe(ms(1000)));
        assert!(times.percentile(50).unwrap() > ms(900));
        (0..10_000).for_each(|_| times.observe(ms(10)));
        assert!(times.percentile(95).unwrap() < ms(20));
        assert!(times.known.load(Relaxed) < HALVED_AT);
    }
}
