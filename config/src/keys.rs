//! API keys: who they belong to, what they open and how long.
//!
//! Keys stand in a file of their own, because they change more often than all else and
//! by other hands, or in the configuration itself. Either way only their hashes do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::field;
use crate::plugin::KeySource;
use crate::unit::{Count, Glob, Identifier, KeyHash, Line, Name, Timestamp};

pub use crate::located::{parse_keys as parse, parse_keys_each as parse_each};
pub use crate::schema::keys_schema as schema;

/// The keys of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Keys(#[schemars(length(max = KEYS_MAX))] Vec<Key>);

/// Most keys of a file. All of them are read again at each reload.
pub(crate) const KEYS_MAX: usize = 20_000;

impl Keys {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// The keys.
    pub fn as_slice(&self) -> &[Key] {
        &self.0
    }
}

impl IntoIterator for Keys {
    type Item = Key;
    type IntoIter = std::vec::IntoIter<Key>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One API key. Two keys of one consumer are how a key is replaced: the old one keeps
/// working until its `expires`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// SHA-256 of the key, as `penstock hash-key` prints it. Unique in the file.
    pub hash: KeyHash,
    /// Whom the key was given to.
    pub consumer: Identifier,
    /// On whose account the consumer acts: answers are never shared across tenants.
    /// Default: the consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Identifier>,
    /// Public name of the key in logs and limits, unique in the file. Default: the
    /// consumer and the hash's first 12 digits, as in `search-1a2b3c4d5e6f`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Identifier>,
    /// Roles that `authorize` knows, at most 32. Default: none.
    #[serde(
        default,
        deserialize_with = "field::short_list::<_, _, 32>",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 32))]
    pub roles: Vec<Identifier>,
    /// Models that the key opens, by the names that clients use; at most 256. A request
    /// with a body is then refused if no model is found. It is looked for in the body's
    /// `model` and in paths like Azure's `/openai/deployments/{model}/chat/completions`;
    /// where both name one, both must be open. Where another path or a query names it
    /// (Gemini), restrict `routes` too. Default: every model.
    #[serde(
        default,
        deserialize_with = "field::optional_list::<_, _, 256>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 256))]
    pub models: Option<Vec<Glob>>,
    /// Names of the routes that the key opens, at most 256. Default: every route.
    #[serde(
        default,
        deserialize_with = "field::optional_list::<_, _, 256>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 256))]
    pub routes: Option<Vec<Glob>>,
    /// From when on the key is refused. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Until when the key is refused. Default: it works at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Numbers of the key's own for some `limits`, by the names of the limits, which must
    /// be there, in whichever chain; at most 16. Under a limit that several keys share,
    /// each is held to its own number.
    #[serde(
        default,
        deserialize_with = "field::short_map::<_, _, _, 16>",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<Name, Count>,
    /// What else is known of the consumer, for header rules; at most 16 entries.
    #[serde(
        default,
        deserialize_with = "field::short_map::<_, _, _, 16>",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 16))]
    pub metadata: BTreeMap<Name, Line>,
}

impl Key {
    /// The key's public name: as configured, else made from consumer and hash.
    pub fn public_id(&self) -> String {
        match &self.id {
            Some(id) => id.as_str().to_owned(),
            None => [self.consumer.as_str(), "-", &self.hash.short()].concat(),
        }
    }
}

/// A key as an element of a list. Its name announces to a deserializer that a key in
/// plain text may stand there by mistake, which must not be repeated.
#[derive(Deserialize)]
#[serde(rename = "penstock::Key")]
pub(crate) struct Listed(pub(crate) Key);

impl Listed {
    /// The name under which deserializers know it.
    pub(crate) const MARK: &'static str = "penstock::Key";
}

/// Where keys stand, announced in the same way: who forgets `inline` writes a key in its
/// place.
#[derive(Deserialize)]
#[serde(rename = "penstock::KeySource")]
pub(crate) struct Sourced(KeySource);

impl Sourced {
    /// The name under which deserializers know it.
    pub(crate) const MARK: &'static str = "penstock::KeySource";
}

/// The places of keys within the configuration.
pub(crate) fn source<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeySource, D::Error> {
    Sourced::deserialize(deserializer).map(|Sourced(source)| source)
}

/// A list of keys within the configuration.
pub(crate) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Key>, D::Error> {
    let listed: Vec<Listed> = field::short_list::<_, _, KEYS_MAX>(deserializer)?;
    Ok(listed.into_iter().map(|Listed(key)| key).collect())
}
