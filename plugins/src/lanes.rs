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
                let Some(vector) = block.first_chunk().filter(|_| place < LANES) else {
                    continue;
                };
                assert_eq!(u64::from(ends(vector)), marked(is_end), "{byte:#x}");
                assert_eq!(u64::from(specials(vector)), marked(is_special), "{byte:#x}");
            }
        }
    }
}
