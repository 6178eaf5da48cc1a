//! Names of who asks: consumers, tenants, roles, keys.

use std::borrow::Borrow;
use std::str::FromStr;

use super::{Invalid, shown, text_access, text_value};

/// Name of a consumer, a tenant, a role or a key: 1 to 128 ASCII letters, digits and
/// `. _ - @ : / + | =`, so that mail addresses and the subjects of identity providers
/// (`auth0|5f7c`) are names too. Such a name needs no escaping in a log line or in a
/// header's value, nor in a list that commas separate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier(Box<str>);

text_value!(Identifier, "a name such as `team-a` or `alice@example.com`", {
    "type": "string",
    "title": "identifier",
    "description": "1 to 128 letters, digits and `. _ - @ : / + | =`.",
    "pattern": r"^[A-Za-z0-9._\-@:/+|=]{1,128}$",
    "examples": ["team-a", "alice@example.com"]
});

text_access!(Identifier);

impl Identifier {
    const CHARS_MAX: usize = 128;
}

impl FromStr for Identifier {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            Err(Invalid::new(format!(
                "{} is not a name: {why}",
                shown(text)
            )))
        };
        if text.is_empty() {
            return refuse("write at least one character");
        }
        if text.len() > Self::CHARS_MAX {
            return refuse("write at most 128 characters");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-@:/+|=".contains(&b))
        {
            return refuse("use letters, digits and `. _ - @ : / + | =` only");
        }
        Ok(Self(text.into()))
    }
}

impl Borrow<str> for Identifier {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<Identifier> for Box<str> {
    fn from(name: Identifier) -> Self {
        name.0
    }
}
