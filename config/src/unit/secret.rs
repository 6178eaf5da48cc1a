//! References to what must not be in the file.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Where a secret is to be found: `{ env: NAME }` or `{ file: PATH }`. Never the
/// secret itself, so that the file, the log and the admin page cannot leak one.
///
/// This crate reads neither the variable nor the file. A file is meant to be read
/// again at each reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The environment variable of this name.
    Env(String),
    /// The file at this path.
    File(PathBuf),
}

impl Secret {
    /// Announces to a deserializer that what follows may, by mistake, be a secret in
    /// plain text: it must not repeat it.
    pub(crate) const MARK: &'static str = "penstock::Secret";
}

const REFERENCE: &str = "write a reference: `{ env: NAME }` or `{ file: PATH }`";

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(Self::MARK, SecretVisitor)
    }
}

/// None of its messages repeats what was found: it may be the secret.
struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference: `{ env: NAME }` or `{ file: PATH }`")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Secret, A::Error> {
        let Some(key) = entries.next_key::<String>()? else {
            return Err(A::Error::custom(format!(
                "a secret is missing: {REFERENCE}"
            )));
        };
        let value: String = match key.as_str() {
            "env" | "file" => entries.next_value()?,
            _ => {
                return Err(A::Error::custom(format!(
                    "unknown kind of secret: {REFERENCE}"
                )));
            }
        };
        if entries.next_key::<String>()?.is_some() {
            return Err(A::Error::custom(format!(
                "a secret has one place: {REFERENCE}"
            )));
        }
        match key.as_str() {
            "env" if is_variable(&value) => Ok(Secret::Env(value)),
            "env" => Err(A::Error::custom(
                "not the name of an environment variable: use letters, digits and `_`, not a digit first",
            )),
            _ if value.is_empty() => {
                Err(A::Error::custom("the path of the secret's file is empty"))
            }
            _ => Ok(Secret::File(PathBuf::from(value))),
        }
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Secret, E> {
        Err(E::custom(format!(
            "a secret must not be in this file: {REFERENCE}"
        )))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        self.visit_str("")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        self.visit_str("")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        self.visit_str("")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        self.visit_str("")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Secret, A::Error> {
        self.visit_str("")
    }
}

/// A name that every shell can set (POSIX.1-2017, XBD section 3.235).
fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "secret",
            "description": "Where a secret is to be found; never the secret itself.",
            "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "env": {
                            "type": "string",
                            "description": "Name of an environment variable.",
                            "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                        },
                    },
                    "required": ["env"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": {
                        "file": { "type": "string", "description": "Path of a file.", "minLength": 1 },
                    },
                    "required": ["file"],
                    "additionalProperties": false,
                },
            ],
            "examples": [{ "env": "OPENAI_API_KEY" }, { "file": "/run/secrets/tls.key" }],
        })
    }
}
