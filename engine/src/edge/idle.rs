//! A connection between requests.

use std::io;
use std::time::{Duration, Instant};

use pingora_core::protocols::{Stream, UniqueID};
use tracing::debug;

use super::downstream::{Cut, Downstream};
use super::pace::Pace;
use super::spare::Spared;
use super::{Late, Requests, Terms, taken};
use crate::transport::{EpollStream, RingStream};

/// When a client that has asked for nothing more is first looked at, and how often from then
/// on: whether it has taken the last answer. Most of those who ask again do so before.
const LOOK: Duration = Duration::from_secs(1);

/// Waits for the beginning of the next request. False if none comes in time, if the client has
/// gone, if its place is needed, or if it is too slow to take the last answer, which waits in
/// the system's buffers.
pub(super) async fn over(requests: &mut Requests, cut: &Cut, terms: &Terms) -> bool {
    let look = LOOK.min(terms.keepalive).min(terms.answer.stall / 2);
    let arrived = pingora_timeout::timeout(look, arrives(requests)).await;
    if let Ok(arrived) = arrived {
        return arrived.is_ok();
    }
    if taken::by(requests.id()).is_some_and(|taken| taken.is_behind) {
        // Boxed, so that a connection has no room for it as long as its client keeps up.
        match Box::pin(taking(requests, cut, terms, look)).await {
            Taking::Done => {}
            Taking::Arrived(arrived) => return arrived,
        }
    }
    let rest = terms.keepalive.saturating_sub(look);
    tokio::select! {
        biased;
        arrived = pingora_timeout::timeout(rest, arrives(requests)) => matches!(arrived, Ok(Ok(()))),
        () = Spared::default() => false,
    }
}

/// What became of a client that had not taken the last answer.
enum Taking {
    /// It has.
    Done,
    /// Its next request has begun; or not, and there will be none.
    Arrived(bool),
}

async fn taking(requests: &mut Requests, cut: &Cut, terms: &Terms, look: Duration) -> Taking {
    let mut pace = Pace::new(terms.answer);
    let mut before = None;
    loop {
        let bytes = match taken::by(requests.id()) {
            Some(taken) if taken.is_behind => taken.bytes,
            _ => return Taking::Done,
        };
        let now = Instant::now();
        if let Some(before) = before.replace(bytes) {
            pace.moved(bytes.saturating_sub(before), now);
        }
        if pace.wait(now) <= now {
            debug!("{}", Late::Answer);
            terms.telemetry.count_limit(Late::Answer.limit());
            cut.ask();
            return Taking::Arrived(false);
        }
        let arrived = pingora_timeout::timeout(look, arrives(requests)).await;
        if let Ok(arrived) = arrived {
            return Taking::Arrived(arrived.is_ok());
        }
    }
}

/// Waits for the beginning of the next request, as far as possible without memory for it.
async fn arrives(requests: &mut Requests) -> io::Result<()> {
    match Plain::of(requests.stream()) {
        Some(plain) => plain.readable().await,
        None => requests.read_ahead().await,
    }
}

/// A cleartext connection, which can be waited for without the state of a request.
enum Plain<'s> {
    Ring(&'s RingStream),
    Epoll(&'s EpollStream),
}

impl<'s> Plain<'s> {
    fn of(stream: &'s Stream) -> Option<Self> {
        let any = stream.as_any();
        if let Some(ring) = any.downcast_ref::<Downstream<RingStream>>() {
            return Some(Plain::Ring(ring.socket()));
        }
        let epoll = any.downcast_ref::<Downstream<EpollStream>>()?;
        Some(Plain::Epoll(epoll.socket()))
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Plain::Ring(stream) => stream.readable().await,
            Plain::Epoll(stream) => stream.readable().await,
        }
    }
}
