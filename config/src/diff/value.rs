//! Differences between two values of one type, seen as JSON.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::What;
use super::order::{Step, steps};

/// Longest text of a value, in characters.
const CHARS_MAX: usize = 160;

/// Tells of each key whose values differ, dotted, with the place in brackets for an
/// element of a list. Recurses as deep as the configuration's types are nested.
pub(super) fn compare(
    key: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    tell: &mut impl FnMut(String, What),
) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => objects(key, old, new, tell),
        (Some(Value::Array(was)), Some(Value::Array(is)))
            if was.iter().chain(is).any(Value::is_object) =>
        {
            if let (Some(old), Some(new)) = (labels(was), labels(is)) {
                return labelled(key, (was, &old), (is, &new), tell);
            }
            for index in 0..was.len().max(is.len()) {
                let key = format!("{key}[{}]", index + 1);
                compare(&key, was.get(index), is.get(index), tell);
            }
        }
        (Some(old), Some(new)) => {
            let (from, to) = (shown(old), shown(new));
            tell(key.to_owned(), What::Changed { from, to });
        }
        (None, Some(new)) => tell(key.to_owned(), What::Added(shown(new))),
        (Some(old), None) => tell(key.to_owned(), What::Removed(shown(old))),
        (None, None) => {}
    }
}

/// Compares lists whose elements have names, wherever they stand.
fn labelled(
    key: &str,
    (was, old): (&[Value], &[String]),
    (is, new): (&[Value], &[String]),
    tell: &mut impl FnMut(String, What),
) {
    for step in steps(old, new) {
        let label = match step {
            Step::Gone(at) => old.get(at),
            Step::Come(at) | Step::Moved { to: at, .. } | Step::Stayed { to: at, .. } => {
                new.get(at)
            }
        };
        let key = format!("{key} `{}`", label.map(String::as_str).unwrap_or_default());
        match step {
            Step::Gone(_) => tell(key, What::Removed(String::new())),
            Step::Come(_) => tell(key, What::Added(String::new())),
            Step::Moved { from, to } | Step::Stayed { from, to } => {
                compare(&key, was.get(from), is.get(to), tell);
            }
        }
    }
}

/// What tells the elements apart, if all of them have something that does: an `id`, a
/// `name`, or the consumer of a key with the public beginning of its hash.
fn labels(items: &[Value]) -> Option<Vec<String>> {
    let label = |item: &Value| {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        match (text("id").or(text("name")), text("consumer"), text("hash")) {
            (Some(label), _, _) => Some(label.to_owned()),
            (None, Some(consumer), Some(hash)) => {
                let digits = hash.strip_prefix("sha256:")?.get(..12)?;
                Some(format!("{consumer}-{digits}"))
            }
            _ => None,
        }
    };
    let labels = items.iter().map(label).collect::<Option<Vec<_>>>()?;
    let distinct: HashSet<_> = labels.iter().collect();
    (distinct.len() == labels.len()).then_some(labels)
}

fn objects(
    key: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    tell: &mut impl FnMut(String, What),
) {
    let below = |name: &str| match key {
        "" => name.to_owned(),
        key => format!("{key}.{name}"),
    };
    for (name, value) in old {
        compare(&below(name), Some(value), new.get(name), tell);
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        compare(&below(name), None, Some(value), tell);
    }
}

/// A value as the file would write it on one line.
fn shown(value: &Value) -> String {
    cut(&written(value))
}

fn written(value: &Value) -> String {
    match value {
        // Whole hashes are nobody's business.
        Value::String(text) if text.starts_with("sha256:") => {
            format!("{}…", text.get(..19).unwrap_or("sha256:"))
        }
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries = entries
                .iter()
                .map(|(name, value)| format!("{name}: {}", written(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}

/// A text of bounded length.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
