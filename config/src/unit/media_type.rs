//! Types of content.

use std::str::FromStr;

use super::{Invalid, shown, text_access, text_value};

/// A media type without parameters, or a range of them as `Accept` has it (RFC 9110
/// sections 8.3.1 and 12.5.1): `application/json`, `image/*`, `*/*`. In lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(String);

text_value!(MediaType, "a media type such as `application/json`", {
    "type": "string",
    "title": "media type",
    "description": "A media type without parameters, or a range of them.",
    "pattern": r"^([A-Za-z0-9!#$&^_.+\-]+|\*)/([A-Za-z0-9!#$&^_.+\-]+|\*)$",
    "maxLength": 128,
    "examples": ["application/json", "image/*", "*/*"]
});

text_access!(MediaType);

impl MediaType {
    const BYTES_MAX: usize = 128;
}

impl FromStr for MediaType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            Err(Invalid::new(format!(
                "{} is not a media type: {why}",
                shown(text)
            )))
        };
        if text.len() > Self::BYTES_MAX {
            return refuse("write at most 128 characters");
        }
        if text.contains(';') {
            return refuse("drop its parameters");
        }
        // RFC 6838 section 4.2.
        let restricted = |name: &str| {
            let taken = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
            !name.is_empty() && name.bytes().all(taken)
        };
        match text.split_once('/') {
            Some(("*", "*")) => {}
            Some((class, "*")) if restricted(class) => {}
            Some((class, name)) if restricted(class) && restricted(name) => {}
            _ => return refuse("write it as in `application/json`, `image/*` or `*/*`"),
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}
