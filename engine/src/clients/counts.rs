//! How many connections each address has open. An address without one takes no memory.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;

use parking_lot::Mutex;

use super::Place;

/// Parts with a lock each, so that workers which accept at once seldom meet.
const SHARDS: usize = 64;

/// Places that a part keeps memory for when most of those that it had are gone.
const KEPT: usize = 64;

/// Open connections by address: as many entries as there are connections, at most.
#[derive(Debug)]
pub(super) struct Counts {
    most: u32,
    hasher: RandomState,
    shards: Box<[Mutex<HashMap<Place, u32>>]>,
}

impl Counts {
    pub(super) fn new(most: u32) -> Self {
        Counts {
            most,
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts one more, if there may be one.
    pub(super) fn enter(&self, place: Place) -> bool {
        let Some(shard) = self.shard(place) else {
            return true;
        };
        let mut shard = shard.lock();
        let open = shard.entry(place).or_insert(0);
        let fits = *open < self.most;
        *open += u32::from(fits);
        fits
    }

    /// Counts one less.
    pub(super) fn leave(&self, place: Place) {
        let Some(shard) = self.shard(place) else {
            return;
        };
        let mut shard = shard.lock();
        if let Entry::Occupied(mut open) = shard.entry(place) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
                if shard.len().max(KEPT) < shard.capacity() / 8 {
                    let len = shard.len().max(KEPT);
                    shard.shrink_to(len * 2);
                }
            }
        }
    }

    fn shard(&self, place: Place) -> Option<&Mutex<HashMap<Place, u32>>> {
        let hash = self.hasher.hash_one(place) as usize;
        self.shards.get(hash % SHARDS)
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let capacity = |shard: &Mutex<HashMap<_, _>>| shard.lock().capacity();
        self.shards.iter().map(capacity).sum()
    }
}
