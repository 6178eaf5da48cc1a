//! Changes to a message's headers and to a request's body, as data.

#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// One change to a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Replace every value of this header by one.
    Set(HeaderName, HeaderValue),
    /// Add a value beside those that are there.
    Add(HeaderName, HeaderValue),
    /// Remove every value of this header.
    Remove(HeaderName),
}

/// Changes that the engine makes to a head before it passes it on: first what is
/// stripped, then the changes in the order in which the plugins asked for them. Empty,
/// it owns no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    stripped: &'static [HeaderName],
    edits: Vec<Edit>,
}

impl HeaderEdits {
    /// Removes every value of these before anything else is changed, without owning
    /// memory for it.
    pub fn strip(&mut self, names: &'static [HeaderName]) {
        if self.stripped.is_empty() || self.stripped == names {
            self.stripped = names;
        } else {
            // Nothing that stands in the message survives this either, nor what was
            // set before: who strips a header late means it.
            self.edits.extend(names.iter().cloned().map(Edit::Remove));
        }
    }

    /// Replaces every value of `name` by `value`.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.push(Edit::Set(name, value));
    }

    /// Adds `value` beside the values that `name` has.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.edits.push(Edit::Add(name, value));
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: HeaderName) {
        self.edits.push(Edit::Remove(name));
    }

    /// The headers to remove before the changes are made.
    pub fn stripped(&self) -> &'static [HeaderName] {
        self.stripped
    }

    /// The changes, first to last, without what is stripped.
    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.edits.iter()
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.stripped.is_empty() && self.edits.is_empty()
    }
}

impl<'a> IntoIterator for &'a HeaderEdits {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One change to a body: the bytes of `range`, which may be none, give way to `new`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyEdit {
    /// Offsets in the body as the client sent it.
    pub range: Range<usize>,
    /// What stands there instead.
    pub new: Bytes,
}

/// Changes that the engine makes to a request's body before it passes it on. They are
/// in the order of their places, whoever asked first, and none overlaps another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyEdits(Vec<BodyEdit>);

impl<'a> IntoIterator for &'a BodyEdits {
    type Item = &'a BodyEdit;
    type IntoIter = std::slice::Iter<'a, BodyEdit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl BodyEdits {
    /// Adds a change. Asking twice for the same changes the body once, so that two
    /// plugins can want the same. One that overlaps another cannot be made: it is a
    /// mistake of the plugin that asks, which stops a debug build and leaves the body
    /// as the first one wants it in a release.
    pub fn add(&mut self, edit: BodyEdit) {
        if self.0.contains(&edit) {
            return;
        }
        let place = |edit: &BodyEdit| (edit.range.start, edit.range.end);
        let index = self.0.partition_point(|other| place(other) <= place(&edit));
        let (before, after) = self.0.split_at(index);
        let fits = edit.range.start <= edit.range.end
            && before
                .last()
                .is_none_or(|other| other.range.end <= edit.range.start)
            && after
                .first()
                .is_none_or(|other| edit.range.end <= other.range.start);
        debug_assert!(fits, "{edit:?} overlaps one of {self:?}");
        if fits {
            self.0.insert(index, edit);
        }
    }

    /// The changes, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, BodyEdit> {
        self.0.iter()
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body of these pieces with the changes made. Pieces are cut, not copied, and
    /// none of the result is empty.
    pub fn apply(&self, pieces: &[Bytes]) -> Vec<Bytes> {
        let mut edited = Vec::with_capacity(pieces.len() + 2 * self.0.len());
        let mut rest = pieces.iter();
        let mut piece = Bytes::new();
        // Offset of what `piece` begins with.
        let mut at = 0;
        for edit in &self.0 {
            for (end, kept) in [(edit.range.start, true), (edit.range.end, false)] {
                while at < end {
                    if piece.is_empty() {
                        match rest.next() {
                            Some(next) => piece = next.clone(),
                            None => break,
                        }
                    }
                    let part = piece.split_to(piece.len().min(end - at));
                    at += part.len();
                    if kept {
                        edited.push(part);
                    }
                }
            }
            edited.push(edit.new.clone());
        }
        edited.push(piece);
        edited.extend(rest.cloned());
        edited.retain(|piece| !piece.is_empty());
        edited
    }
}
