//! The inside of a JSON string (RFC 8259 section 7).

use memchr::memchr2;

use super::{Fault, MODEL_BYTES_MAX};

/// Bytes that a `\u` escape counts for: most characters of most scripts have that many
/// in UTF-8, and half a surrogate pair has two.
pub(super) const UNIT_BYTES: usize = 3;

/// How far into an escape a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// In none.
    None,
    /// After the backslash.
    Backslash,
    /// After `\u` and some of its four digits.
    Hex { left: u8, unit: u16 },
}

/// What the next bytes of a string stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    /// One byte of UTF-8, as written or by a short escape.
    Byte(u8),
    /// A UTF-16 code unit, by `\u`.
    Unit(u16),
    /// The closing quote.
    Close,
}

impl Escape {
    /// Takes one byte of the string. Gives a symbol when one is complete.
    pub(super) fn step(&mut self, byte: u8) -> Result<Option<Symbol>, Fault> {
        let (next, symbol) = match (*self, byte) {
            (Self::None, b'"') => (Self::None, Some(Symbol::Close)),
            (Self::None, b'\\') => (Self::Backslash, None),
            (Self::None, _) => (Self::None, Some(Symbol::Byte(byte))),
            (Self::Backslash, b'u') => (Self::Hex { left: 4, unit: 0 }, None),
            (Self::Backslash, _) => (Self::None, Some(Symbol::Byte(unescaped(byte)?))),
            (Self::Hex { left, unit }, _) => {
                let unit = unit << 4 | hex_digit(byte)?;
                match left {
                    0 | 1 => (Self::None, Some(Symbol::Unit(unit))),
                    _ => (
                        Self::Hex {
                            left: left - 1,
                            unit,
                        },
                        None,
                    ),
                }
            }
        };
        *self = next;
        Ok(symbol)
    }
}

/// What a backslash and `byte` stand for, other than `\u`.
fn unescaped(byte: u8) -> Result<u8, Fault> {
    match byte {
        b'"' | b'\\' | b'/' => Ok(byte),
        b'b' => Ok(0x08),
        b'f' => Ok(0x0c),
        b'n' => Ok(b'\n'),
        b'r' => Ok(b'\r'),
        b't' => Ok(b'\t'),
        _ => Err(Fault::Escape),
    }
}

fn hex_digit(byte: u8) -> Result<u16, Fault> {
    match byte {
        b'0'..=b'9' => Ok(u16::from(byte - b'0')),
        b'a'..=b'f' => Ok(u16::from(byte - b'a' + 10)),
        b'A'..=b'F' => Ok(u16::from(byte - b'A' + 10)),
        _ => Err(Fault::Escape),
    }
}

/// The text and whole escapes that the inside of a string begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    /// Bytes as written.
    pub(super) length: usize,
    /// Bytes that it stands for, three for each `\u` escape.
    pub(super) text: usize,
}

/// Finds where the text and whole escapes end that the inside of a string begins with.
///
/// This is where megabytes pass. In prose the next quote or backslash is far away and
/// `memchr` finds it with vector instructions; in code, or in text that the client
/// escaped to ASCII, it is so near that eight bytes at once are faster.
pub(super) fn plain(inside: &[u8]) -> Plain {
    let mut rest = inside;
    // Bytes that escapes take beyond what they stand for.
    let mut surplus = 0;
    loop {
        let plain = near_special(rest)
            .or_else(|| memchr2(b'"', b'\\', rest))
            .unwrap_or(rest.len());
        rest = rest.get(plain..).unwrap_or_default();
        match rest {
            [b'\\', b'u', a, b, c, d, after @ ..]
                if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) =>
            {
                rest = after;
                surplus += 6 - UNIT_BYTES;
            }
            [b'\\', byte, after @ ..] if unescaped(*byte).is_ok() => {
                rest = after;
                surplus += 1;
            }
            _ => {
                let length = inside.len() - rest.len();
                let text = length - surplus;
                return Plain { length, text };
            }
        }
    }
}

/// Where the first quote or backslash is, if it is within eight bytes. The trick is to
/// look for a zero byte in a word: Hacker's Delight, section 6-1.
fn near_special(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_le_bytes(*text.first_chunk()?);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let quotes = zeros(word ^ u64::from_ne_bytes([b'"'; 8]));
    let backslashes = zeros(word ^ u64::from_ne_bytes([b'\\'; 8]));
    // The lowest mark is exact; those above it may be carries.
    match quotes | backslashes {
        0 => None,
        marks => Some((marks.trailing_zeros() / 8) as usize),
    }
}

/// The model's name while it is read.
#[derive(Debug, Default)]
pub(super) struct Value {
    text: Vec<u8>,
    /// The first half of a surrogate pair whose second has yet to come.
    high: Option<u16>,
}

impl Value {
    pub(super) fn push(&mut self, symbol: Symbol) -> Result<(), Fault> {
        match (symbol, self.high.take()) {
            (Symbol::Close, None) => {}
            (Symbol::Byte(byte), None) => self.text.push(byte),
            (Symbol::Unit(high @ 0xd800..=0xdbff), None) => self.high = Some(high),
            (Symbol::Unit(unit), high) => {
                let units = high.into_iter().chain([unit]);
                let mut characters = char::decode_utf16(units);
                let (Some(Ok(character)), None) = (characters.next(), characters.next()) else {
                    return Err(Fault::ModelNotText);
                };
                let mut utf8 = [0; 4];
                self.text
                    .extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
            (_, Some(_)) => return Err(Fault::ModelNotText),
        }
        if self.text.len() > MODEL_BYTES_MAX {
            return Err(Fault::ModelTooLong);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<String, Fault> {
        String::from_utf8(self.text).map_err(|_| Fault::ModelNotText)
    }
}

/// Appends `text` as a JSON string.
pub(super) fn push_quoted(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => json.extend_from_slice(&[b'\\', byte]),
            0x00..=0x1f => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => json.push(byte),
        }
    }
    json.push(b'"');
}
