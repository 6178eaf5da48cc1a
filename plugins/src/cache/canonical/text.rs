//! The inside of a JSON string (RFC 8259 section 7), with as few escapes as JSON has.
//!
//! Escaped are the quote, the backslash and the control characters, the latter by the short
//! escapes that there are for some: `\b`, `\f`, `\n`, `\r`, `\t`. All others are `\u` and four
//! digits, with small letters. Everything else stands for itself, as UTF-8.

use std::io::Write;

use memchr::memchr2;

use crate::lanes::{self, BLOCK, LANES};

/// What comes after the part of a string's inside that is in its form: the closing quote, if
/// all of it is. This is where megabytes pass.
pub(super) fn after_canonical(mut rest: &[u8]) -> &[u8] {
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        let marks = lanes::specials_in_block(block);
        if marks == 0 {
            // In prose the next quote or backslash is far away.
            let far = memchr2(b'"', b'\\', after).unwrap_or(after.len());
            let (text, special) = after.split_at(far);
            if !lanes::is_plain(text) {
                rest = after;
                break;
            }
            rest = special;
            continue;
        }
        let length = canonical_in_block(block, marks);
        rest = rest.get(length..).unwrap_or_default();
        // An escape may go on in the next block.
        if length < BLOCK && (length < BLOCK - 1 || rest.first() != Some(&b'\\')) {
            break;
        }
    }
    // What is left is shorter than a block, or begins with something else.
    loop {
        let plain = rest.iter().take_while(|byte| !is_special(**byte)).count();
        rest = rest.get(plain..).unwrap_or_default();
        match rest {
            [b'\\', kind, after @ ..] if is_canonical(*kind) => rest = after,
            _ => return rest,
        }
    }
}

/// How much of a block is in its form, given where its specials stand. It ends before an
/// escape that goes on in the next block.
#[inline(always)]
fn canonical_in_block(block: &[u8; BLOCK], specials: u64) -> usize {
    let backslashes = lanes::backslashes_in_block(block);
    let first = specials & specials.wrapping_neg();
    if first & backslashes == 0 {
        return specials.trailing_zeros() as usize;
    }
    let escapes = lanes::escapes(backslashes);
    let kinds = escapes << 1;
    let wrong = (kinds & !lanes::short_kinds_in_block(block)) >> 1;
    let cut = escapes & 1 << (BLOCK - 1);
    let others = specials & !backslashes & !kinds;
    (wrong | cut | others).trailing_zeros() as usize
}

/// Appends the form of the rest of a string, with its closing quote. Returns what comes
/// after it.
pub(super) fn write<'t>(form: &mut Vec<u8>, mut rest: &'t [u8]) -> Option<&'t [u8]> {
    while let Some((block, _)) = rest.split_first_chunk::<BLOCK>() {
        let specials = lanes::specials_in_block(block);
        let mut escapes = lanes::escapes(lanes::backslashes_in_block(block));
        // All else that is special has no form, unless it is the end.
        let ends = specials & !escapes & !(escapes << 1);
        let end = ends.trailing_zeros() as usize;
        escapes &= lanes::below(end);
        // Where the text begins that is not yet written.
        let mut start = 0;
        while escapes != 0 {
            let place = escapes.trailing_zeros() as usize;
            write_plain(form, rest.get(start..)?, place - start);
            start = place + unescape(form, rest.get(place..)?)?;
            // The second half of a pair is an escape too.
            escapes &= !lanes::below(start);
        }
        // An escape may go on in the next block.
        write_plain(form, rest.get(start..)?, end.saturating_sub(start));
        rest = rest.get(start.max(end)..)?;
        if end < BLOCK {
            let after = rest.strip_prefix(b"\"")?;
            form.push(b'"');
            return Some(after);
        }
    }
    loop {
        let plain = rest.iter().take_while(|byte| !is_special(**byte)).count();
        let (plain, special) = rest.split_at(plain);
        form.extend_from_slice(plain);
        match special {
            [b'"', after @ ..] => {
                form.push(b'"');
                return Some(after);
            }
            _ => rest = special.get(unescape(form, special)?..)?,
        }
    }
}

/// Appends the first bytes of a text.
#[inline(always)]
pub(super) fn write_plain(form: &mut Vec<u8>, text: &[u8], length: usize) {
    match text.first_chunk::<{ 2 * LANES }>() {
        // A copy of a fixed length is one instruction or two.
        Some(more) if length <= more.len() => {
            let start = form.len();
            form.extend_from_slice(more);
            form.truncate(start + length);
        }
        _ => form.extend_from_slice(text.get(..length).unwrap_or_default()),
    }
}

/// A byte that UTF-8 does not have.
const NO_TEXT: u8 = 0xff;

fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\') | (byte == NO_TEXT)
}

/// Whether a backslash and this are an escape of the form, whatever comes after them.
fn is_canonical(kind: u8) -> bool {
    matches!(kind, b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't')
}

/// Appends the form of the escape that the text begins with. Returns its length; none if the
/// text begins with something else: a control character, which JSON wants escaped; a byte
/// that UTF-8 does not have; or nothing.
#[inline(always)]
fn unescape(form: &mut Vec<u8>, text: &[u8]) -> Option<usize> {
    match text {
        [b'\\', b'u', digits @ ..] => unicode(form, digits),
        [b'\\', b'/', ..] => {
            form.push(b'/');
            Some(2)
        }
        [b'\\', kind, ..] if is_canonical(*kind) => {
            form.extend_from_slice(&[b'\\', *kind]);
            Some(2)
        }
        _ => None,
    }
}

