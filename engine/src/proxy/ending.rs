//! The end of an exchange, which happens exactly once: counters, observers, and one line
//! in the log.

use std::time::Duration;

use http::StatusCode;
use penstock_config::server::Access;
use penstock_plugins::{Ending, Outcome};
use pingora_error::{Error, ErrorSource};
use pingora_proxy::Session;
use tracing::{info, warn};

use super::context::Context;
use super::{replay, tried};
use crate::edge::Late;

/// Ends the exchange.
pub(super) fn end(session: &mut Session, error: Option<&Error>, ctx: &mut Context) {
    // Pingora goes on with the client's own session: it decides on keep-alive.
    replay::restore(session, ctx);
    ctx.body = None;
    ctx.attempts.flight = None;
    ctx.admitted = None;
    let outcome = ctx.outcome.unwrap_or_else(|| outcome(error));
    let duration = ctx.started.elapsed();
    count(ctx, outcome, duration);
    observe(session, ctx, outcome, duration);
    if ctx.generation.config.server.log.access == Access::On {
        log(session, ctx, outcome, duration);
    }
}

fn outcome(error: Option<&Error>) -> Outcome {
    match error.map(|error| error.esource()) {
        None => Outcome::Completed,
        Some(ErrorSource::Downstream) if error.and_then(Late::of).is_some() => Outcome::ClientSlow,
        Some(ErrorSource::Downstream) => Outcome::ClientGone,
        Some(ErrorSource::Upstream) => Outcome::UpstreamFailed,
        Some(ErrorSource::Internal | ErrorSource::Unset) => Outcome::Internal,
    }
}

fn count(ctx: &Context, outcome: Outcome, duration: Duration) {
    let metrics = ctx.metrics();
    metrics.count_status(ctx.status);
    metrics.count_outcome(outcome);
    metrics.duration.observe(duration.as_secs_f64());
    if let Some(first_byte) = first_byte(ctx) {
        metrics.first_byte.observe(first_byte.as_secs_f64());
    }
}

fn first_byte(ctx: &Context) -> Option<Duration> {
    Some(ctx.first_byte?.duration_since(ctx.started))
}

fn observe(session: &Session, ctx: &mut Context, outcome: Outcome, duration: Duration) {
    let generation = ctx.generation();
    let route = ctx.route.and_then(|index| generation.routes.get(index));
    let chain = route.map_or(generation.routes.global(), |route| route.chain());
    let head = session.req_header();
    let upstream = ctx
        .target
        .as_ref()
        .and_then(|target| generation.upstream(target.upstream));
    let ending = Ending {
        outcome,
        method: &head.method,
        path: head.uri.path(),
        status: StatusCode::from_u16(ctx.status).ok(),
        duration,
        first_byte: first_byte(ctx),
        request_bytes: ctx.request_bytes,
        response_bytes: ctx.response_bytes,
        upstream: upstream
            .filter(|_| ctx.attempts.made > 0)
            .map(|upstream| upstream.name.as_str()),
        attempts: ctx.attempts.made,
    };
    chain.ended(&mut ctx.exchange, &ending);
}

/// One line for each request, without a query, a credential or a prompt: `key` is the
/// key's public name.
fn log(session: &Session, ctx: &Context, outcome: Outcome, duration: Duration) {
    let head = session.req_header();
    let endpoint = ctx
        .attempts
        .endpoint
        .as_ref()
        .map(|endpoint| &*endpoint.label);
    let route = ctx.exchange.route().map(|name| name.as_str());
    let identity = ctx.exchange.identity();
    let notes = Notes(ctx);
    macro_rules! line {
        ($level:ident) => {
            $level!(
                client = ctx.exchange.client().map(tracing::field::display),
                client_certificate = ctx.exchange.client_certificate(),
                method = head.method.as_str(),
                path = head.uri.path(),
                consumer = identity.map(|identity| &*identity.consumer),
                tenant = identity.map(|identity| &*identity.tenant),
                key = identity.map(|identity| &*identity.key),
                status = ctx.status,
                outcome = outcome.as_str(),
                duration_ms = millis(duration),
                first_byte_ms = first_byte(ctx).map(millis),
                request_bytes = ctx.request_bytes,
                response_bytes = ctx.response_bytes,
                route,
                upstream = ctx.upstream().map(|upstream| upstream.name.as_str()),
                endpoint,
                attempts = ctx.attempts.made,
                tried = tried::told(ctx).map(tracing::field::display),
                generation = ctx.generation.id,
                reason = ctx.reason.as_deref(),
                notes = (!ctx.exchange.notes().is_empty()).then(|| tracing::field::display(&notes)),
                "request"
            )
        };
    }
    match outcome {
        Outcome::UpstreamFailed | Outcome::UpstreamTimeout | Outcome::Internal => line!(warn),
        Outcome::Completed | Outcome::Refused | Outcome::ClientGone | Outcome::ClientSlow => {
            line!(info)
        }
    }
}

pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// What plugins want in the line.
struct Notes<'a>(&'a Context);

impl std::fmt::Display for Notes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, note) in self.0.exchange.notes().iter().enumerate() {
            let space = if n > 0 { " " } else { "" };
            write!(f, "{space}{}={}", note.name, note.value)?;
        }
        Ok(())
    }
}
