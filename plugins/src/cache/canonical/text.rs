//! The inside of a JSON string (RFC 8259 section 7), without its escapes.

use super::STRING_END;

/// Appends the text of the string that `rest` stands in, after its opening quote.
/// Returns what comes after the closing one.
pub(super) fn write<'t>(form: &mut Vec<u8>, mut rest: &'t [u8]) -> Option<&'t [u8]> {
    loop {
        let (plain, special) = rest.split_at_checked(plain_length(rest))?;
        form.extend_from_slice(plain);
        match special {
            [b'"', after @ ..] => return Some(after),
            [b'\\', escape @ ..] => rest = unescape(form, escape)?,
            // A control character, which JSON wants escaped; a byte that ends strings in
            // the form; or nothing.
            _ => return None,
        }
    }
}

/// Length of the text that stands for itself.
///
/// This is where megabytes pass. Most strings are short, so their first words are looked
/// at one by one; then come whole lines, in a loop without an early end, which compiles
/// to vector instructions.
fn plain_length(text: &[u8]) -> usize {
    const NEAR: usize = 24;
    const LINE: usize = 64;
    let (near, mut rest) = text.split_at(text.len().min(NEAR));
    let plain = plain_words(near);
    if plain < near.len() {
        return plain;
    }
    while let Some((line, after)) = rest.split_first_chunk::<LINE>() {
        if line
            .iter()
            .fold(false, |found, byte| found | is_special(*byte))
        {
            break;
        }
        rest = after;
    }
    text.len() - rest.len() + plain_words(rest)
}

/// The same, eight bytes at a time.
fn plain_words(text: &[u8]) -> usize {
    let mut rest = text;
    while let Some((word, after)) = rest.split_first_chunk() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return text.len() - rest.len() + (marks.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let plain = rest.iter().take_while(|byte| !is_special(**byte)).count();
    text.len() - rest.len() + plain
}

fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\') | (byte == STRING_END)
}

/// Marks the special bytes of a word with their highest bit: Hacker's Delight, section
/// 6-1. The lowest mark is exact; those above it may be carries.
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGHS;
    let equal = |byte: u8| below(word ^ u64::from_ne_bytes([byte; 8]), 1);
    below(word, u64::from(b' ')) | equal(b'"') | equal(b'\\') | equal(STRING_END)
}

/// Appends what an escape after its backslash stands for.
fn unescape<'t>(form: &mut Vec<u8>, escape: &'t [u8]) -> Option<&'t [u8]> {
    let (kind, after) = escape.split_first()?;
    let byte = match kind {
        b'"' | b'\\' | b'/' => *kind,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unicode(form, after),
        _ => return None,
    };
    form.push(byte);
    Some(after)
}

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
    let unit = digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })?;
    Some((unit, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place() {
        for special in 0..=u8::MAX {
            for place in 0..100 {
                let mut text = vec![b'x'; 200];
                text[place] = special;
                let expected = if is_special(special) { place } else { 200 };
                assert_eq!(plain_length(&text), expected, "{special:#x} at {place}");
                let cut = plain_length(&text[..place + 1]);
                assert_eq!(cut, expected.min(place + 1), "{special:#x} at the end");
            }
        }
    }
}
