//! What becomes of a request whose client has gone.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::field;
use crate::unit::{Duration, Size, shown};

/// What becomes of a request whose client has gone before the end of the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum OnDisconnect {
    /// The upstream is left at once, so that it can stop working.
    #[default]
    Cancel,
    /// The answer is read to its end.
    Drain(Drain),
}

/// How far an answer is read that nobody waits for any more. What it states of its usage
/// is charged exactly, and a whole one is stored in the cache as it would have been. Past
/// a bound it is cut off, and charged as if it had been cancelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// For how long, counted from the moment when the client was missed. Default: `5m`.
    pub time: Duration,
    /// How much of it. Default: `16MiB`.
    pub bytes: Size,
    /// How many answers of this route are read on at the same time, 1 to 1000000; past
    /// that the upstream is left at once. Default: 1000.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent: u32,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            time: Duration::seconds(5 * 60),
            bytes: Size::kib(16 * 1024),
            concurrent: 1000,
        }
    }
}

impl OnDisconnect {
    const EXPECTED: &'static str = "`cancel`, `drain`, or a mapping with `drain` and its bounds";
}

impl Serialize for OnDisconnect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Cancel => serializer.serialize_str("cancel"),
            Self::Drain(bounds) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("drain", bounds)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for OnDisconnect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnDisconnectVisitor)
    }
}

/// The mapping, whose only key names the policy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounded {
    drain: Drain,
}

struct OnDisconnectVisitor;

impl<'de> Visitor<'de> for OnDisconnectVisitor {
    type Value = OnDisconnect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OnDisconnect::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OnDisconnect, E> {
        match text {
            "cancel" => Ok(OnDisconnect::Cancel),
            "drain" => Ok(OnDisconnect::Drain(Drain::default())),
            _ => Err(E::custom(format!(
                "{} is not {}",
                shown(text),
                OnDisconnect::EXPECTED
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<OnDisconnect, A::Error> {
        let bounded = Bounded::deserialize(MapAccessDeserializer::new(entries))?;
        Ok(OnDisconnect::Drain(bounded.drain))
    }
}

impl JsonSchema for OnDisconnect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnDisconnect".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bounds = generator.subschema_for::<Drain>();
        json_schema!({
            "description": "What becomes of a request whose client has gone: `cancel`, or `drain` with bounds.",
            "anyOf": [
                { "enum": ["cancel", "drain"] },
                {
                    "type": "object",
                    "properties": { "drain": bounds },
                    "required": ["drain"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<OnDisconnect, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_is_a_word_or_has_bounds() {
        assert_eq!(read(r#""cancel""#), Ok(OnDisconnect::Cancel));
        let default = OnDisconnect::Drain(Drain::default());
        assert_eq!(read(r#""drain""#), Ok(default.clone()));
        assert_eq!(read(r#"{"drain":{}}"#), Ok(default));
        let bounded = read(r#"{"drain":{"time":"10s","bytes":"1MiB","concurrent":7}}"#);
        let OnDisconnect::Drain(bounds) = bounded.unwrap() else {
            panic!("the answer is not read on");
        };
        assert_eq!(bounds.time, Duration::seconds(10));
        assert_eq!((bounds.bytes.bytes(), bounds.concurrent), (1 << 20, 7));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for policy in [OnDisconnect::Cancel, OnDisconnect::Drain(Drain::default())] {
            let text = serde_json::to_string(&policy).unwrap();
            assert_eq!(read(&text), Ok(policy), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told_what_would_be_right() {
        for text in [r#""wait""#, "true", "[]"] {
            let told = read(text).unwrap_err();
            assert!(told.contains("`cancel`, `drain`"), "{told}");
        }
        for text in [r#"{}"#, r#"{"cancel":{}}"#, r#"{"drain":{"concurrent":0}}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
