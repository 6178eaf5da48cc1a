//! A copy of a request on its way to another upstream.
//!
//! It is made when the request is there in full, of the same memory, and sent from a task
//! of the same worker over connections of its own. Nobody waits for it: what becomes of it
//! is counted, and how its endpoint did is told to the others that choose among them. A
//! request whose body nobody has to read before is not held up: its pieces are noted as they
//! pass.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderName, HeaderValue, StatusCode};
use penstock_plugins::HeaderEdits;
use penstock_plugins::balance::{Ask, Flight, Verdict};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use tracing::debug;

use super::body::Body;
use super::context::Context;
use super::outgoing::{self, TRIES_MAX};
use super::{Proxy, attempt, credentials, edits};
use crate::clock;
use crate::connections::Connections;
use crate::generation::Generation;
use crate::places::Place;
use crate::shadows::{ShadowOutcome, Shadows};
use crate::upstream::{self, Endpoint, Upstream};

/// What tells a copy from a request.
const MARK: HeaderName = HeaderName::from_static("x-penstock-shadow");

/// How much sooner the request itself goes, at least: these timers go by ticks of 10 ms, and cost
/// the request nothing. To make a copy, to connect and to send it takes its worker as long as the
/// request's own way through, which would wait for that.
const HEAD_START: Duration = Duration::from_millis(1);

/// A copy that is to be made.
struct Draft {
    client: RequestHeader,
    edits: HeaderEdits,
    key: Option<u64>,
    body: Option<Body>,
    shadows: Arc<Shadows>,
    generation: Arc<Generation>,
    place: Place,
}

/// A copy, and all that it holds until it has ended.
struct Shadow {
    head: RequestHeader,
    body: Option<Body>,
    peer: Box<HttpPeer>,
    endpoint: Arc<Endpoint>,
    flight: Flight,
    shadows: Arc<Shadows>,
    /// Not held: a slow copy keeps no old generation alive.
    generation: Weak<Generation>,
    _place: Place,
}

/// The body of a request that is to be copied, as far as it has passed.
pub(super) struct Passing {
    shadows: Arc<Shadows>,
    body: Body,
}

/// Copies a request that is about to be sent upstream, if it is its turn: now, or when the
/// rest of it has passed.
pub(super) fn cast(proxy: &Proxy, session: &mut Session, ctx: &mut Context) {
    let Some(shadows) = ctx.generation.shadows(ctx.route) else {
        return;
    };
    if session.is_upgrade_req() || !shadows.is_due() {
        return;
    }
    if ctx.body.is_some() || session.is_body_empty() {
        return send(proxy, session, ctx, shadows, ctx.body.as_ref());
    }
    let passing = Passing {
        shadows: shadows.clone(),
        body: Body::empty(&proxy.telemetry.bodies_kept),
    };
    ctx.passing = Some(Box::new(passing));
}

/// A piece of a body goes upstream, which may be the last one.
pub(super) fn pass(
    proxy: &Proxy,
    session: &Session,
    ctx: &mut Context,
    piece: Option<&Bytes>,
    last: bool,
) {
    let Some(mut passing) = ctx.passing.take() else {
        return;
    };
    if let Some(piece) = piece {
        passing.body.push(piece.clone());
    }
    let shadows = &passing.shadows;
    if passing.body.len() as u64 > shadows.settings.body.bytes() {
        shadows.metrics.outcomes.count(ShadowOutcome::BodyTooLarge);
    } else if last {
        let body = Some(&passing.body).filter(|body| body.len() > 0);
        send(proxy, session, ctx, shadows, body);
    } else {
        ctx.passing = Some(passing);
    }
}

fn send(
    proxy: &Proxy,
    session: &Session,
    ctx: &Context,
    shadows: &Arc<Shadows>,
    body: Option<&Body>,
) {
    match Draft::of(session.req_header(), ctx, shadows, body) {
        Ok(draft) => {
            tokio::spawn(draft.send(proxy.connections.clone()));
        }
        Err(outcome) => shadows.metrics.outcomes.count(outcome),
    }
}

impl Draft {
    fn of(
        client: &RequestHeader,
        ctx: &Context,
        shadows: &Arc<Shadows>,
        body: Option<&Body>,
    ) -> Result<Draft, ShadowOutcome> {
        let body_max = shadows.settings.body.bytes();
        if body.map_or(0, Body::len) as u64 > body_max {
            return Err(ShadowOutcome::BodyTooLarge);
        }
        let place = shadows.place().ok_or(ShadowOutcome::NoPlace)?;
        let upstream = ctx.generation.upstream(shadows.target.upstream);
        let upstream = upstream.ok_or(ShadowOutcome::Unavailable)?;
        let sent = body.map(Body::pieces).unwrap_or_default();
        Ok(Draft {
            client: client.clone(),
            edits: ctx.exchange.request.clone(),
            key: upstream.key(client, &ctx.exchange, sent),
            body: body.map(|body| body.copy(&edits::of_body(ctx, &shadows.target))),
            shadows: shadows.clone(),
            generation: ctx.generation(),
            place,
        })
    }

