//! Each try to send a request to an endpoint, and whether there is another one.
//!
//! A request is tried again only while nothing of an answer has arrived: when no
//! connection could be made, or when a reused connection turned out to be closed, which
//! happens when an upstream closes it just as the request is sent (RFC 9110 section
//! 9.2.2 and RFC 9112 section 9.3.1 on retrying).

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use tracing::warn;

use super::body::Body;
use super::context::Context;
use super::{credentials, edits};

/// Tries in all, those over closed connections included. Pingora's own loop stops there
/// as well.
pub const TRIES_MAX: usize = 16;

/// The peer for the next try.
pub(super) fn next_peer(ctx: &mut Context) -> Result<Box<HttpPeer>> {
    let Some(upstream) = ctx.upstream() else {
        return Error::e_explain(ErrorType::InternalError, "the request has no target");
    };
    let endpoint = upstream.pick(&ctx.attempts.failed).clone();
    let peer = endpoint.peer();
    ctx.attempts.endpoint = Some(endpoint);
    ctx.attempts.made += 1;
    Ok(peer)
}

/// A connection is there, new or reused.
pub(super) fn connected(ctx: &Context, reused: bool) {
    let Some(upstream) = ctx.upstream() else {
        return;
    };
    if reused {
        upstream.metrics.reused.inc()
    } else {
        upstream.metrics.connected.inc()
    }
}

/// No connection could be made.
pub(super) fn connect_failed(ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
    if let Some(upstream) = ctx.upstream() {
        upstream.metrics.connect_failed.inc();
    }
    ctx.attempts.counted += 1;
    let again = ctx.attempts.counted < ctx.attempts_max() && ctx.attempts.made < TRIES_MAX;
    give_up_endpoint(ctx, &error, again);
    error.set_retry(again);
    error
}

/// The connection failed after the request began to be sent.
pub(super) fn failed(
    ctx: &mut Context,
    session: &mut Session,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let upstream_failed = *error.esource() == ErrorSource::Upstream;
    if upstream_failed && let Some(upstream) = ctx.upstream() {
        upstream.metrics.failed.inc();
    }
    let repeatable = ctx.hold.is_some() || session.is_body_empty();
    // Reading tells by `ReusedOnly`; writing a body fails when the close came before it.
    let was_closed = reused
        && (matches!(error.retry, RetryType::ReusedOnly)
            || matches!(error.etype(), ErrorType::WriteError));
    let again = upstream_failed
        && was_closed
        && repeatable
        && !ctx.attempts.answered
        && ctx.attempts_max() > 1
        && ctx.attempts.made < TRIES_MAX;
    if upstream_failed && !again {
        give_up_endpoint(ctx, &error, false);
    }
    error.set_retry(again);
    error
}

/// Leaves the endpoint out of this request's further tries, and says so once.
fn give_up_endpoint(ctx: &mut Context, error: &Error, again: bool) {
    let Some(endpoint) = ctx.attempts.endpoint.clone() else {
        return;
    };
    ctx.attempts.failed.push(endpoint.index);
    if again {
        let upstream = ctx.upstream().map(|upstream| upstream.name.as_str());
        warn!(upstream, endpoint = &*endpoint.label, %error, "attempt failed, trying another endpoint");
    }
}

/// Makes the head that goes upstream.
pub(super) fn prepare_head(ctx: &mut Context, head: &mut RequestHeader) -> Result<()> {
    credentials::withhold(ctx, head);
    edits::apply(&ctx.exchange.request, head)?;
    credentials::present(ctx, head)?;
    if let Some(host) = ctx.upstream().and_then(|upstream| upstream.host.clone()) {
        head.insert_header(HOST, host)?;
    }
    if let Some(length) = ctx.body.as_ref().map(Body::len) {
        // The body is here in full: its length is known, and the client's wait for leave
        // to send it is over.
        head.remove_header(&TRANSFER_ENCODING);
        head.insert_header(CONTENT_LENGTH, length)?;
        head.remove_header(&EXPECT);
    }
    Ok(())
}