/// Appends the character that the digits after `\u` stand for; one beyond the basic
/// plane is two such escapes. Half a pair is no character. Returns the length of it all.
#[inline(always)]
fn unicode(form: &mut Vec<u8>, digits: &[u8]) -> Option<usize> {
    let unit = code_unit(digits.first_chunk()?)?;
    // The leading bits of each byte say how many there are (RFC 3629 section 3).
    let bits = |shift: u32| (unit >> shift & 0x3f) as u8 | 0x80;
    match unit {
        0..0x80 => ascii(form, unit as u8),
        0x80..0x800 => form.extend_from_slice(&[(unit >> 6) as u8 | 0xc0, bits(0)]),
        0xd800..=0xdfff => {
            pair(form, unit, digits.get(4..)?)?;
            return Some(12);
        }
        _ => form.extend_from_slice(&[(unit >> 12) as u8 | 0xe0, bits(6), bits(0)]),
    }
    Some(6)
}

/// Appends the form of a character of ASCII.
fn ascii(form: &mut Vec<u8>, character: u8) {
    let short = match character {
        b'"' | b'\\' => character,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..b' ' => {
            // Writing to memory cannot fail.
            _ = write!(form, "\\u{character:04x}");
            return;
        }
        _ => return form.push(character),
    };
    form.extend_from_slice(&[b'\\', short]);
}

/// Appends the character of which `high` is the first half.
fn pair(form: &mut Vec<u8>, high: u32, rest: &[u8]) -> Option<()> {
    let low = code_unit(rest.strip_prefix(b"\\u")?.first_chunk()?)?;
    let high = high.checked_sub(0xd800).filter(|high| *high < 0x400)?;
    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    let character = char::from_u32(0x10000 + (high << 10) + low)?;
    let mut utf8 = [0; 4];
    form.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    Some(())
}

/// What four hexadecimal digits stand for.
#[inline(always)]
fn code_unit(digits: &[u8; 4]) -> Option<u32> {
    let value = |digit: u8| {
        let value = DIGITS.get(usize::from(digit)).copied();
        i32::from(value.unwrap_or(NO_DIGIT))
    };
    let [a, b, c, d] = *digits;
    let unit = value(a) << 12 | value(b) << 8 | value(c) << 4 | value(d);
    u32::try_from(unit).ok()
}

/// In the place of the value of a byte that is no digit: it makes a number negative
/// wherever in it it stands.
const NO_DIGIT: i8 = -1;

/// The value of each hexadecimal digit.
#[expect(
    clippy::indexing_slicing,
    reason = "each place is one of the 256, and each digit one of the 16"
)]
const DIGITS: [i8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as i8;
        table[b"0123456789ABCDEF"[value] as usize] = value as i8;
        value += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of the inside of a string.
    fn written(inside: &[u8]) -> Option<Vec<u8>> {
        let text = [inside, b"\" rest"].concat();
        let rest = after_canonical(&text);
        let (canonical, _) = text.split_at(text.len() - rest.len());
        let mut form = canonical.to_vec();
        let after = write(&mut form, rest);
        let mut all = Vec::new();
        assert_eq!(write(&mut all, &text), after, "from its beginning on");
        assert_eq!(after?, b" rest");
        assert_eq!(all, form);
        form.strip_suffix(b"\"").map(<[u8]>::to_vec)
    }

    #[test]
    fn every_byte_is_found_at_every_place() {
        for special in 0..=u8::MAX {
            for place in 0..200 {
                let mut text = vec![b'x'; 200];
                text[place] = special;
                let expected = match special {
                    b'"' => continue,
                    // Not an escape with what follows it.
                    special if is_special(special) => None,
                    _ => Some(text.clone()),
                };
                assert_eq!(written(&text), expected, "{special:#x} at {place}");
                let cut = &text[..=place];
                let expected = expected.map(|text| text[..=place].to_vec());
                if special != b'\\' {
                    assert_eq!(written(cut), expected, "{special:#x} at the end");
                }
            }
        }
    }

    #[test]
    fn every_escape_is_resolved_at_every_place() {
        let escapes = [
            (r"\n", r"\n"),
            (r"\u000A", r"\n"),
            (r"\u001F", r"\u001f"),
            (r"\\", r"\\"),
            (r"\/", "/"),
            (r#"\""#, r#"\""#),
            (r"\u4e2D", "\u{4e2d}"),
            (r"\ud83d\uDe00", "\u{1f600}"),
            (r#"\\\"\\"#, r#"\\\"\\"#),
            (r#"\\\"\/"#, r#"\\\"/"#),
        ];
        for (escape, text) in escapes {
            for (before, after) in (0..150).flat_map(|before| [(before, 3), (before, 150)]) {
                let around = |middle: &str| {
                    format!(
                        "{}{middle}{middle}{}",
                        "x".repeat(before),
                        "y".repeat(after)
                    )
                };
                let expected = around(text).into_bytes();
                assert_eq!(
                    written(around(escape).as_bytes()),
                    Some(expected),
                    "{escape} at {before}"
                );
            }
        }
    }
}
