//! An attempt that is made beside a slow one.
//!
//! The first attempt runs through Pingora as always. A [`Hedge`] waits in a task of the same
//! worker until it is time, sends the same request to another endpoint of the target, or to
//! the next one of the route's fallbacks, over connections of its own, and reads the answer up to its first output. If that is there first, the
//! [replay](super::replay) ends the first attempt, and the next one that Pingora makes
//! [adopts](Adopted) what has begun: from then on it is an attempt like any other. The same
//! happens if the first one fails while the other is under way. If the first one has output
//! first, or the request ends, the task is aborted, which closes what it has open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use penstock_plugins::balance::Flight;
use penstock_plugins::{HeaderEdits, UpstreamId};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use tokio::sync::{Notify, oneshot};

use super::body::Body;
use super::context::Context;
use super::replay::Hold;
use super::{Proxy, attempt, edits, target, tried};
use crate::connections::Connections;
use crate::generation::Generation;
use crate::handover::{Begun, Exchange, Task};
use crate::hedges::{Hedged, Hedges};
use crate::telemetry::Outcome as _;
use crate::transport::Transport;
use crate::upstream::{Credential, Endpoint};

mod connect;
mod run;

use connect::Contested;

/// Key in the access log of what became of it.
const NOTE: &str = "hedge";

/// What a second attempt is made from when it is time.
struct Plan {
    hedges: Arc<Hedges>,
    generation: Arc<Generation>,
    connections: Arc<Connections>,
    route: Option<usize>,
    /// What the client sent, and what changes in it.
    client: RequestHeader,
    edits: HeaderEdits,
    /// Where it may be sent, the better first.
    places: Vec<Place>,
    /// The answer may be a stream of a model's, which is looked into.
    is_dialect: bool,
}

/// Where a second attempt may be sent, and with what body.
struct Place {
    /// Which of the route's fallbacks it is; none for the target of the first attempt.
    fallback: Option<usize>,
    upstream: UpstreamId,
    pieces: Arc<[Bytes]>,
    /// Of the body, if there is one.
    length: Option<usize>,
    /// What the choice of an endpoint goes by.
    key: Option<u64>,
    /// Seeds of the endpoints that have the request, or have failed it.
    tried: Vec<u64>,
}

/// An attempt beside the one of the request, or what is to become one.
pub(super) struct Hedge {
    shared: Arc<Shared>,
    coming: Option<oneshot::Receiver<Result<Box<Begun>>>>,
    /// Ends with this.
    task: Option<Task>,
    hedges: Arc<Hedges>,
}

/// What the task and the request share.
struct Shared {
    stage: Mutex<Stage>,
    /// There is output.
    ready: Notify,
}

/// Sees when there is output.
pub(super) struct Watch(Arc<Shared>);

/// How far it has come.
enum Stage {
    /// It is not made yet.
    Planned,
    /// It has begun.
    UnderWay(Box<Trip>),
    /// There is output.
    Ready(Box<Trip>),
    /// The request goes on with it.
    Adopted(Hedged),
    /// It has ended, or there is none. What was missed is told once.
    Over(Hedged, Option<Missed>),
}

/// Where it was sent.
#[derive(Clone)]
pub(super) struct Sent {
    /// To this one of the route's fallbacks.
    pub(super) fallback: Option<usize>,
    pub(super) upstream: UpstreamId,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) at: Instant,
}

/// One that is under way.
struct Trip {
    sent: Sent,
    flight: Flight,
    credential: Option<Arc<Credential>>,
}

/// One that the request goes on with.
pub(super) struct Adopted {
    pub(super) sent: Sent,
    pub(super) flight: Flight,
    pub(super) credential: Option<Arc<Credential>>,
    pub(super) exchange: Exchange,
}

/// One that the request does not go on with.
pub(super) struct Missed {
    sent: Sent,
    /// Why it failed; none if it was given up.
    failure: Option<Failure>,
}

/// Why one failed, in a word, and how long it took.
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) time: Duration,
}

