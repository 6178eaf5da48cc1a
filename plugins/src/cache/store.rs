//! Where answers are kept: bounded in bytes, shared by all workers and all generations.
//!
//! The keys are spread over shards, each with a lock of its own, a share of the bytes
//! and its own queues (see [`shard`]). Time is passed in, so that a test can let it pass.

mod ghost;
mod shard;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::entry::Entry;
use crate::role::CacheKey;
use shard::{Insertion, Shard};

/// Least share of the bytes that a shard has, as long as there are several: as large as
/// the largest entry that can be configured.
const SHARD_BYTES_MIN: u64 = 16 << 20;

/// Most shards. With more, workers would hardly meet less often.
const SHARDS_MAX: u64 = 16;

/// Answers may be recorded at the same time in this part of the capacity, beside it.
const RECORDING_SHARE: u64 = 4;

/// A store of answers.
pub struct Store {
    shards: Box<[Mutex<Shard>]>,
    capacity: u64,
    /// Bytes of the answers that are being recorded.
    recording: AtomicU64,
    /// How often something was purged.
    purges: AtomicU64,
    counters: Counters,
}

/// What happened in a store since it was made.
#[derive(Default)]
struct Counters {
    stored: AtomicU64,
    evicted: AtomicU64,
    expired: AtomicU64,
    purged: AtomicU64,
}

/// What a store holds and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes that entries may take up.
    pub capacity: u64,
    /// Bytes that entries take up, with what it costs to keep them.
    pub bytes: u64,
    /// Entries, expired ones included until their place is needed.
    pub entries: u64,
    /// Bytes of the answers that are being recorded.
    pub recording: u64,
    /// Answers that were put in.
    pub stored: u64,
    /// Entries that had to make room while they were fresh.
    pub evicted: u64,
    /// Entries that made room after their time.
    pub expired: u64,
    /// Entries that were purged.
    pub purged: u64,
}

/// Which entries are purged: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// Entries of the clients of this tenant.
    pub tenant: Option<String>,
    /// Entries that answer requests for this model, as the upstream knows it.
    pub model: Option<String>,
    /// Entries whose key in hexadecimal digits, as `x-cache-key` shows it, begins so.
    pub key: Option<String>,
}

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many entries.
    pub entries: u64,
    /// How many bytes they took up.
    pub bytes: u64,
}

impl Store {
    /// An empty store for entries of `capacity` bytes together.
    pub fn new(capacity: u64) -> Self {
        let shards = (capacity / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let shard = || Mutex::new(Shard::new(capacity / shards));
        Self {
            shards: std::iter::repeat_with(shard)
                .take(shards as usize)
                .collect(),
            capacity,
            recording: AtomicU64::new(0),
            purges: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    /// The entry of `key`, if there is one that is fresh at the time `now`.
    pub(super) fn find(&self, key: &CacheKey, now: Duration) -> Option<Arc<Entry>> {
        self.shard(key)?.find(key, now)
    }

    /// How often something was purged. An answer that was asked for before a purge is not
    /// stored after it.
    pub(super) fn purges(&self) -> u64 {
        self.purges.load(Ordering::SeqCst)
    }

    /// Puts an entry in, in place of an earlier one. False if it is too large, or if
    /// something was purged since [`purges`](Self::purges) gave this number.
    pub(super) fn insert(&self, key: CacheKey, entry: Entry, now: Duration, purges: u64) -> bool {
        let Some(mut shard) = self.shard(&key) else {
            return false;
        };
        // Looked at behind the lock: a purge that comes after this finds the entry.
        if self.purges() != purges {
            return false;
        }
        let insertion = shard.insert(key, Arc::new(entry), now);
        drop(shard);
        let Insertion {
            stored,
            evicted,
            expired,
            // Freed here, when the lock is no longer held.
            removed: _removed,
        } = insertion;
        let counters = &self.counters;
        counters
            .stored
            .fetch_add(u64::from(stored), Ordering::Relaxed);
        counters.evicted.fetch_add(evicted, Ordering::Relaxed);
        counters.expired.fetch_add(expired, Ordering::Relaxed);
        stored
    }

    /// Removes entries.
    pub fn purge(&self, which: &Purge) -> Purged {
        self.purges.fetch_add(1, Ordering::SeqCst);
        let mut purged = Purged::default();
        for shard in &self.shards {
            for entry in lock(shard).remove(|key, entry| which.is_met_by(key, entry)) {
                purged.entries += 1;
                purged.bytes += entry.size();
            }
        }
        let counter = &self.counters.purged;
        counter.fetch_add(purged.entries, Ordering::Relaxed);
        purged
    }

    /// What the store holds and has done.
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = Stats {
            capacity: self.capacity,
            recording: read(&self.recording),
            stored: read(&self.counters.stored),
            evicted: read(&self.counters.evicted),
            expired: read(&self.counters.expired),
            purged: read(&self.counters.purged),
            ..Stats::default()
        };
        for shard in &self.shards {
            let shard = lock(shard);
            stats.bytes += shard.bytes();
            stats.entries += shard.len() as u64;
        }
        stats
    }

    /// Counts `bytes` as being recorded. False, and nothing counted, if there is no room.
    pub(super) fn begin_recording(&self, bytes: u64) -> bool {
        let room = self.capacity / RECORDING_SHARE;
        let fits = |recording: u64| recording.checked_add(bytes).filter(|sum| *sum <= room);
        self.recording
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .is_ok()
    }

    /// Undoes [`begin_recording`](Self::begin_recording).
    pub(super) fn end_recording(&self, bytes: u64) {
        self.recording.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn shard(&self, key: &CacheKey) -> Option<MutexGuard<'_, Shard>> {
        // The first bytes of a key choose its place within a shard.
        let number = key.0.last_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
        let index = (number % self.shards.len() as u64) as usize;
        self.shards.get(index).map(lock)
    }
}

impl Purge {
    fn is_met_by(&self, key: &CacheKey, entry: &Entry) -> bool {
        let met = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        met(&self.tenant, entry.tenant())
            && met(&self.model, entry.model())
            && self
                .key
                .as_deref()
                .is_none_or(|prefix| key.digits(prefix.len()).eq_ignore_ascii_case(prefix))
    }
}

/// A shard is whole whenever its lock is free: nothing in it panics halfway.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
