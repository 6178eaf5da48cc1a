//! JSON Web Tokens that clients may show: who issues them, and by what they are known
//! to be genuine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unit::{Duration, Name, Secret};

mod algorithm;
mod claim;
mod url;
mod written;

pub use algorithm::{Algorithm, Family};
pub use claim::{ClaimPath, ClaimText, Required};
pub use url::JwksUrl;

/// One issuer of tokens. A token is judged by the issuer that its `iss` names, and by
/// no other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "written::Issuer", into = "written::Issuer")]
pub struct JwtIssuer {
    /// The whole value of `iss`, byte for byte.
    pub issuer: ClaimText,
    /// Whom the tokens are for.
    pub audiences: Audiences,
    /// By what the tokens are known to be genuine.
    pub trust: Trust,
    /// Media types that `typ` may name; none for the usual `JWT` and `at+jwt`, or no
    /// `typ` at all.
    pub types: Vec<ClaimText>,
    /// By how much the issuer's clock may differ from ours.
    pub leeway: Duration,
    /// Claims that a token must have.
    pub required_claims: BTreeMap<ClaimPath, Required>,
    /// Which claims say what about the client.
    pub claims: Claims,
}

/// Whom a token must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// Anyone: `aud` is not looked at.
    Any,
    /// One of these, at least one, at most 32.
    OneOf(Vec<ClaimText>),
}

/// The algorithms that an issuer signs with, and its keys: never a key that one of the
/// algorithms cannot use, so that no token can choose to have a public key taken for a
/// secret (RFC 8725 section 3.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Trust {
    algorithms: Vec<Algorithm>,
    keys: Keys,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "written::WrittenKeys", into = "written::WrittenKeys")]
pub enum Keys {
    /// A PEM file with one or several public keys (`PUBLIC KEY`, RFC 7468 section 13)
    /// of one family.
    Pem(PathBuf),
    /// A file with a JWK Set (RFC 7517 section 5).
    Jwks(PathBuf),
    /// A URL that answers with a JWK Set.
    Url {
        /// Where.
        url: JwksUrl,
        /// PEM file of the authorities to trust for the URL; none for the system's.
        ca: Option<PathBuf>,
        /// How often the set is fetched.
        refresh: Duration,
        /// Least time between two fetches, whatever asks for them.
        cooldown: Duration,
    },
    /// A secret that the issuer and this proxy share.
    Secret(Secret),
}

/// Which claims say what about the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    /// Who the client is. A token without it is refused. Default: `sub`.
    pub consumer: ClaimPath,
    /// Whom the client belongs to. A token without it is refused. Default: nobody else;
    /// the tenant is then the issuer and the consumer, with a space between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<ClaimPath>,
    /// The client's roles: a list, or a text with spaces between them. A token
    /// without it has none. Default: no roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<ClaimPath>,
    /// Patterns of the models that the client may use: a list, or a text with spaces
    /// between them. A token without it may use none. Default: all models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<ClaimPath>,
    /// Claims to keep under names of your own, for limits and headers. A token
    /// without one of them goes on without it. At most 16.
    #[serde(
        deserialize_with = "written::metadata",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 16))]
    pub metadata: BTreeMap<Name, ClaimPath>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            consumer: ClaimPath::top("sub"),
            tenant: None,
            roles: None,
            models: None,
            metadata: BTreeMap::new(),
        }
    }
}

impl Trust {
    /// The algorithms, without repetition.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Where the keys are.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }
}

#[cfg(test)]
mod tests;
