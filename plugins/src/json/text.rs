//! The inside of a JSON string (RFC 8259 section 7).

use memchr::memchr2;

use super::{Fault, MODEL_BYTES_MAX};
use crate::lanes::{self, BLOCK, LANES};

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

/// The inside of a string whose closing quote is here and whose escapes are right.
#[inline(always)]
pub(super) fn whole(inside: &[u8]) -> Option<Plain> {
    if let Some(near) = inside.first_chunk() {
        let length = lanes::ends(near).trailing_zeros() as usize;
        if length < LANES && inside.get(length) == Some(&b'"') {
            return Some(Plain {
                length,
                text: length,
            });
        }
    }
    let plain = plain(inside);
    (inside.get(plain.length) == Some(&b'"')).then_some(plain)
}

/// Finds where the text and whole escapes end that the inside of a string begins with.
///
/// This is where megabytes pass. In code, or in text that the client escaped to ASCII,
/// there are several escapes in a block, which are looked at together. In prose the next
/// quote or backslash is far away, and `memchr` finds it with the widest vectors that the
/// processor has.
pub(super) fn plain(inside: &[u8]) -> Plain {
    let mut rest = inside;
    // Bytes that escapes take beyond what they stand for.
    let mut surplus = 0;
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        let ends = lanes::ends_in_block(block);
        if ends == 0 {
            let far = memchr2(b'"', b'\\', after).unwrap_or(after.len());
            rest = after.get(far..).unwrap_or_default();
        } else if let Some(part) = plain_in_block(block, ends) {
            surplus += part.length - part.text;
            rest = rest.get(part.length..).unwrap_or_default();
        } else {
            break;
        }
        if rest.first() == Some(&b'"') {
            return Plain::before(rest, inside, surplus);
        }
    }
    // What is left is shorter than a block, or has something in it that is not plain.
    loop {
        let far = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        rest = rest.get(far..).unwrap_or_default();
        let Some(length) = escape_length(rest) else {
            return Plain::before(rest, inside, surplus);
        };
        surplus += surplus_of(length);
        rest = rest.get(length..).unwrap_or_default();
    }
}

impl Plain {
    fn before(rest: &[u8], inside: &[u8], surplus: usize) -> Self {
        let length = inside.len() - rest.len();
        let text = length - surplus;
        Self { length, text }
    }
}

/// The text and whole escapes that a block begins with, given where its quotes and
/// backslashes stand. None if one of the escapes is wrong.
#[inline(always)]
fn plain_in_block(block: &[u8; BLOCK], ends: u64) -> Option<Plain> {
    // The last five places: an escape by `\u` that begins there goes on in the next block.
    const LATE: u64 = 0x1f << (BLOCK - 5);
    let backslashes = lanes::backslashes_in_block(block);
    let first = ends & ends.wrapping_neg();
    if first & backslashes == 0 {
        let length = ends.trailing_zeros() as usize;
        return Some(Plain {
            length,
            text: length,
        });
    }
    let starts = lanes::escapes(backslashes);
    let kinds = starts << 1;
    let units = kinds & lanes::us_in_block(block);
    let quotes = ends & !backslashes & !kinds;
    let cut = units >> 1 & LATE | starts & 1 << (BLOCK - 1);
    let length = (quotes | cut).trailing_zeros() as usize;

    let within = lanes::below(length);
    let (kinds, units) = (kinds & within, units & within);
    let short = kinds & !units;
    let mut wrong = short & !(lanes::short_kinds_in_block(block) | lanes::slashes_in_block(block));
    if units != 0 {
        let digits = units << 1 | units << 2 | units << 3 | units << 4;
        wrong |= digits & !lanes::digits_in_block(block);
    }
    if wrong != 0 {
        return None;
    }
    let surplus =
        short.count_ones() as usize * surplus_of(2) + units.count_ones() as usize * surplus_of(6);
    Some(Plain {
        length,
        text: length - surplus,
    })
}

/// Length of the escape that the text begins with; none if it is wrong, or not all here.
fn escape_length(text: &[u8]) -> Option<usize> {
    match text {
        [b'\\', b'u', digits @ ..] => {
            let digits = digits.first_chunk::<4>()?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
        }
        [b'\\', byte, ..] => unescaped(*byte).is_ok().then_some(2),
        _ => None,
    }
}

/// Bytes that an escape of this length takes beyond what it stands for.
fn surplus_of(length: usize) -> usize {
    match length {
        2 => 1,
        _ => length - UNIT_BYTES,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What [`plain`] finds, byte by byte.
    fn stepped(inside: &[u8]) -> Plain {
        let mut plain = Plain { length: 0, text: 0 };
        let (mut escape, mut text) = (Escape::None, 0);
        for (at, byte) in inside.iter().enumerate() {
            match escape.step(*byte) {
                Ok(None) => continue,
                Ok(Some(Symbol::Byte(_))) => text += 1,
                Ok(Some(Symbol::Unit(_))) => text += UNIT_BYTES,
                Ok(Some(Symbol::Close)) | Err(_) => break,
            }
            plain = Plain {
                length: at + 1,
                text,
            };
        }
        plain
    }

    #[test]
    fn text_and_escapes_are_found_at_every_place() {
        let middles = [
            "",
            r#"""#,
            r"\n",
            r"\\\",
            r#"\\\"\"#,
            r#"\\""#,
            r"\u4e2D\u6587",
            r"\u12",
            r"\u12g4",
            r"\x",
        ];
        for middle in middles {
            for (before, after) in (0..150).flat_map(|before| [(before, 0), (before, 150)]) {
                let text = format!("{}{middle}{middle}", "x".repeat(before));
                let text = format!("{text}{}\" rest", "y".repeat(after));
                let text = text.as_bytes();
                let expected = stepped(text);
                assert_eq!(plain(text), expected, "{middle} at {before}");
                let closes = text.get(expected.length) == Some(&b'"');
                let expected = closes.then_some(expected);
                assert_eq!(whole(text), expected, "{middle} at {before}");
            }
        }
    }
}
