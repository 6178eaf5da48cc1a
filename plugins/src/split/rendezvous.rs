//! Choice by a key, in proportion to weights: the same key has the same target.
//!
//! Each target is at a distance of its own from each key, an exponential variable whose rate
//! is the target's weight, and the nearest has the key: weighted rendezvous hashing
//! (Thaler and Ravishankar, *Using Name-Based Mappings to Increase Hit Rates*, 1998, with the
//! weights of Efraimidis and Spirakis, *Weighted random sampling with a reservoir*, 2006).
//! A key's distances depend on nothing but the key, the target's seed and its weight. So when
//! weights change, a key moves from one target to another only if the other's weight has
//! grown in relation to the first's.

#[cfg(test)]
mod tests;

use penstock_config::unit::Weight;

use super::{NoWeight, mix, mix_first, mix_high};

/// Targets that each have a part of all keys.
#[derive(Debug)]
pub struct Rendezvous<T> {
    first: Seat<T>,
    others: Box<[Seat<T>]>,
}

#[derive(Debug)]
struct Seat<T> {
    /// Identifies the target, whatever else changes.
    seed: u64,
    weight: f64,
    target: T,
}

impl<T> Rendezvous<T> {
    /// Divides all keys among `targets`, each with the number that identifies it. Those of
    /// weight zero are left out, and the weights of those that are the same are added up.
    ///
    /// # Errors
    ///
    /// [`NoWeight`] when none is left.
    pub fn new(targets: impl IntoIterator<Item = (Weight, u64, T)>) -> Result<Self, NoWeight> {
        let mut seats: Vec<Seat<T>> = Vec::new();
        for (weight, seed, target) in targets {
            let weight = f64::from(weight.get());
            match seats.iter_mut().find(|seat| seat.seed == seed) {
                Some(seat) => seat.weight += weight,
                None => seats.push(Seat {
                    seed,
                    weight,
                    target,
                }),
            }
        }
        // In an order that is not the file's, since of equally near ones the first is taken.
        seats.sort_unstable_by_key(|seat| seat.seed);
        let mut seats = seats.into_iter().filter(|seat| seat.weight > 0.0);
        Ok(Self {
            first: seats.next().ok_or(NoWeight)?,
            others: seats.collect(),
        })
    }

    /// The target that a key belongs to. The key is a hash.
    pub fn pick(&self, key: u64) -> &T {
        let mut nearest = &self.first;
        if self.others.is_empty() {
            return &nearest.target;
        }
        let mut least = nearest.distance(key);
        for seat in &self.others {
            let distance = seat.distance(key);
            if distance < least {
                (nearest, least) = (seat, distance);
            }
        }
        &nearest.target
    }
}

impl<T> Seat<T> {
    fn distance(&self, key: u64) -> f64 {
        distance(key, self.seed, self.weight)
    }
}

/// How far a key is from what has this seed and weight. The least distance belongs to each
/// in proportion to the weights: -ln(u) / w, with u uniform in the open unit interval.
pub(crate) fn distance(key: u64, seed: u64, weight: f64) -> f64 {
    let unit = (mix(key ^ seed) >> 11) as f64 + 0.5;
    let unit = unit / (1_u64 << 53) as f64;
    -unit.ln() / weight
}

/// How far keys are at the least from what has a seed and a weight. It takes a few cycles to
/// tell: -ln(u) is at least 1 - u, and the highest bits of u are enough.
pub(crate) struct Bound {
    /// After the first step of mixing.
    seed: u64,
    /// What the highest bits are multiplied by. It is a little less than right, and by more
    /// than all that is rounded on the way to the distance.
    part: f64,
}

impl Bound {
    pub(crate) fn new(seed: u64, weight: f64) -> Self {
        Self {
            seed: mix_first(seed),
            part: (1.0 - 1e-9) / (1_u64 << 31) as f64 / weight,
        }
    }

    /// The place of that which has the least bound for a key, and the least bound of all
    /// others. Nothing here branches, since which of two is nearer a processor cannot
    /// foresee.
    pub(crate) fn nearest(bounds: &[Self], key: u64) -> (usize, f64) {
        let (mut nearest, mut least, mut next) = (0, f64::INFINITY, f64::INFINITY);
        let key = mix_first(key);
        for (place, bound) in bounds.iter().enumerate() {
            let bound = bound.after_first(key);
            let further = if bound < least { least } else { bound };
            next = if further < next { further } else { next };
            nearest = if bound < least { place } else { nearest };
            least = if bound < least { bound } else { least };
        }
        (nearest, next)
    }

    /// The bound for a key.
    pub(crate) fn of(&self, key: u64) -> f64 {
        self.after_first(mix_first(key))
    }

    /// The bound for a key after the first step of mixing.
    #[inline]
    fn after_first(&self, key: u64) -> f64 {
        // As a signed number, which it fits into, it is converted by one instruction.
        (!mix_high(key ^ self.seed) >> 33).cast_signed() as f64 * self.part
    }
}
