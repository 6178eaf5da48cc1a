//! Requests per client address, estimated in memory that does not grow with the number
//! of clients.
//!
//! The counts are those of `pingora-limits`: a count-min sketch, which reads too much
//! when keys collide in all its rows and never too little. Its `Rate`, which turns two
//! of them into a rate over time, reads the system's clock, so it is not used: here the
//! time is passed in. As there, the window before this one counts in proportion to how
//! much of it the sliding window still covers, as if its requests had come evenly.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pingora_limits::estimator::Estimator;

use super::key::{Key, KeyMaker};

/// Rows of a sketch. A key reads too much only if it collides in every one.
const ROWS: usize = 4;
/// Cells of a row. With a million requests in a window a cell has 30 of them in the
/// mean; the two sketches of a limit are 2 MiB.
const CELLS: usize = 1 << 15;

/// The counts of one limit.
pub struct Sketch {
    keys: KeyMaker,
    window_ns: u64,
    /// Number of the window at hand since the epoch.
    newest: AtomicU64,
    /// Held while the windows turn, and to take something back.
    turning: Mutex<()>,
    /// The window at hand and the one before, at their numbers modulo two.
    counts: [Estimator; 2],
}

/// When something was counted, to take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    key: Key,
    window: u64,
}

/// What a key has in the two windows.
struct Seen {
    before: u64,
    now: u64,
    /// How far into the window at hand it is, in nanoseconds.
    into_ns: u64,
}

impl Sketch {
    /// Nothing counted yet.
    pub fn new(window: Duration) -> Self {
        Self {
            keys: KeyMaker::new(),
            window_ns: u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).max(1),
            newest: AtomicU64::new(0),
            turning: Mutex::new(()),
            counts: [Estimator::new(ROWS, CELLS), Estimator::new(ROWS, CELLS)],
        }
    }

    /// Makes the keys.
    pub fn keys(&self) -> &KeyMaker {
        &self.keys
    }

    /// Counts a request if `limit` allows it. What is left of the limit then; how long
    /// until there is room if it does not.
    pub fn spend(&self, key: Key, now: Duration, limit: u64) -> Result<(Mark, u64), Duration> {
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let window = self.turn(now_ns / self.window_ns);
        let seen = self.seen(key, window, now_ns);
        let estimate = seen.estimate(self.window_ns);
        if estimate >= limit {
            return Err(seen.fits_in(self.window_ns, limit));
        }
        self.count(window).incr(key, 1);
        Ok((Mark { key, window }, limit - estimate - 1))
    }

    /// Takes back what was counted, if it still counts.
    pub fn unspend(&self, mark: Mark) {
        // Nothing is reset meanwhile: a count must not go below zero.
        let _turning = self.turning.lock();
        if self
            .newest
            .load(Ordering::Acquire)
            .wrapping_sub(mark.window)
            < 2
        {
            self.count(mark.window).decr(mark.key, 1);
        }
    }

    /// Begins the window at hand, if it has not begun. Its number.
    fn turn(&self, to: u64) -> u64 {
        let newest = self.newest.load(Ordering::Acquire);
        if to <= newest {
            return newest;
        }
        let _turning = self.turning.lock();
        let newest = self.newest.load(Ordering::Acquire);
        if to <= newest {
            return newest;
        }
        self.count(to).reset();
        if to - newest > 1 {
            self.count(to - 1).reset();
        }
        self.newest.store(to, Ordering::Release);
        to
    }

    fn seen(&self, key: Key, window: u64, now_ns: u64) -> Seen {
        let count = |window| u64::try_from(self.count(window).get(key)).unwrap_or(0);
        let begun = window.saturating_mul(self.window_ns);
        Seen {
            before: count(window.wrapping_sub(1)),
            now: count(window),
            into_ns: now_ns.saturating_sub(begun).min(self.window_ns),
        }
    }

    fn count(&self, window: u64) -> &Estimator {
        let [even, odd] = &self.counts;
        match window.is_multiple_of(2) {
            true => even,
            false => odd,
        }
    }
}

impl Seen {
    /// Requests in the sliding window, rounded up.
    fn estimate(&self, window_ns: u64) -> u64 {
        let left = u128::from(window_ns - self.into_ns);
        let before = (u128::from(self.before) * left).div_ceil(u128::from(window_ns));
        self.now
            .saturating_add(u64::try_from(before).unwrap_or(u64::MAX))
    }

    /// How long until there is room for one more.
    fn fits_in(&self, window_ns: u64, limit: u64) -> Duration {
        let (counted, room, since) = match limit.checked_sub(self.now + 1) {
            Some(room) => (self.before, room, 0),
            // This window is full by itself: it has to become the one before.
            None => (self.now, limit.saturating_sub(1), window_ns),
        };
        let gone = u128::from(counted.saturating_sub(room)) * u128::from(window_ns);
        let gone = gone.div_ceil(u128::from(counted.max(1)));
        let at = since.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX));
        Duration::from_nanos(at.saturating_sub(self.into_ns))
    }
}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sketch").finish_non_exhaustive()
    }
}