/// Plans an attempt beside the one that begins, if the route asks for it and it does no
/// harm.
pub(super) fn plan(proxy: &Proxy, session: &Session, ctx: &mut Context, peer: &mut HttpPeer) {
    let Some(hedges) = ctx.generation.hedges(ctx.route).cloned() else {
        return;
    };
    ctx.attempts.first_began = (ctx.attempts.made == 1).then(Instant::now);
    let Some(hold) = &ctx.hold else { return };
    let is_harmless = attempt::does_no_harm(session.req_header(), ctx.exchange.dialect());
    if !is_harmless || !ctx.has_attempt_left() || hold.was_hedged() {
        return;
    }
    if ctx.attempts.made == 1 {
        hedges.earn();
    }
    let Some(delay) = hedges.delay() else { return };
    let plan = Plan {
        hedges,
        generation: ctx.generation(),
        connections: proxy.connections.clone(),
        route: ctx.route,
        client: session.req_header().clone(),
        edits: ctx.exchange.request.clone(),
        places: Place::here(ctx, hold)
            .into_iter()
            .chain(Place::next(ctx, session))
            .collect(),
        is_dialect: ctx.exchange.dialect() != penstock_plugins::Dialect::Plain,
    };
    let hedge = Hedge::start(plan, delay);
    peer.options.custom_l4 = Some(Arc::new(Contested {
        watch: hedge.watch(),
        is_ours: Transport::of(&peer.options.alpn).is_some(),
    }));
    hold.hedge(hedge);
}

/// The attempt under way has produced output: the one beside it is not needed.
pub(super) fn first_spoke(ctx: &mut Context) {
    let Some(hedges) = ctx.generation.hedges(ctx.route) else {
        return;
    };
    if let Some(hold) = &ctx.hold {
        hold.leave_hedge(Hedged::Lost);
    }
    let begun = ctx.attempts.first_began.take();
    // What is refused soon says nothing of how long an answer takes.
    if let Some(begun) = begun.filter(|_| ctx.status < 400) {
        hedges.took(begun.elapsed());
    }
}

/// The attempt under way ends since the other one was sooner. It would have taken longer.
pub(super) fn was_outrun(ctx: &mut Context) {
    let hedges = ctx.generation.hedges(ctx.route);
    if let (Some(begun), Some(hedges)) = (ctx.attempts.first_began.take(), hedges) {
        hedges.took(begun.elapsed());
    }
}

/// Takes down the attempt that was made beside others and that the request does not go on
/// with, if there is one and this was not done.
pub(super) fn settle(ctx: &mut Context) {
    let Some(missed) = ctx.hold.as_ref().and_then(|hold| hold.missed()) else {
        return;
    };
    ctx.attempts.made += 1;
    let Missed { sent, failure } = missed;
    if let Some(failure) = failure {
        ctx.attempts.counted += 1;
        if sent.fallback.is_none() {
            ctx.attempts.failed.push(sent.endpoint.seed);
        }
        tried::failed_beside(ctx, &sent, failure);
    }
}

/// The request has ended.
pub(super) fn conclude(ctx: &mut Context) {
    let Some(hold) = ctx.hold.clone() else { return };
    hold.leave_hedge(Hedged::Cancelled);
    settle(ctx);
    if let Some(hedged) = hold.hedged() {
        ctx.exchange.note(NOTE, hedged.as_str());
    }
}

impl Place {
    /// The target of the attempt that begins, at another endpoint.
    fn here(ctx: &Context, hold: &Hold) -> Option<Place> {
        let endpoint = ctx.attempts.endpoint.iter();
        let tried = endpoint.map(|endpoint| endpoint.seed);
        Some(Place {
            fallback: None,
            upstream: ctx.target.as_ref()?.upstream,
            pieces: hold.pieces(),
            length: ctx.sent_len(),
            key: ctx.attempts.key,
            tried: tried.chain(ctx.attempts.failed.iter().copied()).collect(),
        })
    }

