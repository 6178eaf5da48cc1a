//! The inside of a JSON string (RFC 8259 section 7), without its escapes.

use super::STRING_END;
use crate::lanes::{self, BLOCK, LANES};

/// Appends the text of the string that `rest` stands in, after its opening quote.
/// Returns what comes after the closing one.
#[inline]
pub(super) fn write<'t>(form: &mut Vec<u8>, rest: &'t [u8]) -> Option<&'t [u8]> {
    // Most strings are short.
    if let Some(near) = rest.first_chunk() {
        let length = lanes::specials(near).trailing_zeros() as usize;
        if length < LANES && rest.get(length) == Some(&b'"') {
            let start = form.len();
            // A copy of a fixed length is one instruction.
            form.extend_from_slice(near);
            form.truncate(start + length);
            return rest.get(length + 1..);
        }
    }
    write_long(form, rest)
}

/// The same for any string. This is where megabytes pass.
fn write_long<'t>(form: &mut Vec<u8>, mut rest: &'t [u8]) -> Option<&'t [u8]> {
    while let Some((block, after)) = rest.split_first_chunk::<BLOCK>() {
        let mut marks = lanes::specials_in_block(block);
        if marks == 0 {
            form.extend_from_slice(block);
            rest = after;
            continue;
        }
        // Where the text begins that is not yet written.
        let mut start = 0;
        while marks != 0 {
            let place = marks.trailing_zeros() as usize;
            write_plain(form, rest.get(start..)?, place - start);
            let special = rest.get(place..)?;
            let after = match special {
                [b'"', after @ ..] => return Some(after),
                _ => unescape(form, special)?,
            };
            start = rest.len() - after.len();
            // An escape may go on in the next block.
            let Some(left) = u64::MAX.checked_shl(start as u32) else {
                break;
            };
            marks &= left;
        }
        if start < BLOCK {
            write_plain(form, rest.get(start..)?, BLOCK - start);
            start = BLOCK;
        }
        rest = rest.get(start..)?;
    }
    loop {
        let plain = rest.iter().take_while(|byte| !is_special(**byte)).count();
        let (plain, special) = rest.split_at(plain);
        form.extend_from_slice(plain);
        match special {
            [b'"', after @ ..] => return Some(after),
            _ => rest = unescape(form, special)?,
        }
    }
}

/// Appends the first bytes of a text.
#[inline]
fn write_plain(form: &mut Vec<u8>, text: &[u8], length: usize) {
    match text.first_chunk::<{ 2 * LANES }>() {
        Some(more) if length <= more.len() => {
            let start = form.len();
            form.extend_from_slice(more);
            form.truncate(start + length);
        }
        _ => form.extend_from_slice(text.get(..length).unwrap_or_default()),
    }
}

fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\') | (byte == STRING_END)
}

/// Appends what the escape stands for that the text begins with. None if it begins with
/// something else: a control character, which JSON wants escaped; a byte that ends
/// strings in the form; or nothing.
fn unescape<'t>(form: &mut Vec<u8>, text: &'t [u8]) -> Option<&'t [u8]> {
    let [b'\\', kind, after @ ..] = text else {
        return None;
    };
    if *kind == b'u' {
        return unicode(form, after);
    }
    let byte = *SHORT_ESCAPES.get(usize::from(*kind))?;
    if byte == NO_ESCAPE {
        return None;
    }
    form.push(byte);
    Some(after)
}

/// In the place of what a byte that makes no escape stands for.
const NO_ESCAPE: u8 = 0;

/// What each byte after a backslash stands for. In code one escape follows another with no
/// order that a processor could foresee, so this is a table and not a `match`.
#[expect(clippy::indexing_slicing, reason = "each place is one of the 256")]
const SHORT_ESCAPES: [u8; 256] = {
    let mut table = [NO_ESCAPE; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x08;
    table[b'f' as usize] = 0x0c;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
};

/// Appends the character that the digits after `\u` stand for; one beyond the basic
/// plane is two such escapes. Half a pair is no character.
fn unicode<'t>(form: &mut Vec<u8>, digits: &'t [u8]) -> Option<&'t [u8]> {
    let (unit, mut after) = code_unit(digits)?;
    let code = match unit {
        0xd800..=0xdbff => {
            let (low, end) = code_unit(after.strip_prefix(b"\\u")?)?;
            after = end;
            let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
            0x10000 + ((unit - 0xd800) << 10) + low
        }
        unit => unit,
    };
    let mut utf8 = [0; 4];
    let character = char::from_u32(code)?.encode_utf8(&mut utf8);
    form.extend_from_slice(character.as_bytes());
    Some(after)
}

fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = text.split_first_chunk::<4>()?;
    let values = digits.map(hex_value);
    let unit = values
        .iter()
        .fold(0, |unit, value| unit << 4 | u32::from(*value));
    let is_hex = values.iter().all(|value| *value != NO_DIGIT);
    is_hex.then_some((unit, after))
}

/// In the place of the value of a byte that is no digit.
const NO_DIGIT: u8 = 0xff;

/// The value of a hexadecimal digit, without a branch.
fn hex_value(digit: u8) -> u8 {
    let number = digit.wrapping_sub(b'0');
    let letter = (digit | 0x20).wrapping_sub(b'a');
    let letter = if letter < 6 { letter + 10 } else { NO_DIGIT };
    if number < 10 { number } else { letter }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a string that ends with a quote.
    fn written(inside: &[u8]) -> Option<Vec<u8>> {
        let text = [inside, b"\" rest"].concat();
        let mut form = Vec::new();
        let rest = write(&mut form, &text)?;
        assert_eq!(rest, b" rest");
        Some(form)
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
            (r"\n", "\n"),
            (r"\\", "\\"),
            (r"\/", "/"),
            (r#"\""#, "\""),
            (r"\u4e2D", "\u{4e2d}"),
            (r"\ud83d\uDe00", "\u{1f600}"),
            (r#"\\\"\\"#, "\\\"\\"),
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
