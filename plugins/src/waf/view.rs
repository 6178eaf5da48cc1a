//! A text as the one who reads it next may see it.
//!
//! An attack is written for a parser that stands behind others, and each of them takes
//! a layer off: percent-encoding, character references, escapes of a script, comments
//! of a query language. A rule looks at each of these readings. Almost every text of
//! almost every request has only one, which a look at its bytes tells.

use std::borrow::Cow;

/// Most layers of encoding that are taken off one another. A client that writes more
/// relies on a parser that nobody has.
const LAYERS_MAX: usize = 3;

/// Readings of a text, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Views(u8);

impl Views {
    /// As it was sent.
    pub(super) const WRITTEN: Self = Self(1);
    /// Without its encodings.
    pub(super) const DECODED: Self = Self(2);
    /// Decoded, and without what a query language or a shell passes over.
    pub(super) const FOLDED: Self = Self(4);
    /// Each of them.
    pub(super) const ALL: Self = Self(7);

    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The bytes at which a text may read in more than one way.
const HINTS: [u8; 256] = hints();
const ENCODED: u8 = 1;
const PLUS: u8 = 2;
const FOLDABLE: u8 = 4;

// The place is that of a byte.
#[expect(clippy::indexing_slicing)]
const fn hints() -> [u8; 256] {
    let mut hints = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        hints[byte] = match byte as u8 {
            b'%' | b'&' => ENCODED,
            // Escapes, and what a shell passes over.
            b'\\' => ENCODED | FOLDABLE,
            // UTF-8 that is longer than it need be, and full-width forms.
            0xc0 | 0xc1 | 0xe0 | 0xef | 0xf0 => ENCODED,
            b'+' => PLUS,
            b'*' | b'^' | b'$' | b'\'' | b'"' | 0xc2 => FOLDABLE,
            0x00..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f => FOLDABLE,
            _ => 0,
        };
        byte += 1;
    }
    hints
}

/// How a text is encoded besides what any text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not.
    Plain,
    /// As in a query: a plus stands for a space.
    Query,
}

/// Shows each distinct reading of `text` to `look`, until that asks for no more.
pub(super) fn each(text: &[u8], encoding: Encoding, mut look: impl FnMut(Views, &[u8]) -> bool) {
    if !look(Views::WRITTEN, text) {
        return;
    }
    let hints = text.iter().fold(0, |hints, byte| {
        hints | HINTS.get(usize::from(*byte)).copied().unwrap_or(0)
    });
    let plus = encoding == Encoding::Query && hints & PLUS != 0;
    let decoded = match hints & ENCODED != 0 || plus {
        true => decoded(text, plus),
        false => Cow::Borrowed(text),
    };
    if let Cow::Owned(decoded) = &decoded
        && !look(Views::DECODED, decoded)
    {
        return;
    }
    // What was decoded may fold although its encoding did not.
    if hints & FOLDABLE == 0 && matches!(decoded, Cow::Borrowed(_)) {
        return;
    }
    if let Some(folded) = folded(&decoded) {
        look(Views::FOLDED, &folded);
    }
}

/// The text without its layers of encoding.
fn decoded(text: &[u8], plus: bool) -> Cow<'_, [u8]> {
    let mut current = Cow::Borrowed(text);
    for layer in 0..LAYERS_MAX {
        match without_a_layer(&current, plus && layer == 0) {
            Some(next) => current = Cow::Owned(next),
            None => break,
        }
    }
    current
}

/// The text with one layer of encoding taken off; none if it has none.
fn without_a_layer(text: &[u8], plus: bool) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(first) = rest.first()
    {
        let found = match first {
            b'+' if plus => Some((1, ' ')),
            b'%' => percent(rest),
            b'&' => reference(rest),
            b'\\' => escape(rest),
            0xc0 | 0xc1 | 0xe0 | 0xef | 0xf0 => odd_utf8(rest),
            _ => None,
        };
        let Some((length, character)) = found else {
            at += 1;
            continue;
        };
        out.extend_from_slice(text.get(kept..at).unwrap_or_default());
        match u8::try_from(character) {
            // A percent-encoded byte is one byte, whatever character it is part of.
            Ok(byte) if byte.is_ascii() || *first == b'%' => out.push(byte),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        at += length;
        kept = at;
    }
    if kept == 0 {
        return None;
    }
    out.extend_from_slice(text.get(kept..).unwrap_or_default());
    Some(out)
}

/// `%41`, and `%u0041` as IIS and ECMAScript's `unescape` read it.
fn percent(text: &[u8]) -> Option<(usize, char)> {
    match text {
        [_, b'u' | b'U', digits @ ..] => Some((6, number(digits.get(..4)?, 16)?)),
        [_, digits @ ..] => Some((3, number(digits.get(..2)?, 16)?)),
        [] => None,
    }
}

/// A character reference of HTML, by number or one of the names that hide a mark.
fn reference(text: &[u8]) -> Option<(usize, char)> {
    const NAMES: [(&[u8], char); 14] = [
        (b"lt", '<'),
        (b"gt", '>'),
        (b"amp", '&'),
        (b"quot", '"'),
        (b"apos", '\''),
        (b"colon", ':'),
        (b"lpar", '('),
        (b"rpar", ')'),
        (b"sol", '/'),
        (b"bsol", '\\'),
        (b"equals", '='),
        (b"tab", '\t'),
        (b"newline", '\n'),
        (b"dollar", '$'),
    ];
    const LONGEST: usize = 12;
    let inside = text.get(1..)?;
    let window = inside.get(..LONGEST.min(inside.len()))?;
    let end = window.iter().position(|byte| *byte == b';')?;
    let name = window.get(..end)?;
    let character = match name {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        _ => {
            let known = NAMES
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name));
            known?.1
        }
    };
    Some((end + 2, character))
}

