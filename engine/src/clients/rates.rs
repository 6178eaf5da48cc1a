//! How fast each address opens connections.
//!
//! The memory is fixed, however many addresses there are. Each has its place in a set of
//! four; when all four are taken, the one that has opened the fewest of late is forgotten, so
//! that whoever opens many stays known however many others come.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use parking_lot::Mutex;

use super::Place;

/// Parts with a lock each.
const SHARDS: usize = 64;

/// Sets of a part. With four places in each there are 65536 addresses in 1 MiB, of which
/// pages that were never written take none.
const SETS: usize = 256;

const WAYS: usize = 4;

/// An address, and until when what it has opened counts, in nanoseconds: the theoretical
/// arrival time of the generic cell rate algorithm (ITU-T I.371 annex A).
type Known = (u64, u64);

/// How fast connections may be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// For as long as one likes.
    pub(super) per_second: u32,
    /// At once.
    pub(super) burst: u32,
}

/// Addresses that have opened connections of late.
#[derive(Debug)]
pub(super) struct Rates {
    /// Nanoseconds that one connection takes of its address's time.
    cost: u64,
    /// How far an address may be ahead of its time.
    room: u64,
    hasher: RandomState,
    shards: Box<[Mutex<Vec<Known>>]>,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        let cost = 1_000_000_000 / u64::from(rate.per_second.max(1));
        let table = || Mutex::new(vec![(0, 0); SETS * WAYS]);
        Rates {
            cost,
            room: cost.saturating_mul(u64::from(rate.burst)),
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| table()).collect(),
        }
    }

    /// Whether an address may open one more, of which it has then opened one. `now` never
    /// steps back.
    pub(super) fn allow(&self, place: Place, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let hash = self.hasher.hash_one(place) as usize;
        let Some(shard) = self.shards.get(hash % SHARDS) else {
            return true;
        };
        let mut shard = shard.lock();
        let first = hash / SHARDS % SETS * WAYS;
        let Some(set) = shard.get_mut(first..first + WAYS) else {
            return true;
        };
        let known = set.iter().position(|(known, _)| *known == place.0);
        let known = match known {
            Some(known) => set.get_mut(known),
            None => set.iter_mut().min_by_key(|(_, until)| *until),
        };
        let Some(known) = known else { return true };
        let before = if known.0 == place.0 { known.1 } else { 0 };
        let until = before.max(now).saturating_add(self.cost);
        let fits = until - now <= self.room;
        if fits {
            *known = (place.0, until);
        }
        fits
    }
}
