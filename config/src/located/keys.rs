//! Reading a file of API keys.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::thread;

use super::found::Found;
use super::tree::{self, Content, Mark, NODES_MAX, Node, Unreadable};
use super::{decode, document, rules};
use crate::Report;
use crate::keys::{KEYS_MAX, Key, Keys, Listed};
use crate::unit::Name;

/// Largest file of keys, in bytes: 400 for each of the most keys.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// Shortest part of a file that a thread of its own is made for.
const PART_BYTES_MIN: usize = 128 << 10;

/// Most parts that a file is read in. Where the proxy is busy, its reload gets on the
/// faster for each; with fewer processors nothing is lost.
const PARTS_MAX: usize = 4;

/// About the least that a key takes: its hash, its consumer and their names.
const KEY_BYTES_MIN: usize = 100;

/// Reads a file of API keys: a list, each element a [`Key`].
///
/// The file may be at most 8 MiB and hold at most 20,000 keys. One without a list is
/// refused, since it may be half written; `[]` says that there are none.
///
/// # Errors
///
/// Every mistake in the text, up to 100 of them, as with [`parse`](crate::parse).
pub fn parse_keys(text: &str) -> Result<Keys, Report> {
    parse(text, None)
}

/// The same for a configuration with these limits: a key that has a number of its own for
/// another one is a mistake too.
///
/// # Errors
///
/// As for [`parse_keys`].
pub fn parse_keys_for(text: &str, limits: &BTreeSet<Name>) -> Result<Keys, Report> {
    let limits = rules::limits_named(limits.iter().map(Name::as_str));
    parse(text, Some(&limits))
}

fn parse(text: &str, limits: Option<&rules::Names<'_>>) -> Result<Keys, Report> {
    let parts = (text.len() / PART_BYTES_MIN).clamp(1, PARTS_MAX);
    if let Some(keys) = read_plain(text, limits, parts) {
        return Ok(Keys::new(keys));
    }
    let mut found = Found::default();
    let keys = read(text, limits, &mut found);
    if found.is_empty() {
        Ok(Keys::new(keys))
    } else {
        Err(found.into_report())
    }
}

/// The keys of a text without a mistake in it that is written as most are: nothing is
/// kept of where they stand, and a long list is read in parts, by a thread each. None if
/// there is anything to be said about the text, which is for [`read`] to say.
fn read_plain(text: &str, limits: Option<&rules::Names<'_>>, parts: usize) -> Option<Vec<Key>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut parts = tree::parts(text, parts).into_iter();
    let (keys, nodes) = thread::scope(|scope| {
        let first = parts.next()?;
        let spawn = |part| {
            let read = move || read_part(part, most_in(part));
            thread::Builder::new().spawn_scoped(scope, read)
        };
        let others: Vec<_> = parts.map(spawn).collect::<Result<_, _>>().ok()?;
        // With room for the others' keys: to grow would move what is there.
        let (mut keys, mut nodes) = read_part(first, most_in(text))?;
        for other in others {
            let (more, count) = other.join().ok()??;
            keys.extend(more);
            nodes += count;
        }
        Some((keys, nodes))
    })?;
    let is_bounded = (1..=KEYS_MAX).contains(&keys.len()) && nodes < NODES_MAX;
    (is_bounded && rules::keys_hold(&keys, limits)).then_some(keys)
}

/// About the most keys that a text can hold.
fn most_in(text: &str) -> usize {
    text.len() / KEY_BYTES_MIN
}

/// The keys of a part, with room for so many, and how many values it holds.
fn read_part(text: &str, room: usize) -> Option<(Vec<Key>, usize)> {
    let mut keys = Vec::with_capacity(room);
    let nodes = tree::elements(text, |node| {
        let Listed(key) = decode::whole(node)?;
        keys.push(key);
        Some(())
    })?;
    Some((keys, nodes))
}

fn read(text: &str, limits: Option<&rules::Names<'_>>, found: &mut Found) -> Vec<Key> {
    let root = match document(text, TEXT_BYTES_MAX, found) {
        Ok(Some(root)) => root,
        Ok(None) => {
            let hint = "write `[]` if there are to be none";
            found.at(
                Mark::default(),
                "no keys are in the file",
                Some(hint.to_owned()),
            );
            return Vec::new();
        }
        Err(Unreadable) => return Vec::new(),
    };
    if !matches!(root.content, Content::Sequence(_)) {
        // What stands there instead may be a key.
        found.mask(root.bytes.clone());
        let message = "expected a list of keys, each after a `- `";
        found.at(root.mark, message, None);
        return Vec::new();
    }
    let count = root.items().count();
    if count > KEYS_MAX {
        let message = format!("{count} keys are too many: at most {KEYS_MAX} are read");
        found.at(root.mark, message, None);
        return Vec::new();
    }
    let decode = |node: &Node<'_>| decode::decode(node, found).map(|Listed(key)| key);
    let keys: Vec<Key> = root.items().filter_map(decode).collect();
    rules::keys(&keys, root.items(), limits, found);
    keys
}
