//! The one implementor of Pingora's `ProxyHttp`.
//!
//! Each hook is a few lines that call the module of its phase: `request` before an
//! upstream is chosen, `attempt` for each try to send it somewhere, `answer` for what
//! comes back, `ending` once at the end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use tokio::sync::mpsc;

use crate::connections::Connections;
use crate::edge::Bound;
use crate::handover::Handover;
use crate::live::Live;
use crate::strict::{AnswerLimits, Limits, Paths};
use crate::telemetry::Telemetry;
use crate::transport::Outbound;

mod answer;
mod attempt;
mod body;
mod client;
mod context;
mod credentials;
mod edits;
mod ending;
mod hedge;
mod held;
mod hops;
mod outgoing;
mod overloaded;
mod replay;
mod request;
mod respond;
mod shadow;
mod slow;
mod stalled;
mod stored;
mod strict;
mod target;
mod tried;
mod unavailable;

use body::Room;

pub use attempt::TRIES_MAX;
pub use context::Context;
pub(crate) use strict::refuse_unread;

/// The proxy's logic, shared by the requests of a worker.
pub struct Proxy {
    live: Arc<Live>,
    telemetry: Arc<Telemetry>,
    /// Those that it makes itself.
    connections: Arc<Connections>,
    /// Where it leaves what Pingora is to go on with.
    handover: Handover,
    paths: Paths,
    heads: Limits,
    /// How far a client may fall behind with a body over HTTP/2.
    bodies: Bound,
    answers: AnswerLimits,
}

impl Proxy {
    /// A proxy that serves the generation in force.
    pub fn new(live: Arc<Live>, telemetry: Arc<Telemetry>, handover: Handover) -> Self {
        let server = live.server();
        Proxy {
            paths: Paths::from(&server.paths),
            heads: Limits::from(&server.limits),
            bodies: Bound::of_bodies(&server.limits),
            answers: AnswerLimits::from(&server.limits),
            live,
            telemetry,
            connections: Arc::default(),
            handover,
        }
    }

    /// What bodies that are kept may take up.
    fn room(&self) -> Room<'_> {
        Room {
            kept: &self.telemetry.bodies_kept,
            max: self.live.overload().bodies_max(),
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.live.load())
    }

    /// No modules: Pingora's default adds a compression that nobody asked for.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        request::admit(self, session, ctx).await
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<Box<HttpPeer>> {
        attempt::next_peer(self, session, ctx)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        attempt::connected(session, ctx, reused, digest.and_then(Outbound::of));
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Context,
        error: Box<Error>,
    ) -> Box<Error> {
        attempt::connect_failed(ctx, error)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        attempt::prepare_head(ctx, head)
    }

    /// Called where a replay asks for it, to end an attempt whose body is not taken.
    async fn custom_forwarding(
        &self,
        _session: &mut Session,
        ctx: &mut Context,
        _to_upstream: Option<mpsc::Sender<Bytes>>,
        to_client: mpsc::Sender<Bytes>,
    ) -> Result<()> {
        replay::watch(ctx, to_client);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        request::streamed(self, session, ctx, body, end_of_stream)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        attempt::failed(ctx, session, error, reused)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        strict::check_head(&self.answers, session, ctx, head)?;
        answer::head(session, ctx, head)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut Context,
    ) -> Result<Option<Bytes>> {
        credentials::conceal_trailers(ctx, trailers);
        Ok(answer::trailers(ctx))
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        answer::chunk(ctx, body, end_of_stream)?;
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Context,
    ) -> FailToProxy {
        strict::note(self, error, ctx);
        slow::note(self, error, ctx);
        answer::failure(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
        stalled::note(self, session, error);
        ending::end(session, error, ctx);
    }

    /// Our access line tells of the failure, once.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Context, _error: &Error) -> bool {
        true
    }

    /// Our attempt's line tells of it.
    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Context,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
