//! How far a client may fall behind.
//!
//! A bound is a time and a rate. What is waited for may take the time; each byte that moves
//! gives back as much of it as a byte may take at the rate, never more than there was at
//! first. So a client that does nothing is over after that time, one that stays below the
//! rate soon after, however it deals its bytes out, and one that keeps up never is, whatever
//! the size of what it moves. Only time that is spent waiting counts: what the proxy or an
//! upstream takes is no fault of the client's.
//!
//! nginx and HAProxy restart a timeout with every byte, which a byte now and then defeats.
//! Apache's mod_reqtimeout and Kestrel ask for a rate in the mean over the whole body: who
//! has been fast for long may then be slow for as long.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use penstock_config::server::Limits;
use tokio::time::Sleep;

/// How far a client may fall behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Longest wait.
    pub stall: Duration,
    /// Bytes in a second; at least one.
    pub rate: u64,
}

impl Bound {
    /// For the bodies of requests.
    pub fn of_bodies(limits: &Limits) -> Self {
        Bound {
            stall: limits.read_timeout.get(),
            rate: limits.read_rate.bytes(),
        }
    }

    /// For what clients take of answers.
    pub fn of_answers(limits: &Limits) -> Self {
        Bound {
            stall: limits.write_timeout.get(),
            rate: limits.write_rate.bytes(),
        }
    }

    /// How long so many bytes may take.
    fn worth(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.max(1));
        u64::try_from(nanos).map_or(self.stall, Duration::from_nanos)
    }
}

/// How far one client has fallen behind.
#[derive(Debug)]
pub struct Pace {
    bound: Bound,
    left: Duration,
    since: Option<Instant>,
}

impl Pace {
    /// It has not, yet.
    pub fn new(bound: Bound) -> Self {
        Pace {
            bound,
            left: bound.stall,
            since: None,
        }
    }

    /// The client is waited for, now as well as since the last time. Says until when.
    pub fn wait(&mut self, now: Instant) -> Instant {
        *self.since.get_or_insert(now) + self.left
    }

    /// So many bytes have moved.
    pub fn moved(&mut self, bytes: u64, now: Instant) {
        if let Some(since) = &mut self.since {
            self.left = self.left.saturating_sub(now.duration_since(*since));
            *since = now;
        }
        let left = self.left.saturating_add(self.bound.worth(bytes));
        self.left = left.min(self.bound.stall);
    }

    /// The client is not waited for any more.
    pub fn stop(&mut self, now: Instant) {
        self.moved(0, now);
        self.since = None;
    }
}

/// The pace of a client that had to be waited for, with an alarm for its end. There is none
/// as long as nobody had to wait.
#[derive(Debug)]
pub(super) struct Clock {
    pace: Pace,
    /// Set once, and again only when it has rung too early.
    alarm: Pin<Box<Sleep>>,
}

impl Clock {
    /// The client has to be waited for, for the first time.
    pub(super) fn new(bound: Bound) -> Self {
        let mut pace = Pace::new(bound);
        let end = pace.wait(Instant::now());
        Clock {
            pace,
            alarm: Box::pin(tokio::time::sleep_until(end.into())),
        }
    }

    /// The client is waited for. Ready at the end of the time, from which on more may be
    /// known of what has [moved](Self::moved).
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            let end = self.pace.wait(now);
            if end <= now {
                return Poll::Ready(());
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.alarm.as_mut().reset(end.into());
        }
    }

    /// Bytes have moved.
    pub(super) fn moved(&mut self, bytes: u64) {
        self.pace.moved(bytes, Instant::now());
    }

    /// The client is not waited for any more.
    pub(super) fn stop(&mut self) {
        self.pace.stop(Instant::now());
    }
}

/// A client that is waited for in steps, each of which moves bytes.
#[derive(Debug)]
pub struct Watch {
    bound: Bound,
    /// Once it had to be waited for.
    clock: Option<Clock>,
}

impl Watch {
    /// One that may fall behind so far.
    pub fn new(bound: Bound) -> Self {
        Watch { bound, clock: None }
    }

    /// Waits for a step. None when the client is too slow with it.
    pub async fn bounded<T>(
        &mut self,
        step: impl Future<Output = T>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Option<T> {
        let mut step = pin!(step);
        let bound = self.bound;
        let done = poll_fn(|cx| match step.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => {
                let clock = self.clock.get_or_insert_with(|| Clock::new(bound));
                clock.poll_end(cx).map(|()| None)
            }
        })
        .await?;
        if let Some(clock) = &mut self.clock {
            clock.moved(bytes(&done) as u64);
            clock.stop();
        }
        Some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound {
        stall: Duration::from_secs(10),
        rate: 1000,
    };

    /// After how many milliseconds a client is over of whom `bytes` move every `every`
    /// milliseconds, if it is within an hour.
    fn over(bytes: u64, every: u64) -> Option<u64> {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(BOUND);
        for turn in 0..3_600_000 / every {
            let end = pace.wait(at(turn * every));
            if end <= at((turn + 1) * every) {
                return Some(u64::try_from((end - start).as_millis()).unwrap());
            }
            pace.moved(bytes, at((turn + 1) * every));
        }
        None
    }

    #[test]
    fn who_does_nothing_or_too_little_is_over() {
        for (bytes, every, wanted) in [
            (0, 1000, Some(10_000)),
            // The two attacks: a byte every ten seconds, five every five.
            (1, 9_999, Some(10_001)),
            (5, 5_000, Some(10_010)),
            // A third of the rate has half as long again.
            (333, 1000, Some(14_662)),
            (999, 1000, None),
            (1000, 1000, None),
            (20_000, 1000, None),
            // Much at once is worth no more than the whole time.
            (1_000_000, 9_999, None),
            (1_000_000, 10_001, Some(10_000)),
        ] {
            let found = over(bytes, every);
            let is_close = match (found, wanted) {
                (Some(found), Some(wanted)) => found.abs_diff(wanted) <= 15,
                // Only just too slow: over, but not soon.
                (Some(found), None) => bytes == 999 && found > 1_000_000,
                (None, wanted) => wanted.is_none(),
            };
            assert!(is_close, "{bytes} every {every} ms: {found:?}");
        }
    }

    #[test]
    fn only_waiting_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(BOUND);
        assert_eq!(pace.wait(at(0)), at(10));
        pace.stop(at(6));
        assert_eq!(pace.wait(at(100)), at(104), "what was left before");
        pace.moved(2000, at(101));
        assert_eq!(pace.wait(at(101)), at(106));
        pace.moved(u64::MAX, at(102));
        assert_eq!(pace.wait(at(102)), at(112), "never more than at first");
        assert_eq!(pace.wait(at(105)), at(112), "waiting on is no new wait");
    }

    #[tokio::test]
    async fn an_alarm_that_rings_too_early_is_set_again() {
        let bound = Bound {
            stall: Duration::from_millis(20),
            rate: 1,
        };
        let mut clock = Clock::new(bound);
        let first = clock.alarm.deadline();
        clock.stop();
        tokio::time::sleep_until(first).await;
        std::future::poll_fn(|cx| clock.poll_end(cx)).await;
        assert!(clock.alarm.deadline() > first);
    }
}
