//! Idle connections of a worker, of which the longest idle are closed when memory or
//! descriptors are short.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::overload::Level;
use crate::telemetry::Telemetry;

/// How long a connection is idle at least before it is closed: its client's next request may
/// be on the way.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// How often some are closed while something is short.
const PAUSE: Duration = Duration::from_millis(50);

/// Of how many idle connections one is closed at a time.
const PART: usize = 8;

thread_local! {
    /// Idle connections of this worker by the order in which they became so.
    static IDLE: RefCell<Idle> = const { RefCell::new(Idle { last: 0, waiting: BTreeMap::new() }) };
}

struct Idle {
    last: u64,
    waiting: BTreeMap<u64, (Instant, Waker)>,
}

/// Ready when an idle connection is to be closed to make room. It counts as idle from the
/// first time that this is polled.
#[derive(Debug, Default)]
pub(super) struct Spared(Option<u64>);

impl Future for Spared {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let (polled, retired) = IDLE.with_borrow_mut(|idle| match self.0 {
            None => {
                idle.last += 1;
                self.0 = Some(idle.last);
                let replaced = idle.waiting.insert(idle.last, (Instant::now(), waker));
                (Poll::Pending, replaced.map(|(_, waker)| waker))
            }
            Some(place) => match idle.waiting.get_mut(&place) {
                Some((_, known)) => (Poll::Pending, Some(std::mem::replace(known, waker))),
                None => (Poll::Ready(()), None),
            },
        });
        // Whatever runs when a waker goes finds the list free.
        drop(retired);
        polled
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        let Some(place) = self.0 else { return };
        // An error means that the worker has ended.
        let gone = IDLE.try_with(|idle| idle.borrow_mut().waiting.remove(&place));
        drop(gone);
    }
}

/// Closes idle connections of this worker while something is short, until the process is
/// gone.
pub async fn make_room(mut level: watch::Receiver<Level>, telemetry: &Telemetry) {
    while level
        .wait_for(|level| *level >= Level::Shedding)
        .await
        .is_ok()
    {
        let closed = close_some(Instant::now());
        telemetry.overload.idle_closed.inc_by(closed as u64);
        tokio::time::sleep(PAUSE).await;
    }
}

fn close_some(now: Instant) -> usize {
    let asked: Vec<Waker> = IDLE.with_borrow_mut(|idle| {
        let most = idle.waiting.len().div_ceil(PART);
        let first = |idle: &mut Idle| {
            let entry = idle.waiting.first_entry()?;
            let is_old = now.saturating_duration_since(entry.get().0) >= IDLE_MIN;
            is_old.then(|| entry.remove().1)
        };
        std::iter::from_fn(|| first(idle)).take(most).collect()
    });
    let count = asked.len();
    asked.into_iter().for_each(Waker::wake);
    count
}

#[cfg(test)]
mod tests {
    use futures::future::FutureExt;

    use super::*;

    #[test]
    fn the_longest_idle_go_first_and_the_newest_stay() {
        let mut idle: Vec<_> = (0..16).map(|_| Spared::default()).collect();
        let mut ready = || -> Vec<usize> {
            let polled = idle
                .iter_mut()
                .map(|spared| spared.now_or_never().is_some());
            let ready = polled.enumerate().filter(|(_, ready)| *ready);
            ready.map(|(place, _)| place).collect()
        };
        assert!(ready().is_empty());
        let now = Instant::now();
        assert_eq!(close_some(now), 0, "their requests may be on the way");
        assert_eq!(close_some(now + IDLE_MIN), 2);
        assert_eq!(ready(), [0, 1]);
        drop(idle);
        assert_eq!(close_some(now + IDLE_MIN), 0, "who has gone is forgotten");
    }
}
