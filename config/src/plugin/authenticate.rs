//! Who a client is.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::field;
use crate::keys::{self, Key};
use crate::plugin::jwt::JwtIssuer;

/// Most issuers of tokens.
const ISSUERS_MAX: usize = 32;

/// Establishes who a client is, by its API key or its JSON Web Token, before anything of
/// its request's body is read. Either is taken from `authorization: Bearer`, `x-api-key` (Anthropic),
/// `api-key` (Azure) or `x-goog-api-key` (Google); never from the query, which ends up
/// in logs. Two different keys in one request are refused.
///
/// The client's credential never travels upstream, nor do headers that look like ours:
/// `x-penstock-consumer`, `x-penstock-tenant`, `x-penstock-key` and `x-penstock-roles`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authenticate {
    /// The API keys that are known.
    #[serde(
        default,
        deserialize_with = "keys::source",
        skip_serializing_if = "KeySource::is_empty"
    )]
    pub keys: KeySource,
    /// Whose tokens are accepted, at most 32 issuers. What has two dots or more is taken
    /// for a token, and never for a key.
    #[serde(
        default,
        deserialize_with = "issuers",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 32))]
    pub jwt: Vec<JwtIssuer>,
    /// What becomes of a request without any credential. Default: `refuse`.
    #[serde(default)]
    pub anonymous: Anonymous,
    /// Whether the upstream is told who asks, in the headers
    /// `x-penstock-{consumer,tenant,key,roles}`. Default: false.
    #[serde(default)]
    pub identity_headers: bool,
}

fn issuers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<JwtIssuer>, D::Error> {
    let issuers: Vec<JwtIssuer> = Vec::deserialize(deserializer)?;
    if issuers.len() > ISSUERS_MAX {
        return Err(D::Error::custom(format!(
            "{} issuers are too many: write at most {ISSUERS_MAX}",
            issuers.len()
        )));
    }
    Ok(issuers)
}

/// Where the known API keys stand. Both places may be used together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeySource {
    /// A file with a list of keys, read again at each reload. At most 8 MiB and 20,000
    /// keys.
    #[serde(
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    pub file: Option<PathBuf>,
    /// Keys in the configuration itself.
    #[serde(deserialize_with = "keys::list", skip_serializing_if = "Vec::is_empty")]
    pub inline: Vec<Key>,
}

impl KeySource {
    /// Whether no place is named.
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.inline.is_empty()
    }
}

/// What becomes of a request without any credential. One with a wrong credential is
/// refused in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// It is refused with 401.
    #[default]
    Refuse,
    /// It goes on without an identity.
    Allow,
}
