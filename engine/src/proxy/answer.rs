//! What comes back: the upstream's answer on its way to the client, or the error that
//! the client gets instead.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Method, StatusCode, Version};
use penstock_plugins::{Kind, Outcome, Readers, Refusal, media_type};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{FailToProxy, Session};

use super::context::Context;
use super::held::{Held, Ruling};
use super::{attempt, credentials, edits, hedge, hops, replay, respond, stored, tried};
use crate::clock;

/// The upstream's head, on its way to the client.
pub(super) fn head(
    session: &mut Session,
    ctx: &mut Context,
    head: &mut ResponseHeader,
) -> Result<()> {
    hops::end(head);
    credentials::conceal(ctx, head);
    if head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let now = clock::now();
    attempt::answered(ctx, head, now);
    ctx.status = head.status.as_u16();
    if attempt::refuses(session, ctx, head.status, now) {
        return Err(attempt::unwelcome(format!(
            "status_{}",
            head.status.as_u16()
        )));
    }
    let has_body = has_body(&session.req_header().method, head.status);
    ctx.held = Held::begin(ctx, head, has_body);
    if !ctx.held.as_ref().is_some_and(Held::is_stream) {
        hedge::first_spoke(ctx);
    }
    match (&ctx.held, &ctx.hold) {
        (Some(_), Some(hold)) => {
            hold.keep_head();
            ctx.response_edits
                .get_or_insert_with(|| ctx.exchange.response.clone());
        }
        _ => release(ctx, now),
    }
    stored::record_head(ctx, head);
    let generation = ctx.generation();
    // What follows a 101 is another protocol, and no body to read or to change.
    let route = ctx.route.filter(|_| !head.status.is_informational());
    if let Some(route) = route.and_then(|index| generation.routes.get(index)) {
        ctx.readers = route.chain().response(&mut ctx.exchange, head);
    }
    tried::tell(ctx, head)?;
    edits::apply(&ctx.exchange.response, head)?;
    if ctx.readers.rewrites() {
        forget_length(head, has_body)?;
    }
    if !has_body {
        // Nor may a reader make one.
        ctx.readers = Readers::default();
    }
    // A replay that stands in for the client does the same, and asks for the closing itself.
    if ctx.hold.is_none()
        && session.req_header().version < Version::HTTP_11
        && head.remove_header(&TRANSFER_ENCODING).is_some()
    {
        // Such a client knows no chunks (RFC 9112 section 6.1): closing ends the body.
        session.set_keepalive(None);
    }
    Ok(())
}

/// Whether such an answer can have a body (RFC 9110 section 6.4.1).
fn has_body(method: &Method, status: StatusCode) -> bool {
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    !bodiless && *method != Method::HEAD
}

