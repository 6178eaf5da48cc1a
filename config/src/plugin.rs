//! The plugins that a chain can hold: one variant each, the only list of them.

mod authenticate;
mod authorize;
mod cache;
pub mod headers;
pub mod jwt;
mod limits;
pub mod waf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::HeaderName;

pub use authenticate::{Anonymous, Authenticate, KeySource};
pub use authorize::{Authorize, Role};
pub use cache::Cache;
pub use headers::Headers;
pub use limits::{Claim, Limit, Limits, Measure, Mode, Part, TokenKind, Tokens};
pub use waf::Waf;

/// One plugin of a chain, written as a mapping with the plugin's name as its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "snake_case",
    expecting = "a plugin's name as a key, as in `request_id: {}`"
)]
pub enum Plugin {
    /// Gives each request an identifier for logs on both sides.
    RequestId(RequestId),
    /// Tells clients how often a request was sent to an upstream, and what came of it.
    AttemptHeaders(AttemptHeaders),
    /// Limits requests, tokens and concurrency, per key, tenant, model or client.
    Limits(Limits),
    /// Sets, adds and removes headers.
    Headers(Headers),
    /// Establishes who a client is.
    Authenticate(Authenticate),
    /// Refuses what a client's roles do not allow.
    Authorize(Authorize),
    /// Answers a request as an equal one was answered before.
    Cache(Cache),
    /// Refuses attacks and what is larger than the inference behind it should take.
    Waf(Waf),
}

impl Plugin {
    /// The key that it is written under.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RequestId(_) => "request_id",
            Self::AttemptHeaders(_) => "attempt_headers",
            Self::Headers(_) => "headers",
            Self::Limits(_) => "limits",
            Self::Cache(_) => "cache",
            Self::Waf(_) => "waf",
            Self::Authenticate(_) => "authenticate",
            Self::Authorize(_) => "authorize",
        }
    }
}

/// Gives each request an identifier: the client's if it sent a sane one, else a new
/// random one (UUID version 4, RFC 9562). It goes upstream, into the answer and into
/// the access log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestId {
    /// Header that carries the identifier. Not one that belongs to a connection or
    /// frames the message. Default: `x-request-id`.
    #[serde(deserialize_with = "field::own_header")]
    pub header: HeaderName,
    /// Whether an identifier that the client sent is kept (at most 128 visible ASCII
    /// characters) or replaced. Default: true.
    pub trust_client: bool,
}

impl Default for RequestId {
    fn default() -> Self {
        Self {
            header: HeaderName::from_static("x-request-id"),
            trust_client: true,
        }
    }
}

/// Tells in the head of each answer, errors of the proxy's own included, how often the
/// request was sent to an upstream: `x-penstock-attempt-count` is the number of attempts, 0
/// where nobody was asked, as for a refusal or an answer of the cache. Where there were any,
/// `x-penstock-attempts` lists them in order, each with what came of it and the time to the
/// head of its answer or to its failure, as in `status_503 12.4ms, status_200 310.2ms`. At
/// most 1 KiB is written; attempts beyond that stand as `...`. An upstream's own headers of
/// these names are replaced. Default, without this plugin: clients are told nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttemptHeaders {
    /// Whether each attempt also names its upstream and its endpoint as the file writes them,
    /// as in `vllm gpu-1.internal:8000 status_503 12.4ms`: clients learn the names and
    /// addresses of servers. Default: false.
    pub endpoints: bool,
}
