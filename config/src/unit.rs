//! Values with a unit, a range or a grammar. Each has one checked constructor, so
//! that whoever holds one need not ask again whether it is sane.
//!
//! All are written in the file as plain text, read by [`FromStr`](std::str::FromStr)
//! and shown by [`Display`](std::fmt::Display) in a form that reads back as an equal
//! value.

mod cidr;
mod country;
mod duration;
mod glob;
mod header;
mod host_port;
mod identifier;
mod key_hash;
mod line;
mod media_type;
mod name;
mod name_server;
mod number;
mod period;
mod secret;
mod size;
mod text;
mod timestamp;

pub use cidr::Cidr;
pub use country::Country;
pub use duration::Duration;
pub use glob::Glob;
pub use header::{HeaderName, Method};
pub use host_port::HostPort;
pub use identifier::Identifier;
pub use key_hash::KeyHash;
pub use line::Line;
pub use media_type::MediaType;
pub use name::{ModelName, Name};
pub use name_server::NameServer;
pub use number::{Attempts, Count, ErrorStatus, Percent, Weight};
pub use period::Period;
pub use secret::Secret;
pub use size::Size;
pub use timestamp::Timestamp;

pub(crate) use host_port::check_host;
pub(crate) use number::{number_value, out_of_range, whole_number};
pub(crate) use text::{Text, TextVisitor, text_access, text_input, text_value};

/// Why a text is not a value of the wanted type, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

/// Longest value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 48;

/// A value as a message shows it. A long one is cut: the operator has its line
/// before them, and a message stays one line.
pub(crate) fn shown(value: &str) -> String {
    if value.is_empty() {
        return "an empty value".to_owned();
    }
    let mut text: String = value
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if value.chars().nth(SHOWN_CHARS_MAX).is_some() {
        text.push('…');
    }
    format!("`{text}`")
}

#[cfg(test)]
mod tests;
