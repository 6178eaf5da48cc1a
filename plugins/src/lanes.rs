//! Text in JSON strings, many bytes at once.
//!
//! Vector instructions that every processor of its kind has compare sixteen bytes with
//! one; the results come as a bit for each byte, the lowest for the first.

use wide::u8x16;

/// Bytes that one vector has.
pub(crate) const LANES: usize = 16;

/// Bytes that are looked at together where strings are long.
pub(crate) const BLOCK: usize = 4 * LANES;

/// Where quotes and backslashes stand.
#[inline(always)]
pub(crate) fn ends(text: &[u8; LANES]) -> u32 {
    let text = u8x16::new(*text);
    ends_of(text).to_bitmask()
}

/// Where quotes and backslashes stand.
#[inline(always)]
pub(crate) fn ends_in_block(text: &[u8; BLOCK]) -> u64 {
    in_block(text, ends_of)
}

/// Where something stands that is not simply text: a quote, a backslash, a control
/// character, or 0xff, which UTF-8 never has.
#[inline(always)]
pub(crate) fn specials(text: &[u8; LANES]) -> u32 {
    let text = u8x16::new(*text);
    specials_of(text).to_bitmask()
}

/// Where something stands that is not simply text, as [`specials`] has it.
#[inline(always)]
pub(crate) fn specials_in_block(text: &[u8; BLOCK]) -> u64 {
    in_block(text, specials_of)
}

/// Whether in a text without quotes and backslashes there is nothing [special](specials).
pub(crate) fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk() else {
        return text.iter().all(|byte| (b' '..0xff).contains(byte));
    };
    // The least and the greatest byte at each place of a vector.
    let (mut least, mut most) = (u8x16::splat(0xff), u8x16::splat(0));
    let mut see = |vector: &[u8; LANES]| {
        let vector = u8x16::new(*vector);
        (least, most) = (least.min(vector), most.max(vector));
    };
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for block in blocks {
        block.as_chunks().0.iter().for_each(&mut see);
    }
    rest.as_chunks().0.iter().for_each(&mut see);
    see(last);
    let outside = least.min(u8x16::splat(0x1f)).simd_eq(least) | most.simd_eq(u8x16::splat(0xff));
    outside.to_bitmask() == 0
}

/// Where backslashes stand.
#[inline(always)]
pub(crate) fn backslashes_in_block(text: &[u8; BLOCK]) -> u64 {
    in_block(text, |text| text.simd_eq(u8x16::splat(b'\\')))
}

/// Which of these backslashes begin an escape, if the text before them does not end in the
/// middle of one: in each row of them the first, the third and so on.
///
/// This is simdjson's way (Langdale and Lemire, "Parsing gigabytes of JSON per second",
/// section 3.1.1, in its later form with one subtraction): the borrow runs along a row.
#[inline(always)]
pub(crate) fn escapes(backslashes: u64) -> u64 {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let after = backslashes << 1 | ODD;
    (after.wrapping_sub(backslashes) ^ ODD) & backslashes
}

/// Where something stands that makes, with a backslash before it, an escape that is a
/// character's only short one.
#[inline(always)]
pub(crate) fn short_kinds_in_block(text: &[u8; BLOCK]) -> u64 {
    in_block(text, |text| {
        let is = |kind| text.simd_eq(u8x16::splat(kind));
        ends_of(text) | is(b'b') | is(b'f') | is(b'n') | is(b'r') | is(b't')
    })
}

/// Where slashes stand.
#[inline(always)]
pub(crate) fn slashes_in_block(text: &[u8; BLOCK]) -> u64 {
    in_block(text, |text| text.simd_eq(u8x16::splat(b'/')))
}

/// Where the letter `u` stands.
#[inline(always)]
pub(crate) fn us_in_block(text: &[u8; BLOCK]) -> u64 {
    in_block(text, |text| text.simd_eq(u8x16::splat(b'u')))
}

