//! A request's JSON body, read once without a tree.
//!
//! [`Scanner`] reads JSON text (RFC 8259) in whatever pieces it arrives and builds no
//! tree: prompts are megabytes, and all that the chain wants is a few short fields and
//! some counts, the [`Facts`](crate::facts::Facts). What it skips it checks as far as a
//! mistake there could move or hide a field: strings with their escapes, the nesting of
//! brackets, the places of commas and colons. Numbers and literals are only checked to
//! be made of their characters, and skipped strings may hold anything between their
//! quotes.
//!
//! The upstream parses the same bytes with another parser, and a body that the two
//! read differently would let a client use a model that it may not, or more tokens than
//! it has. So it is refused instead of guessed at: a second field of a name that the
//! chain acts on, one spelled in another case (Go's `encoding/json` takes `Model` for
//! `model`), or one of another type than it must have. Not so where a field only says which
//! server is asked: `system` and `instructions`. That is why every body is read
//! to its end.

mod known;
mod opening;
mod scan;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

pub(crate) use opening::Places;
pub use scan::Scanner;

/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 128;

/// Longest model name in bytes, unescaped: as many as 256 characters can have.
pub const MODEL_BYTES_MAX: usize = 1024;

/// A `model` field that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    start: usize,
    end: usize,
    value: String,
}

impl Field {
    /// Offset of the value's opening quote in the body.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Offset just past the value's closing quote.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The value without quotes and escapes.
    pub(crate) fn value(&self) -> &str {
        &self.value
    }
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> Bytes {
    // Two quotes, and names of models seldom need an escape.
    let mut json = Vec::with_capacity(text.len() + 2);
    text::push_quoted(&mut json, text);
    json.into()
}

/// Why a body was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// What is wrong.
    pub fault: Fault,
    /// Offset in the body, in bytes.
    pub at: usize,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The text does not begin with an object. A byte order mark counts as text
    /// (RFC 8259 section 8.1 leaves it to the parser).
    NotAnObject,
    /// A byte that cannot stand where it does.
    Unexpected,
    /// A string with an escape that JSON does not have.
    Escape,
    /// More than [`DEPTH_MAX`] arrays and objects in one another.
    TooDeep,
    /// The text ends before its object does.
    Truncated,
    /// Something other than white space after the object.
    Trailing,
    /// A second field of this name.
    Duplicate(&'static str),
    /// A field that differs from this name only in upper and lower case.
    Misspelled(&'static str),
    /// The field of this name is not what it must be: the second.
    Mistyped(&'static str, &'static str),
    /// The model's name is longer than [`MODEL_BYTES_MAX`].
    ModelTooLong,
    /// The model's name is not Unicode text: bytes that are not UTF-8, a control
    /// character that is not escaped, or half a surrogate pair.
    ModelNotText,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Duplicate(name) => return write!(f, "the body has two `{name}` fields"),
            Self::Misspelled(name) => {
                return write!(
                    f,
                    "the body has a field that differs from `{name}` only in case"
                );
            }
            Self::Mistyped(name, wanted) => return write!(f, "`{name}` must be {wanted}"),
            Self::NotAnObject => "the body is not a JSON object",
            Self::Unexpected => "the body is not valid JSON",
            Self::Escape => "the body has a string with an unknown escape",
            Self::TooDeep => "the body is nested too deeply",
            Self::Truncated => "the body ends too early",
            Self::Trailing => "the body goes on after its JSON object",
            Self::ModelTooLong => "`model` is too long",
            Self::ModelNotText => "`model` is not Unicode text",
        })
    }
}

impl fmt::Display for ScanError {
    /// Fit for the client: it repeats nothing of the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at byte {}", self.fault, self.at)
    }
}

impl std::error::Error for ScanError {}
