//! Claims of a token: where they are, and what they must be.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::unit::{Invalid, shown, text_value};

/// A value that a claim may have: 1 to 512 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimText(String);

text_value!(ClaimText, "the value of a claim", {
    "type": "string",
    "title": "claim value",
    "description": "A value that a claim may have, byte for byte.",
    "minLength": 1,
    "maxLength": 512,
    "examples": ["https://id.example.com/", "penstock"]
});

impl ClaimText {
    const BYTES_MAX: usize = 512;

    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClaimText {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            let text = shown(text);
            Err(Invalid::new(format!(
                "{text} is not a claim's value: {why}"
            )))
        };
        if text.is_empty() {
            return refuse("write at least one character");
        }
        if text.len() > Self::BYTES_MAX {
            return refuse("write at most 512 bytes");
        }
        if text.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClaimText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a claim is: the name of a claim (`sub`, `https://example.com/roles`), or the
/// way to one inside others as a JSON Pointer (`/realm_access/roles`, RFC 6901), of at
/// most 8 parts and 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimPath {
    source: String,
    parts: Box<[Box<str>]>,
}

text_value!(ClaimPath, "a claim such as `sub` or `/realm_access/roles`", {
    "type": "string",
    "title": "claim",
    "description": "Name of a claim, or the way to one inside others as a JSON Pointer.",
    "minLength": 1,
    "maxLength": 256,
    "examples": ["sub", "/realm_access/roles", "https://example.com/tenant"]
});

impl ClaimPath {
    const BYTES_MAX: usize = 256;
    const PARTS_MAX: usize = 8;

    /// The names to follow from the outermost object; at least one.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| &**part)
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// For defaults, which are constants of this crate.
    pub(super) fn top(name: &str) -> Self {
        Self {
            source: name.to_owned(),
            parts: Box::new([name.into()]),
        }
    }
}

impl FromStr for ClaimPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| Invalid::new(format!("{} is not a claim: {why}", shown(text)));
        if text.is_empty() {
            return Err(refuse("write its name"));
        }
        if text.len() > Self::BYTES_MAX {
            return Err(refuse("write at most 256 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse("it holds a control character"));
        }
        let Some(pointer) = text.strip_prefix('/') else {
            // Others read `a.b` as a way. It is a fine name too, and a guess between
            // the two would be a guess about who may do what.
            if text.contains('.') && !text.contains("://") {
                let way = text.replace('~', "~0").replace('/', "~1").replace('.', "/");
                let name = text.replace('~', "~0").replace('/', "~1");
                return Err(refuse(&format!(
                    "write {} for a claim inside others, {} for one of this name",
                    shown(&format!("/{way}")),
                    shown(&format!("/{name}")),
                )));
            }
            return Ok(Self::top(text));
        };
        let parts: Option<Box<[Box<str>]>> = pointer.split('/').map(unescaped).collect();
        let parts = parts.ok_or_else(|| refuse("write `~0` for `~` and `~1` for `/`"))?;
        if parts.len() > Self::PARTS_MAX {
            return Err(refuse("write at most 8 parts"));
        }
        if parts.iter().any(|part| part.is_empty()) {
            return Err(refuse("one of its parts is empty"));
        }
        let source = text.to_owned();
        Ok(Self { source, parts })
    }
}

/// A part of a JSON Pointer without its escapes (RFC 6901 section 4).
fn unescaped(part: &str) -> Option<Box<str>> {
    let mut pieces = part.split('~');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(1)?;
        name.push(match escape {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name.into())
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// What a required claim must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Required {
    /// There, and not null.
    Present,
    /// One of these, at least one, at most 64: a text, number or boolean that is
    /// written so, or a list that holds one. The claims `scope` (RFC 8693 section
    /// 4.2) and `scp` are lists with spaces between their elements.
    OneOf(Vec<ClaimText>),
}

/// The word for [`Required::Present`].
const ANY: &str = "any";
/// Most values of one claim.
const VALUES_MAX: usize = 64;

impl<'de> Deserialize<'de> for Required {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequiredVisitor)
    }
}

struct RequiredVisitor;

impl<'de> Visitor<'de> for RequiredVisitor {
    type Value = Required;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`any`, a value, or a list of values")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Required, E> {
        if text == ANY {
            return Ok(Required::Present);
        }
        let value = text.parse().map_err(E::custom)?;
        Ok(Required::OneOf(vec![value]))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Required, E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Required, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Required, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Required, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            if values.len() == VALUES_MAX {
                return Err(A::Error::custom("write at most 64 values"));
            }
            values.push(value);
        }
        if values.is_empty() {
            return Err(A::Error::custom(
                "the list is empty: write at least one value, or `any`",
            ));
        }
        Ok(Required::OneOf(values))
    }
}

impl Serialize for Required {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Present => serializer.serialize_str(ANY),
            Self::OneOf(values) => values.serialize(serializer),
        }
    }
}

impl JsonSchema for Required {
    fn schema_name() -> Cow<'static, str> {
        "Required".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<ClaimText>();
        json_schema!({
            "description": "What the claim must be: `any` for anything, a value, or a list of \
                            values of which it is or holds one.",
            "anyOf": [
                { "type": ["string", "boolean", "integer"] },
                { "type": "array", "items": value, "minItems": 1, "maxItems": 64 },
            ],
        })
    }
}
