//! Changes to a message's headers, as data.

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

/// Changes that the engine makes to a head before it passes it on, in the order in
/// which the plugins asked for them. Empty, it owns no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits(Vec<Edit>);

impl HeaderEdits {
    /// Replaces every value of `name` by `value`.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(Edit::Set(name, value));
    }

    /// Adds `value` beside the values that `name` has.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push(Edit::Add(name, value));
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: HeaderName) {
        self.0.push(Edit::Remove(name));
    }

    /// The changes, first to last.
    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.0.iter()
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a HeaderEdits {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for HeaderEdits {
    type Item = Edit;
    type IntoIter = std::vec::IntoIter<Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
