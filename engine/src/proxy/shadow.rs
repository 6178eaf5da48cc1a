//! A copy of a request on its way to another upstream.
//!
//! It is made when the request is there in full, of the same memory, and sent from a task
//! of the same worker over connections of its own. Nobody waits for it: what becomes of it
//! is counted, and how its endpoint did is told to the others that choose among them.

use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, Uri, Version};
use penstock_plugins::balance::{Ask, Flight, Verdict};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use tokio::sync::OnceCell;
use tracing::debug;

use super::body::Body;
use super::context::Context;
use super::{Proxy, attempt, credentials, edits};
use crate::clock;
use crate::generation::Generation;
use crate::places::Place;
use crate::shadows::{ShadowOutcome, Shadows};
use crate::transport;
use crate::upstream::{self, Endpoint, Upstream};

/// What tells a copy from a request.
const MARK: HeaderName = HeaderName::from_static("x-penstock-shadow");

/// What belongs to the client's connection (RFC 9110 section 7.6.1) or its own framing.
static OF_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Connections that a copy may find closed before it gives up.
const TRIES_MAX: usize = 3;

/// A worker's connections for copies, made when the first one is sent.
pub(super) type Connections = OnceCell<Connector<transport::Connector>>;

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

/// Copies a request that is about to be sent upstream, if it is its turn.
pub(super) fn cast(proxy: &Proxy, session: &Session, ctx: &Context) {
    let Some(shadows) = ctx.generation.shadows(ctx.route) else {
        return;
    };
    if session.is_upgrade_req() || !shadows.is_due() {
        return;
    }
    match Shadow::of(session.req_header(), ctx, shadows) {
        Ok(shadow) => {
            tokio::spawn(shadow.send(proxy.shadows.clone()));
        }
        Err(outcome) => shadows.metrics.count(outcome),
    }
}

impl Shadow {
    fn of(
        client: &RequestHeader,
        ctx: &Context,
        shadows: &Arc<Shadows>,
    ) -> Result<Shadow, ShadowOutcome> {
        let body_max = shadows.settings.body.bytes();
        if ctx.body.as_ref().map_or(0, Body::len) as u64 > body_max {
            return Err(ShadowOutcome::BodyTooLarge);
        }
        let place = shadows.place().ok_or(ShadowOutcome::NoPlace)?;
        let upstream = ctx.generation.upstream(shadows.target.upstream);
        let upstream = upstream.ok_or(ShadowOutcome::Unavailable)?;
        let ask = Ask {
            now: clock::now(),
            key: upstream.key(client, &ctx.exchange),
            tried: &[],
        };
        let pool = upstream.pool();
        let (member, flight) = pool.enter(ask).map_err(|none| {
            debug!(upstream = upstream.name, %none, "a request is not copied");
            ShadowOutcome::Unavailable
        })?;
        let body = body(ctx, shadows);
        let head = head(client, ctx, upstream, body.as_ref().map(Body::len));
        let head = head.map_err(|error| {
            debug!(%error, "a request cannot be copied");
            ShadowOutcome::Failed
        })?;
        Ok(Shadow {
            head,
            body,
            peer: member.target.peer(),
            endpoint: member.target.clone(),
            flight,
            shadows: shadows.clone(),
            generation: Arc::downgrade(&ctx.generation),
            _place: place,
        })
    }

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
        // It reads the system's authorities, for which no request is to wait.
        let make = || Connector::new_custom(None, transport::Connector);
        let made = connections.get_or_try_init(|| tokio::task::spawn_blocking(make));
        let connector = made
            .await
            .or_err(ErrorType::InternalError, "making connections for copies")?;
        let mut tries = 1;
        let (mut session, status) = loop {
            let (mut session, reused) = connector.get_http_session(&*self.peer).await?;
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
        let idle = self.peer.options.idle_timeout;
        connector
            .release_http_session(session, &*self.peer, idle)
            .await;
        Ok(match status.as_u16() {
            ..400 => ShadowOutcome::Completed,
            400..500 => ShadowOutcome::ClientError,
            _ => ShadowOutcome::ServerError,
        })
    }

    /// Sends it, and reads the head of its answer.
    async fn ask(&self, session: &mut HttpSession) -> Result<StatusCode> {
        session.set_read_timeout(self.peer.options.read_timeout);
        session.set_write_timeout(self.peer.options.write_timeout);
        let head = match session.as_http2() {
            Some(_) => http2(&self.head, self.peer.tls())?,
            None => self.head.clone(),
        };
        session.write_request_header(Box::new(head)).await?;
        let pieces: &[Bytes] = self.body.as_ref().map(Body::pieces).unwrap_or_default();
        for piece in pieces {
            session.write_request_body(piece.clone(), false).await?;
        }
        session.finish_request_body().await?;
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

/// The body with what plugins changed, and with the copy's own model.
fn body(ctx: &Context, shadows: &Shadows) -> Option<Body> {
    let body = ctx.body.as_ref()?;
    Some(body.copy(&edits::of_body(ctx, &shadows.target)))
}

/// The head as this upstream is to see it.
fn head(
    client: &RequestHeader,
    ctx: &Context,
    upstream: &Upstream,
    length: Option<usize>,
) -> Result<RequestHeader> {
    let target = client.uri.path_and_query();
    let target = target.map_or("/", PathAndQuery::as_str);
    let room = client.headers.len() + 4;
    let mut head = RequestHeader::build(client.method.clone(), target.as_bytes(), Some(room))?;
    for (name, value) in &client.headers {
        if !OF_CONNECTION.contains(name) && !is_nominated(client, name) {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    if let Some(authority) = client.uri.authority() {
        head.insert_header(HOST, authority.as_str())?;
    }
    edits::apply(&ctx.exchange.request, &mut head)?;
    credentials::replace(upstream, &mut head)?;
    if let Some(host) = &upstream.host {
        head.insert_header(HOST, host.clone())?;
    }
    if length.is_some() || client.headers.contains_key(CONTENT_LENGTH) {
        head.insert_header(CONTENT_LENGTH, length.unwrap_or(0))?;
    }
    head.insert_header(MARK, HeaderValue::from_static("1"))?;
    Ok(head)
}

/// Whether the client says that a header is for the connection alone.
fn is_nominated(client: &RequestHeader, name: &HeaderName) -> bool {
    let values = client.headers.get_all(CONNECTION).into_iter();
    let mut options = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.any(|option| {
        option
            .trim_ascii()
            .eq_ignore_ascii_case(name.as_str().as_bytes())
    })
}

/// The same head for HTTP/2, where the host is a part of the target.
fn http2(head: &RequestHeader, tls: bool) -> Result<RequestHeader> {
    let mut head = head.clone();
    let host = head.remove_header(&HOST);
    let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let target = head.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(host)
        .path_and_query(target.unwrap_or(PathAndQuery::from_static("/")))
        .build();
    head.set_uri(uri.or_err(ErrorType::InvalidHTTPHeader, "host of a copied request")?);
    head.set_version(Version::HTTP_2);
    Ok(head)
}
