//! How an endpoint is chosen among those of an upstream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
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
    expecting = "`header: NAME`, `consumer`, `tenant`, `claim: NAME` or `prompt: {}`"
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
    /// The opening of the prompt, and the model: for servers that keep what they have
    /// computed for a prompt and use it again for one that begins alike. For the endpoints
    /// of an upstream only.
    Prompt(Prompt),
}

/// How much of a prompt is its opening. It is the text of `system` or `instructions`, and if
/// that is shorter also as much of `messages`, `input` or `prompt`: what stands under
/// `content` and `text` of messages and parts, in order. How the JSON is written and in what
/// order its fields stand makes no difference. Request bodies are read whole for it; one that
/// says it is JSON and is not is answered with 400.
///
/// All requests with one opening go to one endpoint, which may be too many for it: set
/// `max_requests` for the endpoints, past which requests go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prompt {
    /// Bytes of text in UTF-8, 16 to 65536. Conversations stay together whose system prompt is
    /// that long and the same; one that is shorter in all goes to another endpoint with each
    /// turn until it is as long. Default: 1024, about 250 tokens: servers keep whole blocks of
    /// 16 and more, and of less there is little to be saved.
    #[serde(deserialize_with = "field::within::<_, _, 16, 65_536>")]
    #[schemars(range(min = 16, max = 65_536))]
    pub bytes: u32,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { bytes: 1024 }
    }
}

impl Affinity {
    /// Whether it is known only of clients whom the chain has identified.
    pub fn needs_identity(&self) -> bool {
        match self {
            Self::Header(_) | Self::Prompt(_) => false,
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
            Self::Prompt(prompt) => write!(f, "first {} bytes of the prompt", prompt.bytes),
        }
    }
}
