//! The counters of one limit, by key: what a reload leaves alone.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use super::counter::{Counter, Taken, Untaken};
use super::key::{Key, KeyMaker};

/// Most keys that one limit counts at a time. A counter with a window has some 600
/// bytes, so that clients who invent keys can cost a limit 150 MB and no more.
pub const KEYS_MAX: usize = 1 << 18;

/// So that requests with new keys seldom wait for each other.
const SHARDS: usize = 64;
const SHARD_KEYS_MAX: usize = KEYS_MAX / SHARDS;

/// How full a shard gets before its idle keys are first looked for.
const SWEEP_FIRST: usize = 64;

/// The counters of one limit.
#[derive(Debug)]
pub struct Table {
    keys: KeyMaker,
    /// Length of the window; none for concurrency.
    window: Option<Duration>,
    shards: Box<[RwLock<Shard>]>,
}

/// A part of the counters. Keys are hashes with a secret key already.
#[derive(Debug, Default)]
struct Shard {
    counters: HashMap<u128, Arc<Counter>, BuildHasherDefault<Folded>>,
    /// How many counters there were after idle ones were last removed, at least
    /// [`SWEEP_FIRST`].
    swept_to: usize,
    /// When that was.
    swept_at: Duration,
}

/// Why nothing was taken.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The limit is reached. The counter knows when there is room again.
    Limit(Arc<Counter>),
    /// There are [`KEYS_MAX`] keys and this is none of them.
    Keys,
}

/// What is in the counters of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Keys that have a counter.
    pub keys: u64,
    /// Reserved by requests under way.
    pub reserved: u64,
    /// Spent within the window.
    pub spent: u64,
}

impl Table {
    /// A table without counters. The window is none for concurrency.
    pub fn new(window: Option<Duration>) -> Self {
        Self {
            keys: KeyMaker::new(),
            window,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    /// Makes the table's keys.
    pub fn keys(&self) -> &KeyMaker {
        &self.keys
    }

    /// Takes from the key's counter, which is made if there is none.
    ///
    /// That is done with the shard locked for reading, though no lock is needed for it: of a
    /// key that all cores ask for, each gets the counter's line of the cache once for this
    /// and for its reference, where it would lose it again by leaving the lock in between.
    pub fn take(
        &self,
        key: Key,
        now: Duration,
        take: impl Fn(&Counter) -> Result<Taken, Untaken>,
    ) -> Result<(Arc<Counter>, Taken), Refused> {
        let key = key.bits();
        // The map uses the low bits.
        let shard = self.shards.get((key >> 64) as usize % SHARDS);
        let shard = shard.ok_or(Refused::Keys)?;
        loop {
            if let Some(counter) = shard.read().counters.get(&key) {
                match take(counter) {
                    Ok(taken) => return Ok((Arc::clone(counter), taken)),
                    Err(Untaken::Full) => return Err(Refused::Limit(Arc::clone(counter))),
                    // None in the table is: see `sweep`.
                    Err(Untaken::Retired) => {}
                }
            }
            self.add(shard, key, now)?;
        }
    }

    /// What is in the counters now. Looks at all of them.
    pub fn held(&self) -> Held {
        let mut held = Held::default();
        for shard in &self.shards {
            let shard = shard.read();
            held.keys += shard.counters.len() as u64;
            for counter in shard.counters.values() {
                let (reserved, spent) = counter.reserved_and_spent();
                held.reserved += reserved;
                held.spent += spent;
            }
        }
        held
    }

    /// Makes the key's counter, if another request has not come first and there is room.
    fn add(&self, shard: &RwLock<Shard>, key: u128, now: Duration) -> Result<(), Refused> {
        let shard = shard.upgradable_read();
        if shard.counters.contains_key(&key) {
            return Ok(());
        }
        let mut shard = RwLockUpgradableReadGuard::upgrade(shard);
        shard.sweep(now, self.window);
        if shard.counters.len() >= SHARD_KEYS_MAX {
            return Err(Refused::Keys);
        }
        let counter = Arc::new(match self.window {
            Some(window) => Counter::over(window, now),
            None => Counter::of_reservations(),
        });
        shard.counters.insert(key, counter);
        Ok(())
    }
}

impl Shard {
    /// Removes idle counters if the shard has doubled since that was last done, so that
    /// each look at one is paid for by an insertion. A shard that is full is looked
    /// through once in a while: what makes room there is time.
    fn sweep(&mut self, now: Duration, window: Option<Duration>) {
        let count = self.counters.len();
        let pause = window.map_or(Duration::from_secs(1), |window| window / 64);
        let due = match count >= SHARD_KEYS_MAX {
            true => now >= self.swept_at.saturating_add(pause),
            false => count >= self.swept_to.max(SWEEP_FIRST).saturating_mul(2),
        };
        if due {
            // Retired and removed under one lock: whoever has it for reading finds no
            // retired counter.
            self.counters.retain(|_, counter| !counter.retire(now));
            self.swept_to = self.counters.len();
            self.swept_at = now;
        }
    }
}

/// Takes the low half of a key for its hash.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not called for the keys, which are `u128`.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}
