//! An endpoint's two spellings: an address, or a mapping.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Endpoint;
use crate::field;
use crate::unit::{HostPort, Name, Weight};

/// Greatest limit on requests in flight.
const REQUESTS_MAX: u64 = 1_000_000;

impl From<HostPort> for Endpoint {
    fn from(address: HostPort) -> Self {
        Self {
            address,
            weight: Weight::default(),
            zone: None,
            max_requests: None,
        }
    }
}

/// The spelling as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: HostPort,
    #[serde(default)]
    weight: Weight,
    #[serde(default)]
    zone: Option<Name>,
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, REQUESTS_MAX>"
    )]
    max_requests: Option<u32>,
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EndpointVisitor)
    }
}

struct EndpointVisitor;

impl<'de> Visitor<'de> for EndpointVisitor {
    type Value = Endpoint;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address such as `127.0.0.1:8000`, or a mapping with `address`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Endpoint, E> {
        text.parse()
            .map(|address: HostPort| address.into())
            .map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Endpoint, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Endpoint, A::Error> {
        let written = Written::deserialize(MapAccessDeserializer::new(entries))?;
        Ok(Endpoint {
            address: written.address,
            weight: written.weight,
            zone: written.zone,
            max_requests: written.max_requests,
        })
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::from(self.address.clone()) {
            return self.address.serialize(serializer);
        }
        let mut mapping = serializer.serialize_struct("Endpoint", 4)?;
        mapping.serialize_field("address", &self.address)?;
        mapping.serialize_field("weight", &self.weight)?;
        if let Some(zone) = &self.zone {
            mapping.serialize_field("zone", zone)?;
        }
        if let Some(most) = &self.max_requests {
            mapping.serialize_field("max_requests", most)?;
        }
        mapping.end()
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let address = generator.subschema_for::<HostPort>();
        let mut weight = generator.subschema_for::<Weight>();
        weight.insert("default".to_owned(), 1.into());
        let name = generator.subschema_for::<Name>();
        let described = |description: &str, mut schema: Schema| {
            schema.insert("description".to_owned(), description.into());
            schema
        };
        let zone = described(
            "Where it stands. It gets requests when those of the proxy's own `server.zone` are not enough, or none. Default: near.",
            name,
        );
        let most = described(
            "How many requests of this process it may have in flight; past that they go to others, or are answered with 503. Default: any number.",
            json_schema!({ "type": "integer", "minimum": 1, "maximum": REQUESTS_MAX }),
        );
        json_schema!({
            "description": "One server: its address, or a mapping.",
            "anyOf": [
                address,
                {
                    "type": "object",
                    "properties": {
                        "address": address,
                        "weight": weight,
                        "zone": zone,
                        "max_requests": most,
                    },
                    "required": ["address"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
