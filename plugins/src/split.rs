//! Choice in proportion to weights, without randomness and without a lock.
//!
//! Request number *n* takes the point *n*·φ mod 1 of the unit interval, which the
//! weights divide among the targets (φ is the golden ratio; no other multiple spreads
//! its points more evenly: Knuth, *The Art of Computer Programming* vol. 3, section
//! 6.4, theorem S). After any number of picks, each target has had its share give or
//! take a few requests, where random choice is off by the square root of that number.
//! Traffic with a rhythm of its own, such as every second request being a long one, is
//! spread as evenly, since φ is in step with nothing.

mod rendezvous;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_config::unit::Weight;

pub use rendezvous::Rendezvous;
pub(crate) use rendezvous::{Bound, distance};

/// 2⁶⁴ divided by the golden ratio, made odd so that the sequence visits every
/// 64-bit number before it repeats.
const GOLDEN_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// 2⁶⁴ times the fraction of the square root of two, made odd. Its multiples are spread nearly
/// as evenly, and have nothing to do with those of the golden ratio: points of both, taken as
/// pairs, fill the unit square.
const SILVER_STEP: u64 = 0x6a09_e667_f3bc_c909;

/// Targets to choose from in proportion to their weights. It has at least one, and
/// each has a weight above zero.
pub struct Distribution<T> {
    shares: Box<[Share<T>]>,
    turns: Arc<Turns>,
}

/// Whose turn it is. Kept in [`Shared`](crate::Shared), shares stay exact from one
/// distribution to the next.
#[derive(Default)]
pub struct Turns {
    picks: Sequence,
    /// Retries draw from a sequence of their own. Were they to draw from that of the
    /// picks, each failure would make those skip a point, always after the same
    /// target.
    retries: Sequence,
}

impl Turns {
    /// Turns to be taken along with others. Were both to go by the golden ratio, they would
    /// go together: one of two targets here would only ever meet one of two there.
    pub fn aside() -> Self {
        Self {
            picks: Sequence::by(SILVER_STEP),
            retries: Sequence::by(SILVER_STEP),
        }
    }
}

struct Share<T> {
    target: T,
    weight: u32,
    /// The last point that belongs to the target; its first follows the last of the
    /// target before.
    last: u64,
}

impl<T> Distribution<T> {
    /// Divides the unit interval among `targets`. Those of weight zero are left out.
    ///
    /// # Errors
    ///
    /// [`NoWeight`] when none is left.
    pub fn new(targets: impl IntoIterator<Item = (Weight, T)>) -> Result<Self, NoWeight> {
        let weighted: Vec<_> = targets
            .into_iter()
            .map(|(weight, target)| (weight.get(), target))
            .filter(|(weight, _)| *weight > 0)
            .collect();
        let total: u128 = weighted.iter().map(|(weight, _)| u128::from(*weight)).sum();
        if total == 0 {
            return Err(NoWeight);
        }
        let mut below: u128 = 0;
        let shares = weighted.into_iter().map(|(weight, target)| {
            below += u128::from(weight);
            // `below` is at most `total`, so the quotient is from 1 to 2⁶⁴.
            let last = ((below << 64) / total - 1) as u64;
            Share {
                target,
                weight,
                last,
            }
        });
        Ok(Self {
            shares: shares.collect(),
            turns: Arc::default(),
        })
    }

    /// Goes on where `turns` are, so that shares stay exact from one distribution to the
    /// next: each sequence begins at the same point, which belongs to the first target.
    pub fn continuing(self, turns: Arc<Turns>) -> Self {
        Self { turns, ..self }
    }

    /// The next request's target. With one target it touches no shared memory.
    pub fn pick(&self) -> &T {
        if let [only] = &*self.shares {
            return &only.target;
        }
        self.at(self.turns.picks.next())
    }

    /// The target that a point belongs to.
    pub(crate) fn at(&self, point: u64) -> &T {
        let index = self.shares.partition_point(|share| share.last < point);
        // The last share ends at `u64::MAX`, so every point is within one.
        #[expect(clippy::indexing_slicing)]
        &self.shares[index].target
    }

    /// The target of a request that some targets have already failed: chosen among
    /// the others in proportion to their weights, or none when there are no others.
    pub fn pick_excluding(&self, excluded: impl Fn(&T) -> bool) -> Option<&T> {
        let allowed = || self.shares.iter().filter(|share| !excluded(&share.target));
        let total: u128 = allowed().map(|share| u128::from(share.weight)).sum();
        let point = (u128::from(self.turns.retries.next()) * total) >> 64;
        let mut below = 0;
        allowed()
            .find(|share| {
                below += u128::from(share.weight);
                point < below
            })
            .map(|share| &share.target)
    }

    /// The targets that can be picked with their shares in percent, in the order of the
    /// configuration.
    pub fn shares(&self) -> impl ExactSizeIterator<Item = (f64, &T)> {
        let total: u64 = self
            .shares
            .iter()
            .map(|share| u64::from(share.weight))
            .sum();
        self.shares.iter().map(move |share| {
            let percent = f64::from(share.weight) * 100.0 / total as f64;
            (percent, &share.target)
        })
    }

    /// The targets that can be picked, in the order of the configuration.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &T> {
        self.shares.iter().map(|share| &share.target)
    }
}

impl<T: fmt::Debug> fmt::Debug for Distribution<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weighted = self
            .shares
            .iter()
            .map(|share| (&share.target, share.weight));
        f.debug_map().entries(weighted).finish()
    }
}

/// No target has a weight above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWeight;

impl fmt::Display for NoWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no target has a weight above zero")
    }
}

impl std::error::Error for NoWeight {}

/// A point on the circle of 2⁶⁴ points that moves on by the golden ratio, or by another step.
///
/// It has a cache line to itself: every worker writes here at each request, while
/// what lies around it is only read.
#[repr(align(64))]
pub(crate) struct Sequence {
    at: AtomicU64,
    step: u64,
}

impl Default for Sequence {
    fn default() -> Self {
        Self::by(GOLDEN_STEP)
    }
}

impl Sequence {
    fn by(step: u64) -> Self {
        Self {
            at: AtomicU64::new(0),
            step,
        }
    }

    fn next(&self) -> u64 {
        // Nothing else is published through this number, so no order is needed.
        self.at.fetch_add(self.step, Ordering::Relaxed)
    }

    /// The next point as a number from 0 to below 1.
    pub(crate) fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The next point, moved to where it has nothing to do with those around it.
    pub(crate) fn scattered(&self) -> u64 {
        mix(self.next())
    }
}

/// Spreads a number over all 64-bit numbers (the finalizer of SplitMix64: Steele, Lea and
/// Flood, *Fast Splittable Pseudorandom Number Generators*, 2014).
pub(crate) fn mix(number: u64) -> u64 {
    let number = mix_high(mix_first(number));
    number ^ (number >> 31)
}

/// The first step of [`mix`], which can be taken before two numbers are put together by
/// exclusive or as well as after.
#[inline]
fn mix_first(number: u64) -> u64 {
    number ^ (number >> 30)
}

/// The steps between the first and the last. The 31 highest bits are those of the end.
#[inline]
fn mix_high(number: u64) -> u64 {
    let number = number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}
