//! Which bytes may stand where, and how to find the first that may not.

/// Bytes of a token (RFC 9110 section 5.6.2).
const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// Bytes of a path: those of RFC 3986 section 3.3, and brackets, which browsers leave as
/// they are and which begin an IPv6 address in an absolute form.
const PATH: [bool; 256] = table(b"-._~!$&'()*+,;=:@/%[]");

/// A table of letters, digits and these.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
        }
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[others[at] as usize] = true;
        }
        at += 1;
    }
    table
}

pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

pub(super) fn is_path(byte: u8) -> bool {
    PATH.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Bytes of a query, its question mark included. Browsers leave more of them as they are
/// than RFC 3986 section 3.4 allows (<https://url.spec.whatwg.org/#query-percent-encode-set>),
/// and none changes where a request goes or ends: all that can be seen, but no fragment.
pub(super) fn is_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// Where the first byte stands, from `at` on, that is not like that; the length if none.
pub(super) fn end_of(bytes: &[u8], at: usize, is: fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let found = rest.iter().position(|&byte| !is(byte));
    found.map_or(bytes.len(), |found| at + found)
}

/// Where the first control character stands from `at` on, tabs left out; the length if
/// none.
pub(super) fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at = next_control(bytes, at);
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Eight bytes at a time: the lowest byte that is marked is one below a space or a DEL,
/// since a borrow only goes upwards.
fn next_control(bytes: &[u8], at: usize) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = EACH << 7;
    let rest = bytes.get(at..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    let mut at = at;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let below_space = word.wrapping_sub(EACH * 0x20) & !word;
        let other = word ^ (EACH * 0x7f);
        let is_delete = other.wrapping_sub(EACH) & !other;
        let marked = (below_space | is_delete) & TOP;
        if marked != 0 {
            return at + marked.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let found = tail.iter().position(u8::is_ascii_control);
    at + found.unwrap_or(tail.len())
}

/// Without spaces and tabs around it (RFC 9110 section 5.6.3).
pub(super) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the spaces around it alone.
pub(super) fn without_spaces(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_found_wherever_it_stands() {
        for byte in 0..=255_u8 {
            for len in 0..40 {
                for at in 0..len {
                    let mut bytes = vec![b'\x80'; len];
                    bytes[at] = byte;
                    let is_control = byte.is_ascii_control() && byte != b'\t';
                    let wanted = if is_control { at } else { len };
                    assert_eq!(end_of_text(&bytes, 0), wanted, "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn only_spaces_and_tabs_are_around_a_value() {
        assert_eq!(trimmed(b" \t a b\t "), b"a b");
        assert_eq!(trimmed(b" \t "), b"");
        assert_eq!(trimmed(b"\x0ba\xa0"), b"\x0ba\xa0");
        assert_eq!(without_spaces(b"  a\t "), b"a\t");
    }
}