/// Frames a body that may have another length than the upstream says. Pingora writes
/// chunks to an HTTP/1.1 client and takes the header away for an HTTP/2 one.
fn forget_length(head: &mut ResponseHeader, has_body: bool) -> Result<()> {
    head.remove_header(&CONTENT_LENGTH);
    if has_body && !head.headers.contains_key(TRANSFER_ENCODING) {
        // An upstream of HTTP/1.0 knows no chunks, we do.
        head.set_version(Version::HTTP_11);
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    Ok(())
}

/// From here on the client sees the answer.
fn release(ctx: &mut Context, now: Duration) {
    hedge::first_spoke(ctx);
    attempt::began(ctx, now);
    ctx.attempts.answered = true;
    if let Some(hold) = &ctx.hold {
        hold.release();
    }
}

/// A piece of the upstream's body, on its way to the client.
///
/// # Errors
/// The answer has failed before its client saw any of it.
pub(super) fn chunk(ctx: &mut Context, chunk: &mut Option<Bytes>, last: bool) -> Result<()> {
    if ctx.held.is_some() {
        hedge::settle(ctx);
    }
    let is_other = ctx.has_attempt_left();
    if let Some(held) = &mut ctx.held {
        match held.take(chunk.take().unwrap_or_default(), last, is_other) {
            Ruling::Hold => return Ok(()),
            Ruling::Failed(failure) => return Err(attempt::unwelcome(failure.as_str())),
            Ruling::Release(bytes) => *chunk = Some(bytes),
        }
        ctx.held = None;
        release(ctx, clock::now());
    }
    stored::record_chunk(ctx, chunk.as_ref(), last);
    if !ctx.readers.is_empty() && (last || chunk.is_some()) {
        let piece = chunk.take().unwrap_or_default();
        let piece = ctx.readers.chunk(&mut ctx.exchange, piece, last);
        // To HTTP/1 an empty chunk would be the last one.
        *chunk = (!piece.is_empty()).then_some(piece);
    }
    let passed = chunk.as_ref().filter(|chunk| !chunk.is_empty());
    if let Some(chunk) = passed.filter(|_| !ctx.client_left()) {
        ctx.first_byte.get_or_insert_with(Instant::now);
        ctx.response_bytes += chunk.len() as u64;
        ctx.ends_event = chunk.ends_with(b"\n\n") || chunk.ends_with(b"\r\n\r\n");
    }
    Ok(())
}

/// The body has ended, and trailers follow. Gives what was held back of it, in whose place
/// they are left out.
pub(super) fn trailers(ctx: &mut Context) -> Option<Bytes> {
    let mut rest = None;
    match chunk(ctx, &mut rest, true) {
        Ok(()) => rest,
        // The head is still kept back, and trailers without it end the attempt.
        Err(_) => None,
    }
}

/// What went wrong, as the client and the log see it.
struct Failure {
    outcome: Outcome,
    /// None when the client is not there to read it.
    refusal: Option<Box<Refusal>>,
}

/// The request failed for good: tells the client, if it can still be told.
pub(super) async fn failure(
    session: &mut Session,
    error: &Error,
    ctx: &mut Context,
) -> FailToProxy {
    replay::restore(session, ctx);
    let has_left = ctx.outcome == Some(Outcome::ClientGone);
    let failure = match ctx.refusal.take() {
        _ if has_left => gone(),
        Some(refusal) => Failure {
            outcome: ctx.outcome.unwrap_or(Outcome::Refused),
            refusal: Some(refusal),
        },
        None if ctx.outcome == Some(Outcome::ClientSlow) => Failure {
            outcome: Outcome::ClientSlow,
            refusal: None,
        },
        None => classify(error, ctx.is_over() && !ctx.attempts.answered),
    };
    ctx.outcome = Some(failure.outcome);
    ctx.reason = Some(error.to_string());
    let begun = session
        .response_written()
        .is_some_and(|head| !head.status.is_informational());
    // What the upstream answered may not have been seen by the client.
    let seen = |status: &StatusCode| {
        !status.is_informational() || *status == StatusCode::SWITCHING_PROTOCOLS
    };
    let seen = session
        .response_written()
        .map(|head| head.status)
        .filter(seen);
    ctx.status = seen.map_or(0, |status| status.as_u16());
    let mut error_code = 0;
    if let Some(refusal) = failure.refusal.as_ref().filter(|_| begun) {
        end_stream(session, ctx, refusal).await;
    }
    if let Some(refusal) = failure.refusal.filter(|_| !begun) {
        error_code = refusal.status.as_u16();
        session.set_keepalive(None);
        if let Err(error) = respond::write(session, ctx, &refusal).await {
            tracing::debug!(%error, "the client did not take the error");
        } else if !session.is_body_done() {
            respond::hear_out(session).await;
        }
    }
    // Pingora closes the client's connection after a failure: any other answer that was
    // begun ends there, without the mark of a proper end.
    FailToProxy {
        error_code,
        can_reuse_downstream: false,
    }
}

/// Ends a stream of events that broke off with an event that says so, if its client is at
/// the end of one: what is cut within an event can only be closed.
async fn end_stream(session: &mut Session, ctx: &mut Context, refusal: &Refusal) {
    let is_stream = session.response_written().is_some_and(|head| {
        let value = head.headers.get(CONTENT_TYPE);
        value.is_some_and(|value| media_type::essence_is(value, "text/event-stream"))
            && !head.headers.contains_key(CONTENT_LENGTH)
            && !head.headers.contains_key(CONTENT_ENCODING)
    });
    if !is_stream || !ctx.ends_event {
        return;
    }
    let Some(event) = respond::event(&ctx.exchange, refusal) else {
        return;
    };
    ctx.response_bytes += event.len() as u64;
    if let Err(error) = session.write_response_body(Some(event), true).await {
        tracing::debug!(%error, "the client did not take the error");
    }
}

/// `is_over` says that the request's deadline has passed before an answer began.
fn classify(error: &Error, is_over: bool) -> Failure {
    if attempt::is_ours(error) {
        return by_upstream(&ErrorType::ReadTimedout, is_over);
    }
    if let ErrorType::HTTPStatus(status) = error.etype() {
        return answered(*status);
    }
    match error.esource() {
        ErrorSource::Downstream => by_client(error.etype()),
        ErrorSource::Upstream => by_upstream(error.etype(), is_over),
        ErrorSource::Internal | ErrorSource::Unset => told(
            Outcome::Internal,
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The proxy failed to handle the request.",
        ),
    }
}

fn told(
    outcome: Outcome,
    status: StatusCode,
    code: &'static str,
    message: &'static str,
) -> Failure {
    let kind = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        _ if status.is_client_error() => Kind::InvalidRequest,
        _ => Kind::Api,
    };
    Failure {
        outcome,
        refusal: Some(Refusal::new(status, kind, code, message)),
    }
}

