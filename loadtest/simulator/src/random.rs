//! The simulator's own randomness: a small generator whose sequence never changes with a
//! dependency's version, so that an answer recorded today repeats next year.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator for one purpose: generators of the same seed and different salts are unrelated.
    pub(crate) fn new(seed: u64, salt: u64) -> Random {
        Random(fold(seed ^ 0x9e37_79b9_7f4a_7c15) ^ fold(salt.wrapping_add(0xd1b5_4a32_d192_ed03)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finish(self.0)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits, what an f64 holds exactly.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, deviation 1, by Box and Muller's method.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// One of `choices`, each as likely; the default value if there are none.
    pub(crate) fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        // The high half of a 32 by 64 bit product is uniform enough for so few choices.
        let at = ((self.next() >> 32) * choices.len() as u64) >> 32;
        choices.get(at as usize).copied().unwrap_or_default()
    }
}

/// The hash that `/echo` reports in `x-body-hash` and that seeds an answer: 64 bits, made for
/// speed on one machine, not against an adversary.
pub fn body_hash(body: &[u8]) -> u64 {
    let (words, tail) = body.as_chunks::<8>();
    let mut hash = fold(body.len() as u64 ^ 0x9e37_79b9_7f4a_7c15);
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    finish(hash ^ u64::from_le_bytes(last))
}

/// Multiplies into 128 bits and folds the halves together.
fn fold(word: u64) -> u64 {
    let product = u128::from(word) * 0xa076_1d64_78bd_642f;
    (product as u64 ^ (product >> 64) as u64).wrapping_add(0xe703_7ed1_a0b4_28db)
}

/// SplitMix64's output function: every input bit moves every output bit.
fn finish(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_bit_anywhere_changes_the_hash() {
        let body: Vec<u8> = (0..40).collect();
        let whole = body_hash(&body);
        for at in 0..body.len() {
            let mut changed = body.clone();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 0x10;
            }
            assert_ne!(body_hash(&changed), whole, "byte {at} does not count");
        }
        assert_ne!(body_hash(&[]), body_hash(&[0]), "length must count");
    }

    #[test]
    fn salts_separate_generators_of_one_seed() {
        let first = Random::new(7, 1).next();
        assert_eq!(first, Random::new(7, 1).next(), "a generator must repeat");
        assert_ne!(first, Random::new(7, 2).next(), "salts must differ");
    }
}
