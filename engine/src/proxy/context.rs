//! What is known of one request while it is served.

use std::sync::Arc;
use std::time::Instant;

use penstock_plugins::balance::Flight;
use penstock_plugins::cache::Recorder;
use penstock_plugins::{
    Arrival, Dialect, Exchange, HeaderEdits, Outcome, Readers, Refusal, Route, Target,
};

use super::TRIES_MAX;
use super::body::Body;
use super::credentials::Refused;
use super::held::Held;
use super::replay::Hold;
use super::shadow::Passing;
use super::target::Next;
use super::tried::Tried;
use crate::clock;
use crate::generation::Generation;
use crate::handover::Ticket;
use crate::overload::Admitted;
use crate::telemetry::RouteMetrics;
use crate::upstream::{Credential, Endpoint, Upstream};

/// One request's state, from its head to its end.
pub struct Context {
    /// The generation that this request sees, from its first phase to its last.
    pub generation: Arc<Generation>,
    /// What was known when the head had arrived.
    pub(super) arrival: Arrival,
    /// What plugins see and ask for.
    pub exchange: Exchange,
    /// When the head had arrived.
    pub started: Instant,
    /// Place of the route in the generation's table.
    pub route: Option<usize>,
    /// Its place among those under way, once it may go to an upstream.
    pub(super) admitted: Option<Admitted>,
    /// Where the route sends it.
    pub target: Option<Target>,
    /// The body, if it was read before an upstream was chosen.
    pub body: Option<Body>,
    /// What is to be copied of it, and has passed.
    pub(super) passing: Option<Box<Passing>>,
    /// The client's session, while a replay of the body stands in for it.
    pub(super) hold: Option<Hold>,
    /// What each try met.
    pub attempts: Attempts,
    /// The beginning of an answer that its client has not seen.
    pub(super) held: Option<Held>,
    /// What plugins asked for in the answer's head before there was one.
    pub(super) response_edits: Option<HeaderEdits>,
    /// The plugins that read the answer's body.
    pub readers: Readers,
    /// Who records the upstream's answer for the cache.
    pub(super) recorder: Option<Box<Recorder>>,
    /// When the first byte of the answer's body was passed on.
    pub first_byte: Option<Instant>,
    /// The client has been passed a stream of events, up to the end of one of them.
    pub(super) ends_event: bool,
    /// Bytes of request body taken from the client.
    pub request_bytes: u64,
    /// Bytes of the answer's body passed to the client.
    pub response_bytes: u64,
    /// Status of the answer that the client got, ours or the upstream's.
    pub status: u16,
    /// What it is refused with after it began to be sent upstream.
    pub(super) refusal: Option<Box<Refusal>>,
    /// How it ended, if that is known before the end.
    pub outcome: Option<Outcome>,
    /// Why it failed or was refused, for the log.
    pub reason: Option<String>,
}

/// The tries to send a request somewhere.
#[derive(Default)]
pub struct Attempts {
    /// The endpoint of the try under way, or of the last one.
    pub endpoint: Option<Arc<Endpoint>>,
    /// The try under way, or the last one, as its endpoint counts it.
    pub(super) flight: Option<Flight>,
    /// What the choice of an endpoint goes by, where it goes by the request.
    pub(super) key: Option<u64>,
    /// What the upstream was last asked with.
    pub credential: Option<Arc<Credential>>,
    /// The credentials of the present upstream that were not welcome.
    pub(super) refusals: Vec<Refused>,
    /// The attempt under way has failed for its credential, not for its endpoint.
    pub(super) spares_endpoint: bool,
    /// Seeds of the endpoints of the present target that failed.
    pub failed: Vec<u64>,
    /// Targets that the request has left, in order.
    pub(super) passed: Vec<Target>,
    /// How many of the route's fallbacks were reached or passed over.
    pub(super) fallbacks: usize,
    /// Heads of the try under way that said that there would be an answer.
    pub(super) informational: usize,
    /// Tries at the present target.
    pub(super) at_target: usize,
    /// When the try under way began, until it has failed.
    pub(super) began: Option<Instant>,
    /// What became of the tries that failed.
    pub(super) failures: Vec<Tried>,
    /// Ending the try under way before its time takes a retry.
    pub(super) has_price: bool,
    /// When the first try began, while it is under way without output, if that is of interest.
    pub(super) first_began: Option<Instant>,
    /// The try under way was begun beside another one.
    pub(super) ticket: Option<Ticket>,
    /// Where the request goes on to after a try that is about to fail.
    pub(super) next: Option<Next>,
    /// Tries that count: one over a connection that turned out to be closed does not.
    pub counted: usize,
    /// Tries in all.
    pub made: usize,
    /// Something of an answer has been let through to the client, so that there can be no
    /// further try.
    pub answered: bool,
}

impl Context {
    pub(super) fn new(generation: Arc<Generation>) -> Context {
        let arrival = Arrival {
            id: rand::random(),
            client: None,
            generation: generation.id,
            at: clock::now(),
            dialect: Dialect::Plain,
        };
        Context {
            generation,
            arrival,
            exchange: Exchange::new(arrival),
            started: Instant::now(),
            route: None,
            admitted: None,
            target: None,
            body: None,
            passing: None,
            hold: None,
            attempts: Attempts::default(),
            held: None,
            response_edits: None,
            ends_event: false,
            readers: Readers::default(),
            recorder: None,
            first_byte: None,
            request_bytes: 0,
            response_bytes: 0,
            status: 0,
            refusal: None,
            outcome: None,
            reason: None,
        }
    }

    /// The upstream of the target, in this request's generation.
    pub fn upstream(&self) -> Option<&Upstream> {
        self.generation.upstream(self.target.as_ref()?.upstream)
    }

    /// The route, once it is known.
    pub fn route(&self) -> Option<&Route> {
        self.generation.routes.get(self.route?)
    }

    /// How many endpoints the route lets a request try, at all of its targets.
    pub fn attempts_max(&self) -> usize {
        self.route().map_or(1, Route::attempts)
    }

    /// When the answer must have begun.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let time = self.route()?.deadline()?;
        Some(self.started + time.get())
    }

    /// Whether the time for an answer to begin is over.
    pub(super) fn is_over(&self) -> bool {
        self.deadline().is_some_and(|end| end <= Instant::now())
    }

    /// Whether the attempt under way may be followed by another one.
    pub(super) fn has_attempt_left(&self) -> bool {
        self.attempts.counted + 1 < self.attempts_max()
            && self.attempts.made < TRIES_MAX
            && !self.client_left()
    }

    /// Whether the client has gone and the answer is read on without it.
    pub(super) fn client_left(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::client_left)
    }

    /// Whether an attempt is under way beside the one that Pingora makes.
    pub(super) fn is_hedged(&self) -> bool {
        self.hold.as_ref().is_some_and(Hold::is_hedged)
    }

    /// Bytes of the body that are sent, if there is one.
    pub(super) fn sent_len(&self) -> Option<usize> {
        self.body.as_ref().map(Body::sent_len)
    }

    /// The counters of the route, or of requests without one.
    pub fn metrics(&self) -> &RouteMetrics {
        self.generation.metrics(self.route)
    }

    /// The generation, to look things up in while the rest of the context changes.
    pub(super) fn generation(&self) -> Arc<Generation> {
        self.generation.clone()
    }
}
