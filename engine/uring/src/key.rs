//! How a completion finds what it belongs to.
//!
//! A completion carries 64 bits of ours: which operation it ends, and the key of
//! the slot that the operation belongs to. A key is a place in the slot table and
//! the generation of that place, so that a completion that arrives after its slot
//! was given to another connection is recognised and ignored.

/// Bits of a key's generation that fit beside the operation and the index.
const GENERATION_BITS: u32 = 24;

/// A slot, as known to a completion: place and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// A key that no slot ever has.
    pub(crate) const NONE: Key = Key {
        index: u32::MAX,
        generation: 0,
    };

    /// The generation that follows `generation` at the same place.
    pub(crate) fn next_generation(generation: u32) -> u32 {
        (generation + 1) & ((1 << GENERATION_BITS) - 1)
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Receive = 1,
    Send = 2,
    Connect = 3,
    Accept = 4,
    /// The time that a dropped connection has for its last bytes is over.
    Linger = 5,
    /// The end of a cancellation itself; what it cancelled completes on its own.
    Cancel = 6,
    /// A moment has passed since the loop began to wait in the ring.
    Tick = 7,
}

/// Packs an operation and its slot into the 64 bits that a completion returns.
pub(crate) fn pack(op: Op, key: Key) -> u64 {
    (op as u64) << 56 | u64::from(key.generation) << 32 | u64::from(key.index)
}

/// Unpacks what [`pack`] packed; `None` for bits that it never makes.
pub(crate) fn unpack(bits: u64) -> Option<(Op, Key)> {
    let op = match bits >> 56 {
        1 => Op::Receive,
        2 => Op::Send,
        3 => Op::Connect,
        4 => Op::Accept,
        5 => Op::Linger,
        6 => Op::Cancel,
        7 => Op::Tick,
        _ => return None,
    };
    let key = Key {
        index: bits as u32,
        generation: (bits >> 32) as u32 & ((1 << GENERATION_BITS) - 1),
    };
    Some((op, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_round_trips_at_the_edges() {
        for op in [
            Op::Receive,
            Op::Send,
            Op::Connect,
            Op::Accept,
            Op::Linger,
            Op::Cancel,
        ] {
            for index in [0, 1, u32::MAX] {
                for generation in [0, 1, (1 << GENERATION_BITS) - 1] {
                    let key = Key { index, generation };
                    assert_eq!(unpack(pack(op, key)), Some((op, key)), "{op:?} {key:?}");
                }
            }
        }
    }

    #[test]
    fn generations_wrap_within_their_bits() {
        assert_eq!(Key::next_generation((1 << GENERATION_BITS) - 1), 0);
    }

    #[test]
    fn foreign_bits_are_not_an_operation() {
        assert_eq!(unpack(0), None);
        assert_eq!(unpack(u64::MAX), None);
    }
}
