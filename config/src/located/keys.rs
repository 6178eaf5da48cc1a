//! Reading a file of API keys.

use std::collections::BTreeSet;

use super::found::Found;
use super::tree::{Content, Mark, Node, Unreadable};
use super::{decode, document, rules};
use crate::Report;
use crate::keys::{KEYS_MAX, Key, Keys, Listed};
use crate::unit::Name;

/// Largest file of keys, in bytes: 400 for each of the most keys.
const TEXT_BYTES_MAX: usize = 8 << 20;

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
    let mut found = Found::default();
    let keys = read(text, limits, &mut found);
    if found.is_empty() {
        Ok(Keys::new(keys))
    } else {
        Err(found.into_report())
    }
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
    let decode = |node: &Node| decode::decode(node, found).map(|Listed(key)| key);
    let keys: Vec<Key> = root.items().filter_map(decode).collect();
    rules::keys(&keys, root.items(), limits, found);
    keys
}