/// Ended with a status by a phase of ours.
fn answered(status: u16) -> Failure {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (code, message) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => (
            "request_too_large",
            "The request body is larger than the limit.",
        ),
        _ => (
            "request_failed",
            status.canonical_reason().unwrap_or("The request failed."),
        ),
    };
    told(Outcome::Refused, status, code, message)
}

/// The client is not there any more.
fn gone() -> Failure {
    Failure {
        outcome: Outcome::ClientGone,
        refusal: None,
    }
}

fn by_client(cause: &ErrorType) -> Failure {
    match cause {
        ErrorType::ReadTimedout
        | ErrorType::ReadError
        | ErrorType::WriteError
        | ErrorType::WriteTimedout
        | ErrorType::ConnectionClosed
        | ErrorType::H2Error => gone(),
        // What is left is what the client sent: a head or a chunk that makes no sense.
        _ => told(
            Outcome::Refused,
            StatusCode::BAD_REQUEST,
            "bad_request",
            "The request is malformed.",
        ),
    }
}

fn by_upstream(cause: &ErrorType, is_over: bool) -> Failure {
    match cause {
        ErrorType::ConnectTimedout
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::ReadTimedout
        | ErrorType::WriteTimedout
            if is_over =>
        {
            told(
                Outcome::UpstreamTimeout,
                StatusCode::GATEWAY_TIMEOUT,
                "deadline_exceeded",
                "No upstream server began to answer in time.",
            )
        }
        ErrorType::ConnectTimedout
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::ReadTimedout
        | ErrorType::WriteTimedout => told(
            Outcome::UpstreamTimeout,
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "The upstream server did not answer in time.",
        ),
        _ => told(
            Outcome::UpstreamFailed,
            StatusCode::BAD_GATEWAY,
            "upstream_failed",
            "The upstream server could not be reached or closed the connection.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forgotten(method: Method, status: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            head.insert_header(*name, *value).unwrap();
        }
        let has_body = has_body(&method, head.status);
        forget_length(&mut head, has_body).unwrap();
        assert!(!head.headers.contains_key(CONTENT_LENGTH));
        head
    }

    #[test]
    fn a_body_of_unknown_length_is_chunked_once() {
        for headers in [
            &[("content-length", "5")][..],
            &[("transfer-encoding", "chunked")],
            &[],
        ] {
            let head = forgotten(Method::POST, 200, headers);
            let framing: Vec<_> = head.headers.get_all(TRANSFER_ENCODING).iter().collect();
            assert_eq!(framing, ["chunked"], "{headers:?}");
        }
    }

    #[test]
    fn what_has_no_body_has_no_framing() {
        for (method, status) in [(Method::HEAD, 200), (Method::POST, 204), (Method::GET, 304)] {
            let head = forgotten(method, status, &[("content-length", "5")]);
            assert!(head.headers.is_empty(), "{status}");
        }
    }
}
