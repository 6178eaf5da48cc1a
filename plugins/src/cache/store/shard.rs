//! A part of the store, which decides what stays in it.
//!
//! The policy is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
//! SOSP 2023), with sizes in bytes. New entries pass through a small queue; those that
//! were used more than once by its end move to the main queue, the others leave and are
//! only remembered. A key that comes back while it is remembered goes to the main queue
//! at once. There, an entry that was used since its last turn gets another one. A flood
//! of entries that nobody asks for twice thus passes through a tenth of the memory.
//!
//! An entry that is larger than the small queue would push the main queue out to get in.
//! Unless there is room for it, it is stored only when its key is already remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::ghost::Ghost;
use crate::cache::entry::Entry;
use crate::role::CacheKey;

/// The small queue's part of the bytes (section 4.1 of the paper).
const SMALL_SHARE: u64 = 10;

/// Uses that count: beyond these an entry is just popular.
const USES_MAX: u8 = 3;

/// Uses by which an entry of the small queue moves to the main one.
const USES_TO_STAY: u8 = 2;

/// Entries of the main queue that get another turn before one has to go, however much it
/// was used. It bounds the work of an insertion.
const TURNS_MAX: usize = 128;

/// What is remembered of keys that left, at least: in entries.
const GHOSTS_MIN: usize = 64;

/// A part of the store.
pub(super) struct Shard {
    capacity: u64,
    entries: HashMap<CacheKey, Place>,
    small: Queue,
    main: Queue,
    ghost: Ghost,
}

/// An entry and where it queues.
struct Place {
    entry: Arc<Entry>,
    uses: u8,
    is_main: bool,
}

/// Keys in the order of arrival, and the bytes of their entries.
#[derive(Default)]
struct Queue {
    keys: VecDeque<CacheKey>,
    bytes: u64,
}

/// What an insertion did.
#[derive(Default)]
pub(super) struct Insertion {
    pub(super) stored: bool,
    pub(super) evicted: u64,
    pub(super) expired: u64,
    /// What has left, for the caller to free.
    pub(super) removed: Vec<Arc<Entry>>,
}

