//! Clients that are too slow: what they are told, and where they are counted. The bytes are
//! watched where they [pass](crate::edge).

use http::StatusCode;
use penstock_plugins::{Kind, Outcome, Refusal};
use pingora_error::{Error, ErrorType};

use super::Proxy;
use super::context::Context;
use crate::edge::Late;

/// What a client is told that is too slow with its request (RFC 9110 section 15.5.9).
pub(super) fn refusal(late: Late) -> Box<Refusal> {
    let message = match late {
        Late::Head => "The head of the request did not arrive in time.",
        Late::Body | Late::Answer => "The request body did not arrive in time.",
    };
    let (status, kind) = (StatusCode::REQUEST_TIMEOUT, Kind::InvalidRequest);
    Refusal::new(status, kind, "request_timeout", message).because(late.to_string())
}

/// A body that does not arrive in time, read by other means than from a connection of
/// HTTP/1.
pub(super) fn error() -> Box<Error> {
    let late = std::io::Error::from(Late::Body);
    Error::because(ErrorType::ReadTimedout, "reading a body", late).into_down()
}

/// If a client was too slow, that is how its exchange has ended.
pub(super) fn note(proxy: &Proxy, error: &Error, ctx: &mut Context) {
    let Some(late) = Late::of(error) else { return };
    ctx.outcome = Some(Outcome::ClientSlow);
    if late == Late::Body {
        proxy.telemetry.count_limit(late.limit());
        ctx.refusal.get_or_insert_with(|| refusal(late));
    }
}
