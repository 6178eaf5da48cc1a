//! When an endpoint is left alone: after failures of requests, or of checks.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::field;
use crate::unit::{Duration, number_value, shown};

/// Whether endpoints are left alone after failures.
#[derive(Clone, Debug, PartialEq)]
pub enum Ejection {
    /// They never are, and what they say of a pause has no effect.
    Off,
    /// They are, by these rules.
    On(EjectionRules),
}

impl Default for Ejection {
    fn default() -> Self {
        Self::On(EjectionRules::default())
    }
}

/// When an endpoint is left alone, and for how long. A failure is a connection that could
/// not be made, one that failed or fell silent before the head of an answer, and an answer
/// with status 500, 502, 503 or 504. When the time is over, one request is sent to it: if
/// that succeeds the endpoint is back, else it is left alone for twice as long.
///
/// An endpoint that answers 429 or 503 with `Retry-After` is left alone for that time, at
/// most ten minutes, as far as `max_percent` allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EjectionRules {
    /// After how many failures in a row, 1 to 1000000. Default: 5.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub failures: u32,
    /// Also when too large a share of its requests fails. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<ErrorRate>,
    /// Also when its answers begin much later than those of the others. Default: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// For how long the first time; each time in a row doubles it. Default: `10s`.
    pub time: Duration,
    /// For how long at most, no less than `time`. Default: `5m`.
    pub max_time: Duration,
    /// How many of the endpoints may be left alone at the same time, in percent, rounded
    /// down; of several endpoints one always may. With less than 100 some always get
    /// requests, however they fail, and an upstream's only endpoint is never left alone.
    /// Default: 50.
    #[serde(deserialize_with = "field::within::<_, _, 0, 100>")]
    #[schemars(range(min = 0, max = 100))]
    pub max_percent: u8,
}

impl Default for EjectionRules {
    fn default() -> Self {
        Self {
            failures: 5,
            error_rate: None,
            latency: None,
            time: Duration::seconds(10),
            max_time: Duration::seconds(5 * 60),
            max_percent: 50,
        }
    }
}

/// A share of failures, among enough requests to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorRate {
    /// From this share of failures on, 1 to 100 percent. Default: 50.
    #[serde(deserialize_with = "field::within::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
    /// With fewer requests in the window nothing is decided, 1 to 1000000. Default: 20.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: u32,
    /// Length of the window, which slides by tenths. Default: `30s`.
    pub window: Duration,
}

impl Default for ErrorRate {
    fn default() -> Self {
        Self {
            percent: 50,
            requests: 20,
            window: Duration::seconds(30),
        }
    }
}

/// When an endpoint answers too late to be left among the others, though it answers well. The
/// median of the times that its good answers took to begin (the first token of a stream, all
/// of an answer in one piece; from the beginning of the attempt) is compared with the median
/// of what is usual at the other endpoints that are as near. It is left alone when it has
/// more than `factor` times theirs, and more than `floor`: so nobody is when all are slow or
/// there is one only, and a few long prompts change nothing. Then the request that finds out
/// whether it is back must not be too late either.
///
/// Where each endpoint gets requests of its own kind, as with `balance: hash`, that kind may
/// make the difference: choose a greater `factor` there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    /// From how many times as long as at the others on, 2 to 100. Default: 3.
    #[serde(deserialize_with = "field::within::<_, _, 2, 100>")]
    #[schemars(range(min = 2, max = 100))]
    pub factor: u32,
    /// What takes no longer than this is never too late. Default: `1s`.
    pub floor: Duration,
    /// With fewer good answers in the window nothing is known of an endpoint: it is not left
    /// alone, nor are others compared with it. 1 to 1000000. Default: 20.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests: u32,
    /// How far back answers count, to within a half. Default: `30s`.
    pub window: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            factor: 3,
            floor: Duration::seconds(1),
            requests: 20,
            window: Duration::seconds(30),
        }
    }
}

/// Asks each endpoint how it does, with a GET of its own over a new connection, or over
/// the HTTP/2 connection of the last one. Headers and credentials of requests are not
/// sent. An endpoint counts as well until it has failed, and one that is not gets no
/// requests, even if no other is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// What is asked for, with a query if need be. Default: `/health`.
    #[serde(deserialize_with = "field::request_target")]
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
    /// From one check to the next; the first comes at some time within it. Default: `10s`.
    pub interval: Duration,
    /// How long the head of the answer may take, the connection included. Default: `2s`.
    pub timeout: Duration,
    /// Which answers are good, 1 to 16 of them. Default: `[200]`.
    #[serde(deserialize_with = "field::some_list::<_, _, 16>")]
    #[schemars(length(min = 1, max = 16))]
    pub statuses: Vec<Status>,
    /// How many good answers in a row make an endpoint well again, 1 to 100. Default: 2.
    #[serde(deserialize_with = "field::within::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy: u8,
    /// How many failures in a row make it unwell, 1 to 100. Default: 3.
    #[serde(deserialize_with = "field::within::<_, _, 1, 100>")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy: u8,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            interval: Duration::seconds(10),
            timeout: Duration::seconds(2),
            statuses: vec![Status(200)],
            healthy: 2,
            unhealthy: 3,
        }
    }
}

/// Status of a whole answer: 200 to 599 (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Status(u16);

number_value!(Status(u16), 200..=599, "status", "Status of an answer.");

impl Serialize for Ejection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::On(rules) => rules.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Ejection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EjectionVisitor)
    }
}

struct EjectionVisitor;

impl<'de> Visitor<'de> for EjectionVisitor {
    type Value = Ejection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`off`, or a mapping with `failures`, `time` and so on")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ejection, E> {
        match text {
            "off" | "false" => Ok(Ejection::Off),
            _ => Err(E::custom(format!(
                "{} is neither `off` nor a mapping with `failures`, `time` and so on",
                shown(text)
            ))),
        }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Ejection, E> {
        self.visit_str(if value { "on" } else { "off" })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Ejection, A::Error> {
        EjectionRules::deserialize(MapAccessDeserializer::new(entries)).map(Ejection::On)
    }
}

impl JsonSchema for Ejection {
    fn schema_name() -> Cow<'static, str> {
        "Ejection".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rules = generator.subschema_for::<EjectionRules>();
        json_schema!({
            "description": "Whether endpoints are left alone after failures: by rules, or `off`.",
            "anyOf": [rules, { "enum": ["off", false] }],
        })
    }
}
