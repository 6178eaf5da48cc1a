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
    parse(text, None, |key| key).map(Keys::new)
}

/// What is made of each key of a file, in the file's order. A long list is read in parts,
/// by a thread each, where that is made at once, so that there is never a list of the keys
/// themselves.
///
/// With the names of a configuration's `limits`, a key that has a number of its own for
/// another one is a mistake too.
///
/// # Errors
///
/// As for [`parse_keys`].
pub fn parse_keys_each<T: Send>(
    text: &str,
    limits: Option<&BTreeSet<Name>>,
    make: impl Fn(Key) -> T + Sync,
) -> Result<Vec<T>, Report> {
    let limits = limits.map(|names| rules::limits_named(names.iter().map(Name::as_str)));
    parse(text, limits.as_ref(), make)
}

fn parse<T: Send>(
    text: &str,
    limits: Option<&rules::Names<'_>>,
    make: impl Fn(Key) -> T + Sync,
) -> Result<Vec<T>, Report> {
    let parts = (text.len() / PART_BYTES_MIN).clamp(1, PARTS_MAX);
    if let Some(made) = read_plain(text, limits, parts, &make) {
        return Ok(made);
    }
    let mut found = Found::default();
    let keys = read(text, limits, &mut found);
    if found.is_empty() {
        Ok(keys.into_iter().map(make).collect())
    } else {
        Err(found.into_report())
    }
}

/// What is made of the keys of a text without a mistake in it that is written as most are:
/// nothing is kept of where they stand, and a long list is read in parts, by a thread each.
/// None if there is anything to be said about the text, which is for [`read`] to say.
fn read_plain<T: Send>(
    text: &str,
    limits: Option<&rules::Names<'_>>,
    parts: usize,
    make: &(impl Fn(Key) -> T + Sync),
) -> Option<Vec<T>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut parts = tree::parts(text, parts).into_iter();
    let (made, distinct, nodes) = thread::scope(|scope| {
        let first = parts.next()?;
        let spawn = |part| {
            let read = move || read_part(part, most_in(part), limits, make);
            thread::Builder::new().spawn_scoped(scope, read)
        };
        let others: Vec<_> = parts.map(spawn).collect::<Result<_, _>>().ok()?;
        // With room for what the others make: to grow would move what is there.
        let (mut made, mut distinct, mut nodes) = read_part(first, most_in(text), limits, make)?;
        for other in others {
            let (more, theirs, count) = other.join().ok()??;
            made.extend(more);
            distinct.extend(theirs);
            nodes += count;
        }
        Some((made, distinct, nodes))
    })?;
    let is_bounded = (1..=KEYS_MAX).contains(&made.len()) && nodes < NODES_MAX;
    (is_bounded && distinct.holds()).then_some(made)
}

/// About the most keys that a text can hold.
fn most_in(text: &str) -> usize {
    text.len() / KEY_BYTES_MIN
}

/// What is made of the keys of a part, with room for so many; what must differ among all
/// keys; and how many values the part holds.
fn read_part<T>(
    text: &str,
    room: usize,
    limits: Option<&rules::Names<'_>>,
    make: &impl Fn(Key) -> T,
) -> Option<(Vec<T>, rules::Distinct, usize)> {
    let mut made = Vec::with_capacity(room);
    let mut distinct = rules::Distinct::with_capacity(room);
    let nodes = tree::elements(text, |node| {
        let Listed(key) = decode::whole(node)?;
        if !rules::key_holds(&key, limits) {
            return None;
        }
        distinct.add(&key);
        made.push(make(key));
        Some(())
    })?;
    Some((made, distinct, nodes))
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
        found.mask(root.bytes());
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
