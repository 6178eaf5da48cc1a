//! The web application firewall.

mod catalogue;
mod mode;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::{Cidr, Glob, MediaType, Size};

pub use catalogue::RuleId;

/// Refuses attacks in the path, the query, the headers and those fields of the body
/// that are no prompt, and requests that ask for more than they should.
///
/// A prompt may talk about anything: the text of messages, inputs, instructions,
/// documents, tools and their arguments is never looked at. What is refused gets a
/// message with the number of the rule, and so does the access log.
///
/// A chain has one. That of a route takes the place of the global one, with all of its
/// settings, so that a route can be stricter, more lenient, or go without.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Waf {
    /// What happens to a request that a rule matches. Default: `block`.
    pub mode: Mode,
    /// Which rules there are. Default: `inference`.
    pub profile: Profile,
    /// Bounds on what a request's body may ask for. Default: none.
    pub fields: Fields,
    /// Which clients may connect. Default: all.
    pub addresses: Addresses,
    /// Which clients are refused by what they call themselves. Default: only the
    /// known scanners, by a rule of the profile.
    pub agents: Agents,
    /// Exceptions from the profile.
    pub rules: Rules,
}

/// What happens to a request that a rule matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is refused, and logged with the rule's number.
    #[default]
    Block,
    /// It goes on, and is logged with the numbers of all rules that match.
    Detect,
    /// Nothing is looked at.
    Off,
}

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// For the edge of an inference service: prompts may hold anything.
    #[default]
    Inference,
}

/// Bounds on what a request's body may ask for. A bound that is not given is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// Greatest `max_tokens`, `max_completion_tokens` or `max_output_tokens`. A request
    /// without such a field passes.
    #[serde(
        deserialize_with = "field::optional_within::<_, _, 1, { u32::MAX as u64 }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub max_tokens: Option<u32>,
    /// Greatest `n`: answers to one request.
    #[serde(
        deserialize_with = "field::optional_within::<_, _, 1, { u32::MAX as u64 }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub n: Option<u32>,
    /// Most `messages`.
    #[serde(
        deserialize_with = "field::optional_within::<_, _, 1, { u32::MAX as u64 }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub messages: Option<u32>,
    /// Most `tools`.
    #[serde(
        deserialize_with = "field::optional_within::<_, _, 1, { u32::MAX as u64 }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = u32::MAX))]
    pub tools: Option<u32>,
    /// Deepest nesting of arrays and objects, the outermost counted as 1. Whatever is
    /// set, 128 are the most that is read.
    #[serde(
        deserialize_with = "field::optional_within::<_, _, 1, 128>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 128))]
    pub depth: Option<u32>,
    /// Largest body by its `content-type`. Of several that fit, the most exact holds:
    /// `image/png` before `image/*` before `*/*`. A body without a type is bound by
    /// `*/*` alone. `server.limits.request_body` holds as well.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub body: BTreeMap<MediaType, Size>,
}

/// Which clients are served, by their address, which for requests through a trusted proxy is
/// the one that it names (`server.clients`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Addresses {
    /// If there are any, only clients in one of these networks are served.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Cidr>,
    /// Clients in these networks are refused, whatever `allow` says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Cidr>,
}

/// Which clients are refused by what they call themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agents {
    /// Patterns for the whole `user-agent`, in any letter case, as in `*bot*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Glob>,
}

/// Exceptions from the profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Rules that are not looked at, by their numbers as the log has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub off: Vec<RuleId>,
}
