//! The schema takes what the reader takes.

use serde_json::Value;

use super::schema;
use crate::tests::examples;
use crate::{Config, parse};

/// Why a value does not satisfy a schema, by the keywords that ours uses.
fn violation(root: &Value, schema: &Value, value: &Value, path: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return violation(root, target, value, path);
    }
    for (keyword, argument) in schema.as_object().unwrap() {
        let fine = match (keyword.as_str(), value) {
            ("type", value) => match argument.as_array() {
                Some(any) => any
                    .iter()
                    .any(|one| is_of_type(one.as_str().unwrap(), value)),
                None => is_of_type(argument.as_str().unwrap(), value),
            },
            ("const", value) => argument == value,
            ("enum", value) => argument.as_array().unwrap().contains(value),
            ("minimum", Value::Number(number)) => number.as_f64() >= argument.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= argument.as_f64(),
            ("minItems", Value::Array(items)) => items.len() as u64 >= argument.as_u64().unwrap(),
            ("maxItems", Value::Array(items)) => items.len() as u64 <= argument.as_u64().unwrap(),
            ("minLength", Value::String(text)) => {
                text.chars().count() as u64 >= argument.as_u64().unwrap()
            }
            ("maxLength", Value::String(text)) => {
                text.chars().count() as u64 <= argument.as_u64().unwrap()
            }
            ("pattern", Value::String(text)) => is_match(argument.as_str().unwrap(), text),
            ("required", Value::Object(entries)) => argument
                .as_array()
                .unwrap()
                .iter()
                .all(|key| entries.contains_key(key.as_str().unwrap())),
            ("anyOf", value) => passing(root, argument, value, path) >= 1,
            ("oneOf", value) => passing(root, argument, value, path) == 1,
            _ => true,
        };
        if !fine {
            return Some(format!("{path}: {value} against {keyword}: {argument}"));
        }
    }
    match value {
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            schema
                .get("items")
                .and_then(|schema| violation(root, schema, item, &format!("{path}[{index}]")))
        }),
        Value::Object(entries) => entries.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match entry_schema(schema, key) {
                Some(schema) => violation(root, schema, value, &path),
                None => {
                    (schema["additionalProperties"] == false).then(|| format!("{path} is unknown"))
                }
            }
        }),
        _ => None,
    }
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("the schema uses the type {other}, which this test does not know"),
    }
}

fn is_match(pattern: &str, text: &str) -> bool {
    regex_lite::Regex::new(pattern).unwrap().is_match(text)
}

fn passing(root: &Value, schemas: &Value, value: &Value, path: &str) -> usize {
    let schemas = schemas.as_array().unwrap();
    schemas
        .iter()
        .filter(|schema| violation(root, schema, value, path).is_none())
        .count()
}

fn entry_schema<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    let patterns = schema["patternProperties"].as_object();
    schema["properties"].get(key).or_else(|| {
        patterns?
            .iter()
            .find(|(pattern, _)| is_match(pattern, key))
            .map(|p| p.1)
    })
}

fn check(name: &str, value: &Value) -> Option<String> {
    let schema = schema();
    violation(&schema, &schema, value, name)
}

/// Why a value does not satisfy another schema of ours.
pub(crate) fn violation_of(schema: &Value, value: &Value) -> Option<String> {
    violation(schema, schema, value, "value")
}

#[test]
fn every_example_satisfies_the_schema() {
    for (name, text) in examples() {
        // As the operator wrote it, by a reader that knows nothing of our types.
        let written: Value = crate::located::json(&text);
        assert_eq!(check(&name, &written), None, "{name} as written");
        let config =
            parse(&text).unwrap_or_else(|report| panic!("{}", report.render(&name, &text)));
        let full = serde_json::to_value(config).unwrap();
        assert_eq!(
            check(&name, &full),
            None,
            "{name} with its defaults filled in"
        );
    }
    let defaults = serde_json::to_value(Config::default()).unwrap();
    assert_eq!(check("defaults", &defaults), None, "the defaults");
}

#[test]
fn the_schema_refuses_what_an_editor_should_underline() {
    let cases = [
        r#"{"sever": {}}"#,
        r#"{"server": {"drain_timeout": 30}}"#,
        r#"{"server": {"workers": 0}}"#,
        r#"{"server": {"limits": {"connections": 0}}}"#,
        r#"{"server": {"upgrade_socket": null}}"#,
        r#"{"server": {"listen": []}}"#,
        r#"{"server": {"listen": [{"address": "localhost:1"}]}}"#,
        r#"{"server": {"listen": [{"address": "1.2.3.4:1", "tls": {"certificate": "a", "private_key": "b"}}]}}"#,
        r#"{"upstreams": {"-": {"endpoints": ["a:1"]}}}"#,
        r#"{"upstreams": {"a": {"endpoints": ["http://a:1"]}}}"#,
        r#"{"upstreams": {"a": {}}}"#,
        r#"{"routes": [{"name": "a"}]}"#,
        r#"{"routes": [{"name": "a", "match": {"path": {"prefix": "v1"}}, "split": [{"upstream": "a"}]}]}"#,
        r#"{"routes": [{"name": "a", "match": {"path": {}}, "split": [{"upstream": "a"}]}]}"#,
        r#"{"chain": [{"request-id": {}}]}"#,
    ];
    for text in cases {
        let value = serde_json::from_str(text).unwrap();
        assert!(check("case", &value).is_some(), "{text} should be refused");
        // JSON is YAML, so the reader can be asked as well.
        assert!(
            parse(text).is_err(),
            "{text} should be refused by the reader too"
        );
    }
}

#[test]
fn every_key_is_described() {
    fn walk(value: &Value, path: &str) {
        for (name, property) in value["properties"].as_object().into_iter().flatten() {
            let described = property["description"].is_string() || property["$ref"].is_string();
            assert!(
                described,
                "{path}.{name} has no description for an editor to show"
            );
        }
        for (name, child) in value.as_object().into_iter().flatten() {
            walk(child, &format!("{path}.{name}"));
        }
    }
    walk(&schema(), "schema");
}
