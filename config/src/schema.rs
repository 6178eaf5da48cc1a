//! The file's JSON Schema, for editors to complete and check it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::Value;

use crate::Config;
use crate::keys::Keys;

/// JSON Schema (draft 2020-12) of a configuration file.
///
/// It is made from the same types that [`parse`](crate::parse) reads. What relates one
/// part of the file to another (a reference to an upstream, a name given twice) is
/// beyond a schema and left to `parse`.
pub fn schema() -> Value {
    schema_of::<Config>("Penstock configuration")
}

/// JSON Schema (draft 2020-12) of a file of API keys.
pub fn keys_schema() -> Value {
    schema_of::<Keys>("Penstock API keys")
}

fn schema_of<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .with_transform(WithoutNull)
        .into_generator()
        .into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}

/// Takes `null` out of optional keys: in the file an absent key is how to say nothing,
/// and a key without a value is a mistake.
#[derive(Clone, Debug)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut schemars::Schema) {
        transform_subschemas(self, schema);
        let Some(keywords) = schema.as_object_mut() else {
            return;
        };
        if let Some(Value::Array(types)) = keywords.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                keywords.insert("type".to_owned(), only);
            }
        }
        if keywords.get("default").is_some_and(Value::is_null) {
            keywords.remove("default");
        }
        if let Some(Value::Array(choices)) = keywords.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
            if let [only] = choices.as_slice() {
                let only = only.clone();
                keywords.remove("anyOf");
                if let Value::Object(only) = only {
                    keywords.extend(only);
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
