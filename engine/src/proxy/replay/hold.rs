//! What a replay and the rest of its request share.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use pingora_core::protocols::http::ServerSession;
use pingora_error::Error;

use super::stuck::Watch;
use crate::drains::Drained;
use crate::hedges::Hedged;
use crate::proxy::attempt;
use crate::proxy::hedge::{Adopted, Hedge, Missed};
use crate::retries::Retries;
use crate::transport::Outbound;

/// What a replay and the rest of its request share.
#[derive(Clone, Default)]
pub(in crate::proxy) struct Hold(pub(super) Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    /// Where a replay leaves the client's session.
    client: Option<Box<ServerSession>>,
    /// The next head is to be kept back.
    keeps_head: bool,
    /// When the attempt under way is over, if its answer has not begun.
    deadline: Option<Deadline>,
    /// When the request is over, if no answer has begun.
    end: Option<Instant>,
    /// How the body of the attempt is being taken, if it may stop unnoticed.
    pub(super) watch: Option<Watch>,
    /// What the next attempt is played.
    pieces: Arc<[Bytes]>,
    /// It is played nothing: the body was sent before.
    is_sent: bool,
    /// The connection of the attempt under way, if it is ours.
    outbound: Option<Arc<Outbound>>,
    /// The attempt beside the one under way, or what is to become one.
    hedge: Option<Hedge>,
    /// The client has gone: what became of the answer that is read on, so far.
    drained: Option<Drained>,
}

/// The end of an attempt, after which there is another one if these allow it.
pub(in crate::proxy) struct Deadline {
    pub(in crate::proxy) at: Instant,
    pub(in crate::proxy) retries: Option<Arc<Retries>>,
}

impl Hold {
    /// An attempt begins, of a request that has time until its `end`.
    pub(in crate::proxy) fn begin(&self, deadline: Option<Deadline>, end: Option<Instant>) {
        let mut state = self.0.lock();
        state.keeps_head = false;
        state.is_sent = false;
        state.deadline = deadline;
        state.end = end;
        state.watch = None;
    }

    /// The attempt has a connection.
    pub(in crate::proxy) fn connect(&self, outbound: Option<Arc<Outbound>>) {
        self.0.lock().outbound = outbound;
    }

    pub(super) fn outbound(&self) -> Option<Arc<Outbound>> {
        self.0.lock().outbound.clone()
    }

    /// The body is this from the next attempt on.
    pub(in crate::proxy) fn play(&self, pieces: Arc<[Bytes]>) {
        self.0.lock().pieces = pieces;
    }

    /// The body of the attempt that begins was sent before.
    pub(in crate::proxy) fn play_nothing(&self) {
        self.0.lock().is_sent = true;
    }

    /// The body of the attempts.
    pub(in crate::proxy) fn pieces(&self) -> Arc<[Bytes]> {
        self.0.lock().pieces.clone()
    }

    pub(super) fn is_sent(&self) -> bool {
        self.0.lock().is_sent
    }

    /// The head that is about to be written is to be kept back until something follows it.
    pub(in crate::proxy) fn keep_head(&self) {
        self.0.lock().keeps_head = true;
    }

    pub(super) fn keeps_head(&self) -> bool {
        self.0.lock().keeps_head
    }

    /// The answer has begun.
    pub(in crate::proxy) fn release(&self) {
        let mut state = self.0.lock();
        state.keeps_head = false;
        state.deadline = None;
        state.end = None;
        state.watch = None;
    }

    /// The client has gone, and the answer is read on.
    pub(in crate::proxy) fn client_left(&self) -> bool {
        self.0.lock().drained.is_some()
    }

    pub(super) fn drained(&self, drained: Drained) {
        self.0.lock().drained = Some(drained);
    }

    /// Keeps the client's session.
    pub(super) fn leave(&self, client: Option<Box<ServerSession>>) {
        self.0.lock().client = client;
    }

    /// What the replay has left.
    pub(super) fn left(&self) -> (Option<Box<ServerSession>>, Option<Drained>) {
        let mut state = self.0.lock();
        state.watch = None;
        (state.client.take(), state.drained)
    }

    /// The first of the deadlines.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.0.lock();
        let attempt = state.deadline.as_ref().map(|deadline| deadline.at);
        attempt.into_iter().chain(state.end).min()
    }

    /// A deadline has passed: what ends the attempt. If nothing does, it goes on without.
    pub(super) fn ends(&self) -> Option<Box<Error>> {
        let now = Instant::now();
        let mut state = self.0.lock();
        if state.end.is_some_and(|end| end <= now) {
            return Some(attempt::overdue());
        }
        let deadline = state.deadline.take()?;
        let is_hedged = state.hedge.as_ref().is_some_and(Hedge::is_under_way);
        drop(state);
        // What goes on is under way already, and paid for.
        let retries = deadline.retries.filter(|_| !is_hedged);
        let allow = |retries: Arc<Retries>| retries.spend(now);
        retries.is_none_or(allow).then(attempt::late)
    }

    /// Another attempt is to be made beside the one that begins. It takes the place of one
    /// that has not been made yet.
    pub(in crate::proxy) fn hedge(&self, hedge: Hedge) {
        let before = self.0.lock().hedge.replace(hedge);
        drop(before);
    }

    /// Whether another attempt was made beside one of this request.
    pub(in crate::proxy) fn was_hedged(&self) -> bool {
        self.0.lock().hedge.as_ref().is_some_and(Hedge::was_made)
    }

    /// Whether another attempt is under way.
    pub(in crate::proxy) fn is_hedged(&self) -> bool {
        self.0
            .lock()
            .hedge
            .as_ref()
            .is_some_and(Hedge::is_under_way)
    }

    /// Waits until the other attempt has produced output.
    pub(super) async fn outrun(&self) {
        let watch = self.0.lock().hedge.as_ref().map(Hedge::watch);
        match watch {
            Some(watch) => watch.ready().await,
            None => pending().await,
        }
    }

    /// Makes the other attempt the one of the request, if it is under way.
    pub(in crate::proxy) fn adopt(&self) -> Option<Adopted> {
        self.0.lock().hedge.as_mut()?.adopt()
    }

    /// The other attempt is not needed any more, if it is not that of the request.
    pub(in crate::proxy) fn leave_hedge(&self, how: Hedged) {
        if let Some(hedge) = &mut self.0.lock().hedge {
            hedge.end(how);
        }
    }

    /// The other attempt that has failed or was given up, told once.
    pub(in crate::proxy) fn missed(&self) -> Option<Missed> {
        self.0.lock().hedge.as_mut()?.missed()
    }

    /// What became of the other attempt so far, or why there was none.
    pub(in crate::proxy) fn hedged(&self) -> Option<Hedged> {
        self.0.lock().hedge.as_ref()?.result()
    }
}
