//! What differs between two `server:` parts, for a reload to refuse it by name.

use std::borrow::Cow;

use serde_json::Value;

use super::Server;

/// The keys whose values differ, dotted as in `server.limits.request_body` or
/// `server.listen[1].address`, in the order of the old part and then of what is new. Empty
/// if the parts are equal but for what a reload may change.
pub fn changed_keys(old: &Server, new: &Server) -> Vec<String> {
    let new = fixed(old, new);
    if *old == *new {
        return Vec::new();
    }
    let mut keys = Vec::new();
    if let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(&*new)) {
        collect("server", Some(&old), Some(&new), &mut keys);
    }
    if keys.is_empty() {
        // A value that JSON cannot show, as a path that is not UTF-8: still a change.
        keys.push("server".to_owned());
    }
    keys
}

/// The new part with the old one's values for what a reload may change: the certificates of
/// listeners that have some, and what they ask of clients.
pub(crate) fn fixed<'s>(old: &Server, new: &'s Server) -> Cow<'s, Server> {
    let mut new = Cow::Borrowed(new);
    for (place, listener) in old.listen.iter().enumerate() {
        let other = new.listen.get(place).and_then(|other| other.tls.as_ref());
        let differs = listener.tls.is_some() && other.is_some() && listener.tls.as_ref() != other;
        if differs && let Some(other) = new.to_mut().listen.get_mut(place) {
            other.tls.clone_from(&listener.tls);
        }
    }
    new
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