    async fn send(self, connections: Arc<Connections>) {
        pingora_timeout::sleep(HEAD_START).await;
        let shadows = self.shadows.clone();
        match self.finish() {
            // Boxed, so that the request does not make room for it.
            Ok(shadow) => Box::pin(shadow.send(connections)).await,
            Err(outcome) => shadows.metrics.outcomes.count(outcome),
        }
    }

    /// Makes the copy.
    fn finish(self) -> Result<Shadow, ShadowOutcome> {
        let upstream = self.generation.upstream(self.shadows.target.upstream);
        let upstream = upstream.ok_or(ShadowOutcome::Unavailable)?;
        let ask = Ask {
            now: clock::now(),
            key: self.key,
            tried: &[],
        };
        let pool = upstream.pool();
        let (member, flight) = pool.enter(ask).map_err(|none| {
            debug!(upstream = upstream.name, %none, "a request is not copied");
            ShadowOutcome::Unavailable
        })?;
        let head = self.head(upstream, &member.target).map_err(|error| {
            debug!(%error, "a request cannot be copied");
            ShadowOutcome::Failed
        })?;
        Ok(Shadow {
            head,
            body: self.body,
            peer: member.target.peer(),
            endpoint: member.target.clone(),
            flight,
            shadows: self.shadows,
            generation: Arc::downgrade(&self.generation),
            _place: self.place,
        })
    }

    /// The head as this upstream is to see it.
    fn head(&self, upstream: &Upstream, endpoint: &Endpoint) -> Result<RequestHeader> {
        let mut head = outgoing::relayed(&self.client)?;
        edits::apply(&self.edits, &mut head)?;
        credentials::replace(upstream, endpoint, &mut head)?;
        if let Some(host) = &upstream.host {
            head.insert_header(HOST, host.clone())?;
        }
        outgoing::frame(&mut head, &self.client, self.body.as_ref().map(Body::len))?;
        head.insert_header(MARK, HeaderValue::from_static("1"))?;
        Ok(head)
    }
}

impl Shadow {
    async fn send(mut self, connections: Arc<Connections>) {
        let began = Instant::now();
        let limit = self.shadows.settings.timeout.get();
        let outcome = match tokio::time::timeout(limit, self.exchange(&connections)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                debug!(upstream = self.endpoint.standing.upstream, %error, "a copied request failed");
                self.judge(Verdict::Bad, &error);
                match error.etype() {
                    ErrorType::ConnectTimedout
                    | ErrorType::TLSHandshakeTimedout
                    | ErrorType::ReadTimedout
                    | ErrorType::WriteTimedout => ShadowOutcome::TimedOut,
                    _ => ShadowOutcome::Failed,
                }
            }
            // How long a copy may take says nothing of its endpoint.
            Err(_) => ShadowOutcome::TimedOut,
        };
        self.shadows.ended(outcome, began.elapsed());
    }

    async fn exchange(&mut self, connections: &Connections) -> Result<ShadowOutcome> {
        let mut tries = 1;
        let (mut session, status) = loop {
            let (mut session, reused) = connections.connect(&self.peer).await?;
            match self.ask(&mut session).await {
                Ok(status) => break (session, status),
                // It may have been closed while it was idle.
                Err(_) if reused && tries < TRIES_MAX => tries += 1,
                Err(error) => return Err(error),
            }
        };
        self.flight.first_byte(clock::now());
        self.judge(attempt::verdict(status.as_u16()), &status);
        let mut left = self.shadows.settings.answer.bytes();
        while let Some(piece) = session.read_response_body().await? {
            match left.checked_sub(piece.len() as u64) {
                Some(rest) => left = rest,
                None => return Ok(ShadowOutcome::AnswerTooLarge),
            }
        }
        connections.release(session, &self.peer).await;
        Ok(match status.as_u16() {
            ..400 => ShadowOutcome::Completed,
            400..500 => ShadowOutcome::ClientError,
            _ => ShadowOutcome::ServerError,
        })
    }

    /// Sends it, and reads the head of its answer.
    async fn ask(&self, session: &mut HttpSession) -> Result<StatusCode> {
        let pieces = self.body.as_ref().map(Body::pieces).unwrap_or_default();
        outgoing::send(session, &self.peer, &self.head, pieces).await?;
        upstream::read_status(session).await
    }

    /// Takes down how the endpoint did.
    fn judge(&mut self, verdict: Verdict, reason: &dyn std::fmt::Display) {
        let Some(generation) = self.generation.upgrade() else {
            return;
        };
        let Some(upstream) = generation.upstream(self.shadows.target.upstream) else {
            return;
        };
        let now = clock::now();
        upstream.judge(&self.endpoint, &mut self.flight, verdict, reason, now);
    }
}
