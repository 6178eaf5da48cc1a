//! Free text.

use std::str::FromStr;

use super::{Invalid, shown, text_access, text_value};

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

text_access!(Line);

impl FromStr for Line {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_line(text, "a line of text").map(|()| Self(text.into()))
    }
}

impl From<Line> for Box<str> {
    fn from(line: Line) -> Self {
        line.0
    }
}

/// Longest line, in characters.
const CHARS_MAX: usize = 256;

/// Whether a text is one line of 1 to 256 characters; says that it is not `what` if not.
pub(super) fn check_line(text: &str, what: &str) -> Result<(), Invalid> {
    let refuse = |why: &str| {
        Err(Invalid::new(format!(
            "{} is not {what}: {why}",
            shown(text)
        )))
    };
    if text.is_empty() {
        return refuse("write at least one character");
    }
    if text.chars().nth(CHARS_MAX).is_some() {
        return refuse("write at most 256 characters");
    }
    if text.chars().any(char::is_control) {
        return refuse("it holds a control character");
    }
    Ok(())
}
