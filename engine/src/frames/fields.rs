//! How many fields a head has, before any of them is unpacked (RFC 7541 section 6).
//!
//! A field that was sent once is named by one byte afterwards, so that a head of 16 KiB may
//! unpack to as many fields of a hundred bytes and more each. Where fields begin can be seen
//! without unpacking them.

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// The first of a field.
    #[default]
    Field,
    /// One of an index, after which a value comes or not.
    Index { value: bool },
    /// The first of a length.
    Length { of_name: bool },
    /// A further one.
    LengthRest { of_name: bool, shift: u32 },
    /// One of a name or a value.
    Text { of_name: bool },
    /// None that can be understood; the library says so.
    Broken,
}

/// Longest number in bits: no text is nearly that long.
const SHIFT_MAX: u32 = 21;

/// Counts the fields of one head.
#[derive(Debug, Default)]
pub(super) struct Fields {
    next: Next,
    /// Of a name or a value.
    left: u32,
    count: u32,
}

impl Fields {
    /// Looks at the next bytes. Gives how many fields have begun.
    pub(super) fn count(&mut self, mut bytes: &[u8]) -> u32 {
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            match self.next {
                Next::Field => self.field(byte),
                Next::Index { value } if byte & 0x80 == 0 => self.after_index(value),
                Next::Index { .. } => {}
                Next::Length { of_name } => {
                    self.left = u32::from(byte & 0x7f);
                    match self.left {
                        0x7f => self.next = Next::LengthRest { of_name, shift: 0 },
                        _ => self.text(of_name),
                    }
                }
                Next::LengthRest { shift, .. } if shift > SHIFT_MAX => self.next = Next::Broken,
                Next::LengthRest { of_name, shift } => {
                    self.left += u32::from(byte & 0x7f) << shift;
                    match byte & 0x80 {
                        0 => self.text(of_name),
                        _ => {
                            let shift = shift + 7;
                            self.next = Next::LengthRest { of_name, shift };
                        }
                    }
                }
                Next::Text { of_name } => {
                    // This byte is the first of what is left.
                    let here = usize::try_from(self.left - 1).unwrap_or(usize::MAX);
                    let here = here.min(bytes.len());
                    bytes = bytes.get(here..).unwrap_or_default();
                    self.left -= 1 + u32::try_from(here).unwrap_or(u32::MAX);
                    if self.left == 0 {
                        self.after_text(of_name);
                    }
                }
                Next::Broken => break,
            }
        }
        self.count
    }

    /// Sections 6.1 to 6.3: an indexed field, one with a literal value, or a new size of the
    /// table, which is counted as if it were one.
    fn field(&mut self, byte: u8) {
        self.count += 1;
        let (index_max, value) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        self.next = match byte & index_max {
            index if index == index_max => Next::Index { value },
            0 if value => Next::Length { of_name: true },
            _ if value => Next::Length { of_name: false },
            _ => Next::Field,
        };
    }

    fn after_index(&mut self, value: bool) {
        self.next = match value {
            true => Next::Length { of_name: false },
            false => Next::Field,
        };
    }

    fn text(&mut self, of_name: bool) {
        match self.left {
            0 => self.after_text(of_name),
            _ => self.next = Next::Text { of_name },
        }
    }

    fn after_text(&mut self, of_name: bool) {
        self.next = match of_name {
            true => Next::Length { of_name: false },
            false => Next::Field,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7541 appendix C.
    const HEADS: [(&str, u32); 10] = [
        // C.2.1 to C.2.4
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", 1),
        ("040c2f73616d706c652f70617468", 1),
        ("100870617373776f726406736563726574", 1),
        ("82", 1),
        // C.3
        ("828684410f7777772e6578616d706c652e636f6d", 4),
        ("828684be58086e6f2d6361636865", 5),
        (
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            5,
        ),
        // C.4.1
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", 4),
        // A new size of the table, and an index of two bytes.
        ("3fe11f82ff80008a", 4),
        // A value of 300 bytes would follow.
        ("0f2f7fad01", 1),
    ];

    #[test]
    fn fields_are_counted_in_pieces_of_any_size() {
        for (hex, wanted) in HEADS {
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            for size in 1..=bytes.len() {
                let mut fields = Fields::default();
                let mut count = 0;
                for piece in bytes.chunks(size) {
                    count = fields.count(piece);
                }
                assert_eq!(count, wanted, "{hex} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_long_value_is_skipped() {
        let mut fields = Fields::default();
        // A literal with a name of one byte and a value of 300: 127 + 0xad - 0x80 + 1 * 128.
        let mut bytes = vec![0x40, 1, b'a', 0x7f, 0xad, 0x01];
        bytes.extend([0x82; 300]);
        assert_eq!(fields.count(&bytes), 1);
        assert_eq!(fields.count(&[0xbe, 0xbe, 0xbe]), 4);
    }

    #[test]
    fn a_length_beyond_all_bounds_ends_the_count() {
        let mut fields = Fields::default();
        fields.count(&[0x40, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(fields.count(&[0x82; 100]), 1, "the library refuses it");
    }
}
