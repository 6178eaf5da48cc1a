//! Answers that are given again.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::field;
use crate::unit::{Duration, HeaderName, Size};

/// Most headers that an operator may add to what answers depend on.
const VARY_MAX: usize = 16;

/// Answers a request as an equal one of the same tenant was answered before, from memory
/// (`server.cache`). Equal are requests of one route that go to the same upstream and
/// model and whose bodies mean the same, whatever the order of their fields, their
/// spacing and their escapes. Fields that do not change the answer, such as `user`, do
/// not count.
///
/// It applies to chat completions, completions, embeddings, moderations, rerankings and
/// scores, to Anthropic's messages, and to responses with `"store": false`. A request
/// that asks the provider to keep something bypasses it. Only whole answers with status
/// 200 are stored, and of streams only those that came to their proper end. A client
/// decides for itself with `cache-control: no-store`, `no-cache`, `max-age`, `min-fresh`
/// and `only-if-cached`. The answer says `x-cache: hit`, `miss` or `bypass`.
///
/// A route's own replaces that of the global chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// How long an answer may be given again. Default: `5m`.
    pub ttl: Duration,
    /// Largest body of an answer that is stored, at most `16MiB` and at most
    /// `server.cache.capacity`. Default: `1MiB`.
    #[serde(deserialize_with = "field::size_within::<_, 1, { 16 << 20 }>")]
    pub max_entry: Size,
    /// Whether streams are stored, and given again as streams. Default: true.
    pub stream: bool,
    /// Whether only requests are answered from the cache that a model must answer alike
    /// each time: those with `temperature: 0`, and those that sample nothing, such as
    /// embeddings. With false a client that asks twice at a higher temperature gets the
    /// same answer twice. Default: false.
    pub only_deterministic: bool,
    /// Request headers on which the answer depends, at most 16, beside those that the
    /// model APIs define for this (`anthropic-version`, `openai-beta` and the like).
    /// Default: none.
    #[serde(deserialize_with = "vary")]
    #[schemars(length(max = 16))]
    pub vary: Vec<HeaderName>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl: Duration::seconds(300),
            max_entry: Size::kib(1024),
            stream: true,
            only_deterministic: false,
            vary: Vec::new(),
        }
    }
}

fn vary<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderName>, D::Error> {
    let names: Vec<HeaderName> = Vec::deserialize(deserializer)?;
    if names.len() > VARY_MAX {
        return Err(D::Error::custom(format!(
            "{} headers are too many: write at most {VARY_MAX}",
            names.len()
        )));
    }
    Ok(names)
}
