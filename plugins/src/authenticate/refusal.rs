//! What clients read whose credential or key does not do.
//!
//! SDKs raise their exceptions by the status: 401 for who the client is, 403 for what
//! it may do. The codes are OpenAI's where it has one
//! (<https://platform.openai.com/docs/guides/error-codes>). A 401 has to come with a
//! challenge (RFC 9110 section 15.5.2), and the challenge says no more than RFC 6750
//! section 3.1 has words for. Nothing of what the client presented is repeated.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use penstock_config::unit::Name;

use super::credential;
use super::keyring::KeyFault;
use crate::identity::Identity;
use crate::jwt::Fault;
use crate::refusal::{Kind, Refusal};

/// OpenAI's code for whatever is wrong with a key.
const INVALID: &str = "invalid_api_key";

pub(super) fn missing() -> Box<Refusal> {
    let message = "No API key was given. Send one as `Authorization: Bearer KEY`, or in \
                   `x-api-key`, `api-key` or `x-goog-api-key`.";
    // A request that does not even try gets no error code (RFC 6750 section 3.1).
    unauthorized("missing_api_key", message, "Bearer").because("no credential")
}

pub(super) fn unreadable(fault: credential::Fault) -> Box<Refusal> {
    let challenge = r#"Bearer error="invalid_request""#;
    let (message, reason) = match fault {
        credential::Fault::Ambiguous => (
            "The request carries more than one credential. Send one.",
            "more than one credential",
        ),
        credential::Fault::NotBearer => (
            "The `Authorization` header is not understood. Write `Bearer`, a space and the API key.",
            "not a bearer credential",
        ),
        credential::Fault::Malformed => (
            "The API key holds characters that no API key has.",
            "a malformed credential",
        ),
    };
    unauthorized(INVALID, message, challenge).because(reason)
}

pub(super) fn wrong_key(fault: KeyFault) -> Box<Refusal> {
    let challenge = r#"Bearer error="invalid_token""#;
    match fault {
        KeyFault::Unknown => unauthorized(INVALID, "Incorrect API key provided.", challenge)
            .because("an unknown key"),
        KeyFault::NotYetValid => {
            unauthorized("not_yet_valid", "The API key is not valid yet.", challenge)
        }
        KeyFault::Expired => unauthorized("expired", "The API key has expired.", challenge),
    }
}

/// A token that does not do. 503 where it is the issuer's keys that are missing: a 401
/// would have clients throw away a good token, while SDKs try again after a 503.
pub(super) fn wrong_token(fault: Fault) -> Box<Refusal> {
    if fault.is_passing() {
        let message = "The token cannot be checked at this moment. Try again.";
        return Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Kind::Overloaded,
            "keys_pending",
            message,
        )
        .with_header(RETRY_AFTER, HeaderValue::from_static("1"))
        .because(fault.reason());
    }
    let challenge = r#"Bearer error="invalid_token""#;
    let (code, message) = match fault {
        Fault::Expired => ("expired", "The token has expired."),
        Fault::Premature => ("not_yet_valid", "The token is not valid yet."),
        _ => ("invalid_token", "The token is not valid here."),
    };
    unauthorized(code, message, challenge).because(fault.reason())
}

pub(super) fn closed_route(identity: &Identity, route: &Name) -> Box<Refusal> {
    let message = "This API key may not be used here.";
    forbidden("route_not_allowed", message).because(format!(
        "the key {} does not open the route {route}",
        identity.key
    ))
}

pub(super) fn closed_model(identity: &Identity) -> Box<Refusal> {
    let message = "This API key may not use this model.";
    forbidden("model_not_allowed", message)
        .because(format!("the key {} does not open the model", identity.key))
}

pub(super) fn no_model(identity: &Identity) -> Box<Refusal> {
    let message = "This API key is for certain models only, and the request's body has no `model` \
                   that could be one of them. Send a JSON object with a `model`.";
    forbidden("model_not_allowed", message).because(format!(
        "the key {} is for certain models, and no model was found in the body",
        identity.key
    ))
}

fn unauthorized(
    code: &'static str,
    message: &'static str,
    challenge: &'static str,
) -> Box<Refusal> {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        Kind::Authentication,
        code,
        message,
    )
    .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

fn forbidden(code: &'static str, message: &'static str) -> Box<Refusal> {
    Refusal::new(StatusCode::FORBIDDEN, Kind::Permission, code, message)
}
