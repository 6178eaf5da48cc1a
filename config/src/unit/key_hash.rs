//! What is kept of an API key.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Invalid, Secret, Text, TextVisitor};

/// The SHA-256 of an API key, as `penstock hash-key` prints it: `sha256:` and 64
/// hexadecimal digits. The key cannot be found from it, as long as the key is random:
/// a slow hash such as argon2 makes guessable passwords expensive to guess, and would
/// do nothing for 128 random bits but slow each request down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    const PREFIX: &'static str = "sha256:";

    /// The hash with these bytes.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The hash as bytes.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash's first 48 bits in hexadecimal: enough to tell keys apart by, and
    /// public.
    pub fn short(&self) -> String {
        let [a, b, c, d, e, f, ..] = self.0;
        hex(&[a, b, c, d, e, f])
    }

    /// The number that [`short`](Self::short) shows.
    pub(crate) fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.0;
        prefix_of([a, b, c, d, e, f])
    }

    /// Whether these are as many digits as [`short`](Self::short) has, and of which number.
    pub(crate) fn parse_prefix(digits: &str) -> Option<u64> {
        parse_hex(digits.as_bytes()).map(prefix_of)
    }
}

impl FromStr for KeyHash {
    type Err = Invalid;

    /// The message repeats nothing: what stands there may be the key.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.strip_prefix(Self::PREFIX);
        match digits.and_then(|digits| parse_hex(digits.as_bytes())) {
            Some(digest) => Ok(Self(digest)),
            None => Err(Invalid::new(
                "not the hash of a key: write what `penstock hash-key` prints, `sha256:` and 64 \
                 hexadecimal digits; the key itself must not be in this file",
            )),
        }
    }
}

fn prefix_of([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
}

fn parse_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    // Without a branch in each step: which of a hash's digits are letters cannot be
    // foretold, and a large file of keys has a million of them.
    let mut are_digits = true;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        are_digits &= high.is_ascii_hexdigit() & low.is_ascii_hexdigit();
        *byte = hex_value(*high) << 4 | hex_value(*low);
    }
    are_digits.then_some(bytes)
}

/// The value of what is a hexadecimal digit: the low bits of a letter count from 1.
const fn hex_value(digit: u8) -> u8 {
    (digit & 0xf) + 9 * (digit >> 6)
}

/// Two digits for each byte.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| {
        let digit = DIGITS.get(usize::from(value));
        digit.map_or('0', |digit| char::from(*digit))
    };
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
    text
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({}{}..)", Self::PREFIX, self.short())
    }
}

impl Text for KeyHash {
    const EXPECTED: &'static str = "the hash of a key";
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(Secret::MARK, HashVisitor)
    }
}

struct HashVisitor;

impl<'de> Visitor<'de> for HashVisitor {
    type Value = KeyHash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KeyHash::EXPECTED)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<KeyHash, D::Error> {
        deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
    }
}

impl JsonSchema for KeyHash {
    fn schema_name() -> Cow<'static, str> {
        "KeyHash".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "title": "hash of a key",
            "description": "The SHA-256 of an API key, as `penstock hash-key` prints it.",
            "pattern": "^sha256:[0-9A-Fa-f]{64}$",
            "examples": ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
        })
    }
}
