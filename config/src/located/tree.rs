//! The file as a tree of nodes that know where they stand.

mod build;
mod plain;

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

pub(super) use build::{NODES_MAX, Unreadable};
pub(super) use plain::{elements, parts};

use super::found::Found;

/// A place in the text. A tree of many thousand values is made at each reload and each has
/// several places, which are small therefore: no text is so long that one does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    line: u32,
    column: u32,
    byte: u32,
}

impl Mark {
    /// A place by its line and its column, which count from 1, and its byte, which counts
    /// from 0.
    pub(super) fn new(line: usize, column: usize, byte: usize) -> Self {
        Self {
            line: small(line),
            column: small(column),
            byte: small(byte),
        }
    }

    /// From 1.
    pub(super) fn line(self) -> usize {
        self.line as usize
    }

    /// In characters, from 1.
    pub(super) fn column(self) -> usize {
        self.column as usize
    }

    /// From 0.
    pub(super) fn byte(self) -> usize {
        self.byte as usize
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self::new(1, 1, 0)
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A key that merges another mapping in, in YAML 1.1.
const MERGE_KEY: &str = "<<";

/// A mapping's key.
#[derive(Clone, Debug)]
pub(super) struct Key<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) mark: Mark,
}

/// A value in the file. Its text is the file's own wherever it stands there as it is read.
#[derive(Clone, Debug)]
pub(super) struct Node<'t> {
    pub(super) mark: Mark,
    /// Where the value is announced: its key, else the value itself.
    pub(super) heading: Mark,
    /// The value in the text, in bytes.
    bytes: Range<u32>,
    pub(super) content: Content<'t>,
    /// Set when the value was found to be wrong: it is then as good as absent, and
    /// what follows from its absence is nobody's mistake. A cell, because decoding
    /// holds the tree by reference when it finds out.
    dropped: Cell<bool>,
}

#[derive(Clone, Debug)]
pub(super) enum Content<'t> {
    Scalar {
        text: Cow<'t, str>,
        /// Written without quotes, so that it may be a number, a boolean or nothing.
        plain: bool,
    },
    Sequence(Vec<Node<'t>>),
    Mapping(Vec<(Key<'t>, Node<'t>)>),
}

/// Reads the one document of the text. `None` means that nothing is in it but comments.
pub(super) fn build<'t>(text: &'t str, found: &mut Found) -> Result<Option<Node<'t>>, Unreadable> {
    match plain::read(text) {
        Some(root) => Ok(Some(root)),
        None => build::build(text, found),
    }
}

impl<'t> Node<'t> {
    /// What stands from a mark up to a byte of the text.
    fn new(mark: Mark, end: usize, content: Content<'t>) -> Self {
        Self {
            mark,
            heading: mark,
            bytes: mark.byte..small(end),
            content,
            dropped: Cell::new(false),
        }
    }

    /// The value in the text, in bytes.
    pub(super) fn bytes(&self) -> Range<usize> {
        self.bytes.start as usize..self.bytes.end as usize
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.get()
    }

    pub(super) fn drop_out(&self) {
        self.dropped.set(true);
    }

    /// Whether the node and all within it are as they were written.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_dropped()
            && match &self.content {
                Content::Scalar { .. } => true,
                Content::Sequence(items) => items.iter().all(Self::is_whole),
                Content::Mapping(entries) => entries.iter().all(|(_, node)| node.is_whole()),
            }
    }

    /// Whether the node is a key without a value, or a written `null` (YAML 1.2.2
    /// section 10.3.2).
    pub(super) fn is_null(&self) -> bool {
        match &self.content {
            Content::Scalar { text, plain } => {
                *plain && matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// The elements of a sequence, without those that were dropped.
    pub(super) fn items(&self) -> impl Iterator<Item = &Self> {
        let items = match &self.content {
            Content::Sequence(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().filter(|node| !node.is_dropped())
    }

    /// The entries of a mapping, without those that were dropped.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Key<'t>, &Self)> {
        self.all_entries().filter(|(_, node)| !node.is_dropped())
    }

    /// The entries of a mapping as they were written.
    pub(super) fn all_entries(&self) -> impl Iterator<Item = (&Key<'t>, &Self)> {
        let entries = match &self.content {
            Content::Mapping(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, node)| (key, node))
    }

    /// The value of a key, unless it was dropped.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .find(|(known, _)| known.text == key)
            .map(|(_, node)| node)
    }

    /// Whether the key was there and its value was dropped, or it may have been in a
    /// mapping that was to be merged in.
    pub(super) fn has_dropped(&self, key: &str) -> bool {
        self.dropped_keys()
            .any(|known| known == key || known == MERGE_KEY)
    }

    /// The keys whose values were dropped.
    pub(super) fn dropped_keys(&self) -> impl Iterator<Item = &str> {
        self.all_entries()
            .filter(|(_, node)| node.is_dropped())
            .map(|(key, _)| &*key.text)
    }

    /// How many values the node holds, itself included.
    fn count(&self) -> usize {
        1 + match &self.content {
            Content::Scalar { .. } => 0,
            Content::Sequence(items) => items.iter().map(Self::count).sum(),
            Content::Mapping(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
        }
    }
}

#[cfg(test)]
impl Node<'_> {
    /// The value as an editor's YAML reader sees it (YAML 1.2 core schema).
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.content {
            Content::Scalar { text, plain: true } => {
                serde_json::from_str(text).unwrap_or_else(|_| (**text).into())
            }
            Content::Scalar { text, .. } => (**text).into(),
            Content::Sequence(items) => items.iter().map(Self::to_json).collect(),
            Content::Mapping(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone().into_owned(), node.to_json()))
                .collect(),
        }
    }
}
