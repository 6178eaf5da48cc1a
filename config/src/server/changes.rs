//! What differs between two `server:` parts, for a reload to refuse it by name.

use serde_json::Value;

use super::Server;

/// The keys whose values differ, dotted as in `server.limits.request_body` or
/// `server.listen[1].tls.certificate`, in the order of the old part and then of what
/// is new. Empty if the parts are equal.
pub fn changed_keys(old: &Server, new: &Server) -> Vec<String> {
    if old == new {
        return Vec::new();
    }
    let mut keys = Vec::new();
    if let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) {
        collect("server", Some(&old), Some(&new), &mut keys);
    }
    if keys.is_empty() {
        // A value that JSON cannot show, as a path that is not UTF-8: still a change.
        keys.push("server".to_owned());
    }
    keys
}

/// Recurses as deep as [`Server`] is nested.
fn collect(key: &str, old: Option<&Value>, new: Option<&Value>, keys: &mut Vec<String>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (name, value) in old {
                collect(&format!("{key}.{name}"), Some(value), new.get(name), keys);
            }
            for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                collect(&format!("{key}.{name}"), None, Some(value), keys);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                collect(
                    &format!("{key}[{index}]"),
                    old.get(index),
                    new.get(index),
                    keys,
                );
            }
        }
        _ => keys.push(key.to_owned()),
    }
}

#[cfg(test)]
mod tests;