    /// The target that a request goes on to that has failed.
    fn next(ctx: &Context, session: &Session) -> Option<Place> {
        let (fallback, target) = target::fallbacks(ctx).next()?;
        let upstream = ctx.generation.upstream(target.upstream)?;
        let client = ctx.body.as_ref();
        let sent = client.map(Body::pieces).unwrap_or_default();
        let key = upstream.key(session.req_header(), &ctx.exchange, sent);
        let body = client.map(|body| body.copy(&edits::of_body(ctx, target)));
        Some(Place {
            fallback: Some(fallback),
            upstream: target.upstream,
            pieces: body.as_ref().map(Body::pieces).unwrap_or_default().into(),
            length: body.as_ref().map(Body::len),
            key,
            tried: Vec::new(),
        })
    }
}

impl Hedge {
    fn start(plan: Plan, delay: Duration) -> Hedge {
        let shared = Arc::new(Shared {
            stage: Mutex::new(Stage::Planned),
            ready: Notify::new(),
        });
        let (send, coming) = oneshot::channel();
        let hedges = plan.hedges.clone();
        let running = run::run(plan, delay, shared.clone(), send);
        let task = tokio::spawn(running).abort_handle();
        Hedge {
            shared,
            coming: Some(coming),
            task: Some(Task(task)),
            hedges,
        }
    }

    /// Whether it was made, whatever became of it.
    pub(super) fn was_made(&self) -> bool {
        !matches!(*self.shared.stage.lock(), Stage::Planned)
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(
            *self.shared.stage.lock(),
            Stage::UnderWay(_) | Stage::Ready(_)
        )
    }

    pub(super) fn watch(&self) -> Watch {
        Watch(self.shared.clone())
    }

    /// The request goes on with it, if it is under way.
    pub(super) fn adopt(&mut self) -> Option<Adopted> {
        if !self.is_under_way() {
            return None;
        }
        let exchange = Exchange::new(self.coming.take()?, self.task.take()?);
        let mut stage = self.shared.stage.lock();
        let how = match *stage {
            Stage::Ready(_) => Hedged::Won,
            _ => Hedged::TookOver,
        };
        match std::mem::replace(&mut *stage, Stage::Adopted(how)) {
            Stage::UnderWay(trip) | Stage::Ready(trip) => {
                self.hedges.count(how);
                let Trip {
                    sent,
                    flight,
                    credential,
                } = *trip;
                Some(Adopted {
                    sent,
                    flight,
                    credential,
                    exchange,
                })
            }
            other => {
                *stage = other;
                None
            }
        }
    }

    /// Ends it, unless the request goes on with it.
    pub(super) fn end(&mut self, how: Hedged) {
        // What the task has open goes with it.
        self.task = None;
        self.coming = None;
        let mut stage = self.shared.stage.lock();
        if let Stage::UnderWay(trip) | Stage::Ready(trip) = &*stage {
            let missed = Missed {
                sent: trip.sent.clone(),
                failure: None,
            };
            self.hedges.count(how);
            *stage = Stage::Over(how, Some(missed));
        }
    }

    pub(super) fn missed(&mut self) -> Option<Missed> {
        match &mut *self.shared.stage.lock() {
            Stage::Over(_, missed) => missed.take(),
            _ => None,
        }
    }

    pub(super) fn result(&self) -> Option<Hedged> {
        match &*self.shared.stage.lock() {
            Stage::Adopted(how) | Stage::Over(how, _) => Some(*how),
            Stage::UnderWay(_) | Stage::Ready(_) => Some(Hedged::Started),
            Stage::Planned => None,
        }
    }
}

impl Drop for Hedge {
    fn drop(&mut self) {
        self.end(Hedged::Cancelled);
    }
}

impl Watch {
    /// Waits until there is output.
    pub(super) async fn ready(&self) {
        while !matches!(*self.0.stage.lock(), Stage::Ready(_)) {
            self.0.ready.notified().await;
        }
    }
}
