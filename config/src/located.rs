//! Reading a file, with every mistake in it located.
//!
//! The text becomes a tree of nodes that know where they stand ([`tree`]). The types'
//! own `Deserialize` reads that tree ([`decode`]); when it fails, the mistake is noted
//! ([`found`]), the node at fault is dropped from the tree, and it reads again, until
//! nothing is left to fail. So the types keep plain derives, and still one run finds
//! all that is wrong. What relates parts of the file to each other is checked last
//! ([`rules`]), on what is left, without blaming the consequences of what was dropped.

mod decode;
mod error;
mod found;
mod keys;
mod rules;
mod tree;

pub use keys::{parse_keys, parse_keys_each};

use crate::{Config, Plugin, Report, Route, Server, Upstream};
use found::Found;
use tree::Node;

/// Largest file, in bytes. Ten thousand routes fit well into it.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Reads a configuration file.
///
/// An empty file is the default configuration. The file may be at most 1 MiB, nested
/// at most 32 deep, and may hold at most 10,000 routes, 1,000 upstreams and 1,024
/// endpoints in each of them.
///
/// # Errors
///
/// Every mistake in the text, up to 100 of them; but where the text is not YAML, only
/// the first place where it is not.
pub fn parse(text: &str) -> Result<Config, Report> {
    let mut found = Found::default();
    let config = read(text, &mut found);
    match config {
        Some(config) if found.is_empty() => Ok(config),
        _ => Err(found.into_report()),
    }
}

fn read(text: &str, found: &mut Found) -> Option<Config> {
    let root = match document(text, TEXT_BYTES_MAX, found) {
        Ok(Some(root)) => root,
        Ok(None) => return Some(Config::default()),
        Err(tree::Unreadable) => return None,
    };
    rules::counts(&root, found);
    let config = match decode::whole::<Config>(&root) {
        Some(config) => config,
        None => {
            decode_parts(&root, found);
            decode::decode::<Config>(&root, found)?
        }
    };
    rules::check(&config, &root, found);
    Some(config)
}

/// The text as a tree; none if nothing is in it but comments.
fn document<'t>(
    text: &'t str,
    bytes_max: usize,
    found: &mut Found,
) -> Result<Option<Node<'t>>, tree::Unreadable> {
    // Windows editors put a byte order mark first. It is not part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > bytes_max {
        found.at_start(format!(
            "the file has {} bytes: at most {bytes_max} are read",
            text.len()
        ));
        return Err(tree::Unreadable);
    }
    tree::build(text, found)
}

/// Decodes the parts of the file one by one, for their mistakes. Reading again after
/// each mistake then costs a part and not the file.
fn decode_parts(root: &Node<'_>, found: &mut Found) {
    if let Some(server) = root.get("server") {
        decode::decode::<Server>(server, found);
    }
    for (_, upstream) in root.get("upstreams").into_iter().flat_map(Node::entries) {
        decode::decode::<Upstream>(upstream, found);
    }
    for plugin in root.get("chain").into_iter().flat_map(Node::items) {
        decode::decode::<Plugin>(plugin, found);
    }
    for route in root.get("routes").into_iter().flat_map(Node::items) {
        decode::decode::<Route>(route, found);
    }
}

/// A text as plain JSON values, read without knowledge of the types: numbers and
/// booleans by their look.
#[cfg(test)]
pub(crate) fn json(text: &str) -> serde_json::Value {
    match tree::build(text, &mut Found::default()) {
        Ok(Some(root)) => root.to_json(),
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests;
