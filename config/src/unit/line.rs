//! Free text.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// A line of free text: 1 to 256 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(Box<str>);

text_value!(Line, "a line of text", {
    "type": "string",
    "title": "line of text",
    "description": "1 to 256 characters, no control characters.",
    "minLength": 1,
    "maxLength": 256,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
    "examples": ["Search team, room 4.12"]
});

impl Line {
    const CHARS_MAX: usize = 256;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Line {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            Err(Invalid::new(format!(
                "{} is not a line of text: {why}",
                shown(text)
            )))
        };
        if text.is_empty() {
            return refuse("write at least one character");
        }
        if text.chars().nth(Self::CHARS_MAX).is_some() {
            return refuse("write at most 256 characters");
        }
        if text.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Line> for Box<str> {
    fn from(line: Line) -> Self {
        line.0
    }
}
