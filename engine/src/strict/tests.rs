//! The rules on bytes, each with what breaks it and what does not.

mod answers;
mod chunks;
mod heads;
mod paths;
mod twice;

/// Numbers that are the same at each run (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    pub(super) fn pick<'t, T: ?Sized>(&mut self, of: &[&'t T]) -> &'t T {
        of[self.below(of.len())]
    }
}

/// Ends of pieces to read so many bytes in.
pub(super) fn splits(random: &mut Random, len: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = (0..random.below(6))
        .map(|_| random.below(len + 1))
        .collect();
    ends.push(len);
    ends.sort_unstable();
    ends
}
