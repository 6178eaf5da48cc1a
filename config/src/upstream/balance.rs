//! How an endpoint is chosen among those of an upstream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plugin::Claim;
use crate::unit::HeaderName;

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, in proportion to the weights.
    #[default]
    RoundRobin,
    /// Of two endpoints, the one with fewer requests in flight for its weight. For
    /// requests of unequal length, as those of models are.
    LeastBusy,
    /// Of two endpoints, the one where a request would wait less long for the head of its
    /// answer: what the last answers took, slow ones first, times the requests in flight.
    /// For endpoints of unequal speed or distance.
    Latency,
    /// The same endpoint for the same key, while it is there; when it goes, only its keys
    /// move. For servers that keep something of a conversation. Needs `affinity`.
    Hash,
}

impl Balance {
    /// Its name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastBusy => "least_busy",
            Self::Latency => "latency",
            Self::Hash => "hash",
        }
    }
}

/// What requests have in common that stay together, at an endpoint of an upstream or at a
/// target of a split. A request that has no such thing, or an empty one, goes to any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "snake_case",
    expecting = "`header: NAME`, `consumer`, `tenant` or `claim: NAME`"
)]
pub enum Affinity {
    /// The value of this request header.
    Header(HeaderName),
    /// The consumer whom the chain has identified, by a key or a token.
    Consumer,
    /// The tenant whom that consumer belongs to.
    Tenant,
    /// A claim of the token, or an entry of the key's metadata.
    Claim(Claim),
}

impl Affinity {
    /// Whether it is known only of clients whom the chain has identified.
    pub fn needs_identity(&self) -> bool {
        match self {
            Self::Header(_) => false,
            Self::Consumer | Self::Tenant | Self::Claim(_) => true,
        }
    }
}

impl std::fmt::Display for Affinity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Consumer => f.write_str("consumer"),
            Self::Tenant => f.write_str("tenant"),
            Self::Claim(name) => write!(f, "claim {name}"),
        }
    }
}