impl Shard {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            small: Queue::default(),
            main: Queue::default(),
            ghost: Ghost::default(),
        }
    }

    pub(super) fn find(&mut self, key: &CacheKey, now: Duration) -> Option<Arc<Entry>> {
        let place = self.entries.get_mut(key)?;
        if !place.entry.is_fresh(now) {
            return None;
        }
        place.uses = (place.uses + 1).min(USES_MAX);
        Some(Arc::clone(&place.entry))
    }

    pub(super) fn insert(&mut self, key: CacheKey, entry: Arc<Entry>, now: Duration) -> Insertion {
        let mut insertion = Insertion::default();
        let size = entry.size();
        if size > self.capacity {
            insertion.removed.push(entry);
            return insertion;
        }
        if let Some(place) = self.entries.get_mut(&key) {
            let queue = if place.is_main {
                &mut self.main
            } else {
                &mut self.small
            };
            queue.bytes = queue.bytes - place.entry.size() + size;
            let old = std::mem::replace(&mut place.entry, entry);
            insertion.removed.push(old);
            // It may be larger than before.
            self.make_room(0, 0, now, &mut insertion);
            insertion.stored = true;
            return insertion;
        }
        let is_main = self.ghost.forget(&key);
        let fits = self.bytes() + size <= self.capacity;
        if !is_main && !fits && size > self.small_capacity() {
            self.ghost.remember(&key, self.ghosts());
            insertion.removed.push(entry);
            return insertion;
        }
        // What goes to the main queue takes nothing from the small one's part.
        let incoming = if is_main { 0 } else { size };
        self.make_room(size, incoming, now, &mut insertion);
        let queue = if is_main {
            &mut self.main
        } else {
            &mut self.small
        };
        queue.keys.push_back(key);
        queue.bytes += size;
        let uses = 0;
        self.entries.insert(
            key,
            Place {
                entry,
                uses,
                is_main,
            },
        );
        insertion.stored = true;
        insertion
    }

    /// Removes the entries that `condition` holds for.
    pub(super) fn remove(
        &mut self,
        condition: impl Fn(&CacheKey, &Entry) -> bool,
    ) -> Vec<Arc<Entry>> {
        let removed: Vec<_> = self
            .entries
            .extract_if(|key, place| condition(key, &place.entry))
            .map(|(_, place)| place)
            .collect();
        for place in &removed {
            let queue = if place.is_main {
                &mut self.main
            } else {
                &mut self.small
            };
            queue.bytes -= place.entry.size();
        }
        if !removed.is_empty() {
            for queue in [&mut self.small, &mut self.main] {
                queue.keys.retain(|key| self.entries.contains_key(key));
            }
        }
        removed.into_iter().map(|place| place.entry).collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes of the entries, counted one by one. It also checks that each entry
    /// queues once.
    #[cfg(test)]
    pub(super) fn recount(&self) -> u64 {
        let queued = self.small.keys.len() + self.main.keys.len();
        assert_eq!(queued, self.entries.len());
        for (queue, is_main) in [(&self.small, false), (&self.main, true)] {
            let mut places = queue.keys.iter().map(|key| &self.entries[key]);
            assert!(places.all(|place| place.is_main == is_main));
        }
        self.entries.values().map(|place| place.entry.size()).sum()
    }

    fn small_capacity(&self) -> u64 {
        self.capacity / SMALL_SHARE
    }

    /// As many as there are entries (section 4.1: as the main queue has).
    fn ghosts(&self) -> usize {
        self.entries.len().max(GHOSTS_MIN)
    }

    /// Evicts until another `size` bytes fit, of which `incoming` go to the small queue.
    fn make_room(&mut self, size: u64, incoming: u64, now: Duration, insertion: &mut Insertion) {
        while self.bytes() + size > self.capacity && !self.entries.is_empty() {
            let from_small = self.small.bytes + incoming > self.small_capacity();
            if (from_small && !self.small.keys.is_empty()) || self.main.keys.is_empty() {
                self.evict_small(now, insertion);
            } else {
                self.evict_main(now, insertion);
            }
        }
    }

    /// Takes the oldest entry out of the small queue.
    fn evict_small(&mut self, now: Duration, insertion: &mut Insertion) {
        let Some(key) = self.small.keys.pop_front() else {
            return;
        };
        let Some(place) = self.entries.get_mut(&key) else {
            return;
        };
        let size = place.entry.size();
        self.small.bytes -= size;
        if place.uses >= USES_TO_STAY && place.entry.is_fresh(now) {
            place.uses = 0;
            place.is_main = true;
            self.main.keys.push_back(key);
            self.main.bytes += size;
            return;
        }
        self.ghost.remember(&key, self.ghosts());
        self.drop_entry(&key, now, insertion);
    }

    /// Takes the oldest entry that has not been used out of the main queue.
    fn evict_main(&mut self, now: Duration, insertion: &mut Insertion) {
        for turn in 0.. {
            let Some(key) = self.main.keys.pop_front() else {
                return;
            };
            let Some(place) = self.entries.get_mut(&key) else {
                continue;
            };
            if place.uses > 0 && place.entry.is_fresh(now) && turn < TURNS_MAX {
                place.uses -= 1;
                self.main.keys.push_back(key);
                continue;
            }
            self.main.bytes -= place.entry.size();
            self.drop_entry(&key, now, insertion);
            return;
        }
    }

    fn drop_entry(&mut self, key: &CacheKey, now: Duration, insertion: &mut Insertion) {
        if let Some(place) = self.entries.remove(key) {
            if place.entry.is_fresh(now) {
                insertion.evicted += 1;
            } else {
                insertion.expired += 1;
            }
            insertion.removed.push(place.entry);
        }
    }
}
