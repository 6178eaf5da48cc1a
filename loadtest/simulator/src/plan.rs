//! What is to happen with one request: the settings, and the request headers that change them.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderName};

use crate::fault::Fault;
use crate::openai::error::ApiError;
use crate::openai::script::Manner;
use crate::random::Random;
use crate::server::Shared;

/// One request's fault and manner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) fault: Option<Fault>,
    pub(crate) manner: Manner,
}

pub(crate) const SIMULATE: HeaderName = HeaderName::from_static("x-simulate");
const FIRST_TOKEN: HeaderName = HeaderName::from_static("x-simulate-first-token");
const PACE: HeaderName = HeaderName::from_static("x-simulate-pace");
const TOKENS: HeaderName = HeaderName::from_static("x-simulate-tokens");

impl Plan {
    pub(crate) fn new(shared: &Shared, headers: &HeaderMap) -> Result<Plan, ApiError> {
        let settings = &shared.settings;
        let fault = match read(headers, SIMULATE, "x-simulate")? {
            Some(fault) => Some(fault),
            None => drawn(shared),
        };
        let slowness = match fault {
            Some(Fault::Slow { factor }) => factor,
            _ => 1.0,
        };
        let first_token = read(headers, FIRST_TOKEN, "x-simulate-first-token")?;
        let between_tokens = read(headers, PACE, "x-simulate-pace")?;
        let tokens = read(headers, TOKENS, "x-simulate-tokens")?;
        let manner = Manner {
            first_token: first_token.unwrap_or(settings.first_token),
            between_tokens: between_tokens.unwrap_or(settings.between_tokens),
            tokens: tokens.unwrap_or(settings.tokens),
            slowness,
        };
        Ok(Plan { fault, manner })
    }
}

fn drawn(shared: &Shared) -> Option<Fault> {
    if shared.settings.faults.is_empty() {
        return None;
    }
    let ordinal = shared.ordinal.fetch_add(1, Ordering::Relaxed);
    shared
        .settings
        .faults
        .draw(&mut Random::new(shared.settings.seed, ordinal))
}

fn read<T: FromStr<Err: fmt::Display>>(
    headers: &HeaderMap,
    header: HeaderName,
    name: &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| ApiError::bad_header(name, "not ASCII text"))?;
    let parsed = text
        .parse()
        .map_err(|error: T::Err| ApiError::bad_header(name, &error.to_string()))?;
    Ok(Some(parsed))
}
