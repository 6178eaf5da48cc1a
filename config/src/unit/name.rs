//! Names that the operator gives and names of models.

use std::borrow::Borrow;
use std::str::FromStr;

use super::line::check_line;
use super::{Invalid, shown, text_access, text_value};

/// Name of an upstream or a route: 1 to 64 ASCII letters, digits, `.`, `_` and `-`,
/// the first a letter or a digit. Such a name needs no escaping in a metric's label,
/// a log line or a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

text_value!(Name, "a name", {
    "type": "string",
    "title": "name",
    "description": "1 to 64 letters, digits, `.`, `_` and `-`; the first is a letter or a digit.",
    "pattern": r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$",
    "examples": ["vllm", "chat-canary"]
});

text_access!(Name);

impl Name {
    const CHARS_MAX: usize = 64;
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            Err(Invalid::new(format!(
                "{} is not a name: {why}",
                shown(text)
            )))
        };
        if text.len() > Self::CHARS_MAX {
            return refuse("write at most 64 characters");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return refuse("the first character must be a letter or a digit");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return refuse("use letters, digits, `.`, `_` and `-` only");
        }
        Ok(Self(text.to_owned()))
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Name of a model as an upstream knows it: 1 to 256 characters, no control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(String);

text_value!(ModelName, "a model's name", {
    "type": "string",
    "title": "model name",
    "description": "Name of a model as the upstream knows it.",
    "minLength": 1,
    "maxLength": 256,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
    "examples": ["gpt-4o-mini", "meta-llama/Llama-3.1-8B-Instruct"]
});

text_access!(ModelName);

impl FromStr for ModelName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        check_line(text, "a model's name").map(|()| Self(text.to_owned()))
    }
}