/// An escape of JSON, ECMAScript or a shell's `$'...'`.
fn escape(text: &[u8]) -> Option<(usize, char)> {
    match text.get(1..)? {
        [b'u', b'{', rest @ ..] => {
            let end = rest.iter().take(7).position(|byte| *byte == b'}')?;
            Some((end + 4, number(rest.get(..end)?, 16)?))
        }
        [b'u', digits @ ..] => Some((6, number(digits.get(..4)?, 16)?)),
        [b'x', digits @ ..] => Some((4, number(digits.get(..2)?, 16)?)),
        [b'n', ..] => Some((2, '\n')),
        [b'r', ..] => Some((2, '\r')),
        [b't', ..] => Some((2, '\t')),
        [byte @ (b'"' | b'/' | b'\\'), ..] => Some((2, char::from(*byte))),
        _ => None,
    }
}

/// UTF-8 with more bytes than the character needs, which RFC 3629 section 3 forbids and
/// old decoders take; and the full-width forms of ASCII, which some fold to it.
fn odd_utf8(text: &[u8]) -> Option<(usize, char)> {
    let low = |byte: &u8| u32::from(byte & 0x3f);
    let tail = |byte: &u8| (0x80..=0xbf).contains(byte);
    let (length, code) = match text {
        [a @ (0xc0 | 0xc1), b, ..] if tail(b) => (2, u32::from(a & 1) << 6 | low(b)),
        [0xe0, b @ (0x80 | 0x81), c, ..] if tail(c) => (3, low(b) << 6 | low(c)),
        [0xf0, 0x80, c @ (0x80 | 0x81), d, ..] if tail(d) => (4, low(c) << 6 | low(d)),
        // U+FF01 to U+FF5E.
        [0xef, b @ (0xbc | 0xbd), c, ..] if tail(c) => {
            let code = 0xf000 | low(b) << 6 | low(c);
            (
                3,
                code.checked_sub(0xfee0)
                    .filter(|code| (0x21..0x7f).contains(code))?,
            )
        }
        _ => return None,
    };
    Some((length, char::from_u32(code)?))
}

/// Digits as the character of that number.
fn number(digits: &[u8], radix: u32) -> Option<char> {
    if digits.is_empty() || digits.len() > 7 {
        return None;
    }
    let code = digits.iter().try_fold(0, |code: u32, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        Some(code * radix + digit)
    })?;
    char::from_u32(code)
}

/// The text without what a query language or a shell passes over: comments, empty
/// quotes, escaped letters, controls. None if that changes nothing.
fn folded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::new();
    let mut kept = 0;
    let mut at = 0;
    // Once no comment ends any more, none is looked for: each byte is read once.
    let mut closes = true;
    while let Some(rest) = text.get(at..)
        && !rest.is_empty()
    {
        let (length, space) = match comment(rest, &mut closes) {
            Some(length) => (length, true),
            None => passed_over(rest),
        };
        if length == 0 {
            at += 1;
            continue;
        }
        out.extend_from_slice(text.get(kept..at).unwrap_or_default());
        if space {
            out.push(b' ');
        }
        at += length;
        kept = at;
    }
    if kept == 0 {
        return None;
    }
    out.extend_from_slice(text.get(kept..).unwrap_or_default());
    Some(out)
}

/// Length of the comment, or of the mark of one, that the text begins with.
fn comment(text: &[u8], closes: &mut bool) -> Option<usize> {
    match text {
        // MySQL runs what stands in `/*! */`, with or without a version.
        [b'/', b'*', b'!', rest @ ..] => {
            let version = rest.iter().take(6).take_while(|b| b.is_ascii_digit());
            Some(3 + version.count())
        }
        [b'/', b'*', rest @ ..] if *closes => {
            let end = memchr::memmem::find(rest, b"*/");
            *closes = end.is_some();
            Some(end.map_or(2, |end| end + 4))
        }
        [b'/', b'*', ..] | [b'*', b'/', ..] => Some(2),
        _ => None,
    }
}

/// How many other bytes at the beginning are passed over, and whether they part words.
fn passed_over(text: &[u8]) -> (usize, bool) {
    match text {
        [b'\'', b'\'', ..] | [b'"', b'"', ..] | [b'$', b'@' | b'*', ..] => (2, false),
        [b'\\' | b'^', letter, ..] if letter.is_ascii_alphanumeric() => (1, false),
        [b'$', b'{', name @ ..] if starts_with_ifs(name) => match name {
            [_, _, _, b'}', ..] => (6, true),
            _ => (5, true),
        },
        [b'$', name @ ..] if starts_with_ifs(name) => match name {
            [_, _, _, b'$', b'1'..=b'9', ..] => (6, true),
            _ => (4, true),
        },
        [0xc2, 0xa0, ..] => (2, true),
        [0x0b | 0x0c | 0x1c..=0x1f, ..] => (1, true),
        [0x00..=0x08 | 0x0e..=0x1b | 0x7f, ..] => (1, false),
        _ => (0, false),
    }
}

/// The shell's variable that holds what parts words.
fn starts_with_ifs(name: &[u8]) -> bool {
    name.get(..3)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"ifs"))
}

#[cfg(test)]
mod tests;
