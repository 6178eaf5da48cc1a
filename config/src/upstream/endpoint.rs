//! An endpoint's two spellings: an address, or a mapping with a weight.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Endpoint;
use crate::unit::{HostPort, Weight};

impl From<HostPort> for Endpoint {
    fn from(address: HostPort) -> Self {
        Self {
            address,
            weight: Weight::default(),
        }
    }
}

/// The spelling as a mapping.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    address: HostPort,
    #[serde(default)]
    weight: Weight,
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
        f.write_str("an address such as `127.0.0.1:8000`, or a mapping with `address` and `weight`")
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
        let Weighted { address, weight } =
            Weighted::deserialize(MapAccessDeserializer::new(entries))?;
        Ok(Endpoint { address, weight })
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.weight == Weight::default() {
            return self.address.serialize(serializer);
        }
        let mut mapping = serializer.serialize_struct("Endpoint", 2)?;
        mapping.serialize_field("address", &self.address)?;
        mapping.serialize_field("weight", &self.weight)?;
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
        json_schema!({
            "description": "One server: its address, or a mapping with its address and weight.",
            "anyOf": [
                address,
                {
                    "type": "object",
                    "properties": { "address": address, "weight": weight },
                    "required": ["address"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