/// Where hexadecimal digits stand.
#[inline(always)]
pub(crate) fn digits_in_block(text: &[u8; BLOCK]) -> u64 {
    in_block(text, |text| {
        let number = text - u8x16::splat(b'0');
        let letter = (text | u8x16::splat(0x20)) - u8x16::splat(b'a');
        number.min(u8x16::splat(9)).simd_eq(number) | letter.min(u8x16::splat(5)).simd_eq(letter)
    })
}

/// Marks of the places before this one.
#[inline(always)]
pub(crate) fn below(place: usize) -> u64 {
    match place {
        0..BLOCK => (1 << place) - 1,
        _ => u64::MAX,
    }
}

#[inline(always)]
fn in_block(text: &[u8; BLOCK], find: impl Fn(u8x16) -> u8x16) -> u64 {
    let (vectors, _) = text.as_chunks::<LANES>();
    let places = (0..).step_by(LANES);
    let found = vectors.iter().zip(places).map(|(vector, place)| {
        let marks = find(u8x16::new(*vector)).to_bitmask();
        u64::from(marks) << place
    });
    found.fold(0, |marks, found| marks | found)
}

#[inline(always)]
fn ends_of(text: u8x16) -> u8x16 {
    text.simd_eq(u8x16::splat(b'"')) | text.simd_eq(u8x16::splat(b'\\'))
}

#[inline(always)]
fn specials_of(text: u8x16) -> u8x16 {
    // One more than 0xff is zero.
    let above = text + u8x16::splat(1);
    let outside = above.min(u8x16::splat(b' ')).simd_eq(above);
    ends_of(text) | outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_row_of_backslashes_every_other_one_begins_an_escape() {
        let stepped = |backslashes: u64| {
            let mut is_escaped = false;
            (0..64).fold(0, |escapes, place| {
                is_escaped = !is_escaped && backslashes >> place & 1 == 1;
                escapes | u64::from(is_escaped) << place
            })
        };
        let mut random = 1_u64;
        for density in 0..100_000 {
            // Rows of all lengths, at all places.
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let other = random.rotate_left(31);
            let backslashes = match density % 4 {
                0 => random & other,
                1 => random | other,
                2 => random,
                _ => u64::MAX << (random >> 58) & u64::MAX >> (other >> 58),
            };
            assert_eq!(
                escapes(backslashes),
                stepped(backslashes),
                "{backslashes:#x}"
            );
        }
    }

    #[test]
    fn every_byte_is_marked_at_every_place() {
        for byte in 0..=u8::MAX {
            let is_end = byte == b'"' || byte == b'\\';
            let is_special = is_end || byte < b' ' || byte == 0xff;
            for place in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[place] = byte;
                let marked = |is_marked| u64::from(is_marked) << place;
                assert_eq!(ends_in_block(&block), marked(is_end), "{byte:#x}");
                assert_eq!(specials_in_block(&block), marked(is_special), "{byte:#x}");
                let is_plain = (b' '..0xff).contains(&byte);
                let [long, end] = [[block, [b'x'; BLOCK]], [[b'x'; BLOCK], block]];
                let (long, end) = (long.as_flattened(), end.as_flattened());
                for text in [&block[place..], &block[..=place], long, &end[place / 2..]] {
                    assert_eq!(super::is_plain(text), is_plain, "{byte:#x}");
                }
                let is_kind = b"\"\\bfnrt".contains(&byte);
                assert_eq!(backslashes_in_block(&block), marked(byte == b'\\'));
                assert_eq!(short_kinds_in_block(&block), marked(is_kind), "{byte:#x}");
                assert_eq!(slashes_in_block(&block), marked(byte == b'/'), "{byte:#x}");
                let is_digit = byte.is_ascii_hexdigit();
                assert_eq!(us_in_block(&block), marked(byte == b'u'), "{byte:#x}");
                assert_eq!(digits_in_block(&block), marked(is_digit), "{byte:#x}");
                let Some(vector) = block.first_chunk().filter(|_| place < LANES) else {
                    continue;
                };
                assert_eq!(u64::from(ends(vector)), marked(is_end), "{byte:#x}");
                assert_eq!(u64::from(specials(vector)), marked(is_special), "{byte:#x}");
            }
        }
    }
}
