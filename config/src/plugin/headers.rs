//! Rules for headers, with values from who asks and what for.

mod template;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::credential_headers;
use crate::field;
use crate::unit::HeaderName;

pub use template::{Piece, Template, Variable};

/// Sets, adds and removes headers. A value may hold `{consumer}`, `{tenant}`, `{key}`
/// (the public identifier, never the secret), `{roles}`, `{claim:NAME}`,
/// `{client_certificate}` (its name, where the listener verifies one), `{route}`, `{model}`,
/// `{request_id}` and `{client_address}` (the IP address that the access log has); `{{` and
/// `}}` stand for braces. A value that cannot be
/// filled, because the client is not known or the body names no model, sets nothing: the
/// header is removed, so that a client cannot forge it. In what is filled in, whatever
/// is not visible ASCII is percent-encoded, as are `%` and, within a role, the comma.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// Changes to the request before it goes upstream, in order.
    #[serde(
        deserialize_with = "request_rules",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub request: Vec<HeaderRule>,
    /// Changes to the answer before it goes to the client, in order. An answer that a
    /// later plugin refuses with is changed too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response: Vec<HeaderRule>,
}

/// One change. None may touch a header that belongs to a connection or frames the
/// message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "snake_case",
    expecting = "one of the keys `set`, `add` and `remove`, as in `set: { x-team: \"{tenant}\" }`"
)]
pub enum HeaderRule {
    /// Each of these headers has this one value.
    Set(#[serde(deserialize_with = "values")] BTreeMap<HeaderName, Template>),
    /// Each of these headers has this value beside those that are there. In a request
    /// the value may not depend on the identity: the client could send one like it.
    Add(#[serde(deserialize_with = "values")] BTreeMap<HeaderName, Template>),
    /// This header is not there.
    Remove(#[serde(deserialize_with = "field::own_header")] HeaderName),
}

/// Headers that carry credentials. A rule may remove one and not write one: a secret in
/// this file would be no secret.
static CREDENTIALS: [http::HeaderName; 5] = credential_headers::ALL;

fn request_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderRule>, D::Error> {
    let rules: Vec<RequestRule> = Vec::deserialize(deserializer)?;
    Ok(rules.into_iter().map(|rule| rule.0).collect())
}

/// A rule for requests, so that one that may not be there is refused at its place.
#[derive(Deserialize)]
#[serde(try_from = "HeaderRule")]
struct RequestRule(HeaderRule);

impl TryFrom<HeaderRule> for RequestRule {
    type Error = String;

    fn try_from(rule: HeaderRule) -> Result<Self, String> {
        let (HeaderRule::Set(values) | HeaderRule::Add(values)) = &rule else {
            return Ok(Self(rule));
        };
        let adds = matches!(rule, HeaderRule::Add(_));
        for (name, template) in values {
            if CREDENTIALS.contains(name.as_ref()) {
                return Err(format!(
                    "`{name}` carries credentials: write them under `credentials` of the upstream"
                ));
            }
            if adds && template.variables().any(Variable::is_of_identity) {
                return Err(format!(
                    "`{template}` depends on the identity, and a client could add a `{name}` like it: use `set`"
                ));
            }
        }
        Ok(Self(rule))
    }
}

fn values<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<HeaderName, Template>, D::Error> {
    deserializer.deserialize_map(Values)
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = BTreeMap<HeaderName, Template>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers with their values, as in `x-team: \"{tenant}\"`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(OwnHeader(name)) = entries.next_key()? {
            let template = entries.next_value()?;
            // Two spellings of one name are one key too many.
            if values.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` stands here twice")));
            }
            values.insert(name, template);
        }
        if values.is_empty() {
            return Err(A::Error::custom("no header is named: write one at least"));
        }
        Ok(values)
    }
}

struct OwnHeader(HeaderName);

impl<'de> Deserialize<'de> for OwnHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        field::own_header(deserializer).map(Self)
    }
}
