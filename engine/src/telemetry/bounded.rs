//! Log lines about what clients cause, so few that nobody can fill the log with them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in one period.
const LINES_MAX: u32 = 10;

/// How long a period is.
const PERIOD: Duration = Duration::from_secs(10);

/// Says which of many events are logged.
#[derive(Debug, Default)]
pub(super) struct Bounded(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    since: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl Bounded {
    /// One more event. If it is to be logged, how many were not since the last that was.
    pub(super) fn next(&self, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |since| now.saturating_duration_since(since) >= PERIOD;
        if lines.since.is_none_or(is_over) {
            lines.since = Some(now);
            lines.written = 0;
        }
        if lines.written < LINES_MAX {
            lines.written += 1;
            return Some(std::mem::take(&mut lines.left_out));
        }
        lines.left_out += 1;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_logged_in_a_period_and_the_others_are_told_of() {
        let (lines, start) = (Bounded::default(), Instant::now());
        for _ in 0..LINES_MAX {
            assert_eq!(lines.next(start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(lines.next(start + PERIOD / 2), None);
        }
        assert_eq!(lines.next(start + PERIOD), Some(1000));
        assert_eq!(lines.next(start + PERIOD), Some(0));
    }
}
