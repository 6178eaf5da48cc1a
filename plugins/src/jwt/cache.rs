//! Tokens that were found genuine a moment ago.
//!
//! To check a signature takes a thousand times as long as to look here, and clients
//! show the same token again and again. Only genuine tokens get in, so garbage cannot
//! push them out. The table never grows: a token has its place among a few neighbours,
//! the least recently used of which gives way.
//!
//! A hit means that every byte is the same: the token itself is kept, for as long as
//! it may be used, and compared. A digest of it would take longer to compute than all
//! the rest; SipHash of the end of its signature, with a key that is drawn at start, finds
//! the place. That tells tokens apart as well as the whole does, and only the issuer can
//! choose it; two tokens with the same end would be neighbours and no more.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

/// Places with a lock of their own. Two clients only wait for each other when one of
/// them brings a new token to the place where the other's is.
const PLACES: usize = 2048;
/// Tokens that share a place.
const NEIGHBOURS: usize = 4;
/// Longest token that is kept, in bytes: with [`PLACES`] and [`NEIGHBOURS`] the bound
/// of all memory, 32 MiB for the tokens and as much again for what they say. A longer
/// one is checked each time that it is shown.
const TOKEN_BYTES_MAX: usize = 4096;
/// How much of a signature the place goes by, in bytes: 384 of its bits, or all that there
/// are. An RSA signature has five times as many, which take longer to hash than the rest of
/// the request takes to be looked at.
const SIGNATURE_BYTES: usize = 64;
/// How long a token is believed without another look, whatever its own date says.
const AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// A bounded table of genuine tokens and what they say.
pub(super) struct Cache<V> {
    hasher: RandomState,
    places: Box<[RwLock<Place<V>>]>,
}

type Place<V> = [Option<Entry<V>>; NEIGHBOURS];

struct Entry<V> {
    hash: u64,
    token: Box<[u8]>,
    /// Which issuer's keys were asked, and in which state they were.
    issuer: usize,
    generation: u64,
    until: Duration,
    /// When it was last shown, in seconds.
    used: AtomicU64,
    value: Arc<V>,
}

impl<V> Cache<V> {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            hasher,
            places: (0..PLACES).map(|_| RwLock::default()).collect(),
        }
    }

    /// What a token says, if it is known to be genuine still: `generation` gives the
    /// state of an issuer's keys. Allocates nothing.
    pub(super) fn find(
        &self,
        token: &[u8],
        now: Duration,
        generation: impl Fn(usize) -> Option<u64>,
    ) -> Option<Arc<V>> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let hash = self.hash(token);
        let place = self.place(hash)?.read();
        let mut entries = place.iter().flatten();
        let entry = entries.find(|entry| entry.hash == hash && *entry.token == *token)?;
        let fresh = now < entry.until && generation(entry.issuer) == Some(entry.generation);
        if !fresh {
            return None;
        }
        // Written once a second at most, so that a busy token's line stays shared
        // between the cores.
        let second = now.as_secs();
        if entry.used.load(Ordering::Relaxed) != second {
            entry.used.store(second, Ordering::Relaxed);
        }
        Some(Arc::clone(&entry.value))
    }

    /// Keeps a genuine token until its date, or for five minutes.
    pub(super) fn keep(
        &self,
        token: &[u8],
        (issuer, generation): (usize, u64),
        (now, until): (Duration, Duration),
        value: Arc<V>,
    ) {
        if token.len() > TOKEN_BYTES_MAX {
            return;
        }
        let hash = self.hash(token);
        let entry = Entry {
            hash,
            token: token.into(),
            issuer,
            generation,
            until: until.min(now + AGE_MAX),
            used: AtomicU64::new(now.as_secs()),
            value,
        };
        let Some(place) = self.place(hash) else {
            return;
        };
        let mut place = place.write();
        let worth = |slot: &Option<Entry<V>>| match slot {
            Some(old) if old.hash == hash && *old.token == *entry.token => (0, 0),
            None => (1, 0),
            Some(old) if old.until <= now => (2, 0),
            Some(old) => (3, old.used.load(Ordering::Relaxed)),
        };
        if let Some(slot) = place.iter_mut().min_by_key(|slot| worth(slot)) {
            // What gives way is freed after the lock is.
            let old = slot.replace(entry);
            drop(place);
            drop(old);
        }
    }

    fn hash(&self, token: &[u8]) -> u64 {
        let end = token.len().saturating_sub(SIGNATURE_BYTES);
        let end = token.get(end..).unwrap_or_default();
        let signature = memchr::memrchr(b'.', end).map_or(0, |dot| dot + 1);
        self.hasher
            .hash_one(end.get(signature..).unwrap_or_default())
    }

    fn place(&self, hash: u64) -> Option<&RwLock<Place<V>>> {
        self.places.get(hash as usize % PLACES)
    }
}

#[cfg(test)]
mod tests;
