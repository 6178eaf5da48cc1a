//! API keys, found by their hashes.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use penstock_config::keys::Key;
use penstock_config::unit::KeyHash;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::identity::Identity;

/// Longest key in bytes. Hashing takes time in proportion.
pub const KEY_BYTES_MAX: usize = 1024;

/// What is kept of a key.
pub fn hash(key: &[u8]) -> KeyHash {
    KeyHash::new(Sha256::digest(key).into())
}

/// The keys that are known. Looking one up allocates nothing.
///
/// It gives nothing away by the time that it takes: which hash is compared at all
/// depends on the hash of what was presented, of which nobody can choose a part, and
/// the comparison itself takes the same time wherever two hashes differ.
pub(super) struct Keyring {
    /// Those whose hashes begin alike stand together.
    entries: Box<[Entry]>,
    places: Places,
}

/// By the hash's first 64 bits, the first entry that has them.
type Places = HashMap<u64, usize, BuildHasherDefault<Uniform>>;

/// What is kept of one key.
pub(super) struct Entry {
    hash: KeyHash,
    not_before: Option<Duration>,
    expires: Option<Duration>,
    identity: Arc<Identity>,
}

/// Why a key opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyFault {
    Unknown,
    NotYetValid,
    Expired,
}

/// Two keys with the same hash or the same public name; which name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Twice(pub(super) Box<str>);

impl Keyring {
    /// The keys of a file and others: neither holds one twice, but both may hold the same.
    pub(super) fn new(file: Vec<Entry>, inline: &[Key]) -> Result<Self, Twice> {
        let mut entries = file;
        let inline = inline.iter().cloned().map(Entry::new);
        let inline: Vec<_> = inline.collect();
        let ids: HashSet<_> = inline.iter().map(Entry::id).collect();
        if !ids.is_empty()
            && let Some(twice) = entries.iter().find(|entry| ids.contains(entry.id()))
        {
            return Err(Twice(twice.id().into()));
        }
        entries.extend(inline);
        let mut entries = entries.into_boxed_slice();
        let places = match places(&entries) {
            Some(places) => places,
            None => {
                entries.sort_unstable_by_key(|entry| entry.hash);
                let twice = |two: &[Entry]| matches!(two, [a, b] if a.hash == b.hash);
                if let Some([_, entry]) = entries.windows(2).find(|two| twice(two)) {
                    return Err(Twice(entry.id().into()));
                }
                let places = entries.iter().enumerate().rev();
                places
                    .map(|(place, entry)| (prefix(&entry.hash), place))
                    .collect()
            }
        };
        Ok(Self { entries, places })
    }

    /// Whose key this is, at a time since the Unix epoch.
    pub(super) fn find(&self, key: &[u8], now: Duration) -> Result<&Arc<Identity>, KeyFault> {
        if key.len() > KEY_BYTES_MAX {
            return Err(KeyFault::Unknown);
        }
        let hash = hash(key);
        let candidates = match self.places.get(&prefix(&hash)) {
            Some(place) => self.entries.get(*place..).unwrap_or_default(),
            None => return Err(KeyFault::Unknown),
        };
        let entry = candidates
            .iter()
            .take_while(|entry| prefix(&entry.hash) == prefix(&hash))
            .find(|entry| words(&entry.hash).ct_eq(&words(&hash)).into())
            .ok_or(KeyFault::Unknown)?;
        if entry.not_before.is_some_and(|from| now < from) {
            return Err(KeyFault::NotYetValid);
        }
        if entry.expires.is_some_and(|until| until <= now) {
            return Err(KeyFault::Expired);
        }
        Ok(&entry.identity)
    }

    /// The identities of all keys.
    pub(super) fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.entries.iter().map(|entry| &*entry.identity)
    }
}

impl Entry {
    pub(super) fn new(key: Key) -> Self {
        let public_id = key.public_id().into();
        let consumer = Box::<str>::from(key.consumer);
        let metadata = key.metadata.iter();
        let metadata = metadata.map(|(name, text)| (name.as_str().into(), text.as_str().into()));
        let limits = key.limits.iter();
        let limits = limits.map(|(name, limit)| (name.as_str().into(), limit.get()));
        let globs = |globs: Option<Vec<_>>| Some(globs?.into_iter().collect());
        let identity = Identity {
            tenant: key.tenant.map_or_else(|| consumer.clone(), Box::from),
            consumer,
            key: public_id,
            roles: key.roles.into_iter().map(Box::from).collect(),
            models: globs(key.models),
            routes: globs(key.routes),
            limits: limits.collect(),
            metadata: metadata.collect(),
        };
        Self {
            hash: key.hash,
            not_before: key.not_before.map(|time| time.since_epoch()),
            expires: key.expires.map(|time| time.since_epoch()),
            identity: Arc::new(identity),
        }
    }

    /// The public name.
    fn id(&self) -> &str {
        &self.identity.key
    }
}

/// The places of entries of which no two have hashes that begin alike, as they hardly ever
/// do.
fn places(entries: &[Entry]) -> Option<Places> {
    let mut places = Places::with_capacity_and_hasher(entries.len(), Default::default());
    let mut all = entries.iter().zip(0..);
    let differ = all.all(|(entry, place)| places.insert(prefix(&entry.hash), place).is_none());
    differ.then_some(places)
}

/// A hash in words: the comparison takes its time for each element, be it a byte or a
/// word.
fn words(hash: &KeyHash) -> [u64; 4] {
    let (words, _) = hash.digest().as_chunks();
    let mut all = [0; 4];
    for (place, word) in all.iter_mut().zip(words) {
        *place = u64::from_ne_bytes(*word);
    }
    all
}

fn prefix(hash: &KeyHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.digest();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Takes a part of a SHA-256 for its hash. That is uniform already, and whoever makes
/// up requests cannot put an entry into the map.
#[derive(Default)]
struct Uniform(u64);

impl Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = self.0.rotate_left(8) ^ value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(yaml: &str) -> Vec<Key> {
        penstock_config::keys::parse_each(yaml, None, |key| key).unwrap()
    }

    fn entries(yaml: &str) -> Vec<Entry> {
        penstock_config::keys::parse_each(yaml, None, Entry::new).unwrap()
    }

    fn entry(key: &str, rest: &str) -> String {
        format!("- {{ hash: '{}', {rest} }}\n", hash(key.as_bytes()))
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn hashes_are_those_of_sha_256() {
        // FIPS 180-2, appendix B.1.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(b"abc").to_string(), abc);
    }

    #[test]
    fn a_key_is_found_among_many_and_no_other() {
        let many: String = (0..1000)
            .map(|n| entry(&format!("key-{n}"), &format!("consumer: c{n}, tenant: t")))
            .collect();
        let ring = Keyring::new(entries(&many), &[]).unwrap();
        for n in 0..1000 {
            let identity = ring.find(format!("key-{n}").as_bytes(), at(0)).unwrap();
            assert_eq!(&*identity.consumer, format!("c{n}"));
            assert_eq!(&*identity.tenant, "t");
        }
        for wrong in ["key-1000", "key-", "KEY-1", "key-1 ", "", "key-1\0"] {
            assert_eq!(
                ring.find(wrong.as_bytes(), at(0)),
                Err(KeyFault::Unknown),
                "{wrong}"
            );
        }
        let long = vec![b'k'; 1 << 20];
        assert_eq!(ring.find(&long, at(0)), Err(KeyFault::Unknown));
    }

    #[test]
    fn hashes_that_begin_alike_are_told_apart() {
        let ring = |last: [u8; 3]| {
            let entry = |last: u8| {
                let mut digest = *hash(b"key").digest();
                digest[31] ^= last;
                format!(
                    "- {{ hash: '{}', consumer: 'c{last}', id: i{last} }}\n",
                    KeyHash::new(digest)
                )
            };
            let text: String = last.into_iter().map(entry).collect();
            Keyring::new(entries(&text), &[]).unwrap()
        };
        for order in [[0, 1, 2], [1, 0, 2], [3, 2, 0]] {
            let ring = ring(order);
            assert_eq!(&*ring.find(b"key", at(0)).unwrap().consumer, "c0");
        }
        assert_eq!(ring([1, 2, 3]).find(b"key", at(0)), Err(KeyFault::Unknown));
    }

    #[test]
    fn a_key_works_from_its_first_second_to_before_its_last() {
        let text = entry(
            "k",
            "consumer: c, not_before: 1970-01-01T00:00:10Z, expires: 1970-01-01T00:00:20.5Z",
        );
        let ring = Keyring::new(entries(&text), &[]).unwrap();
        let tick = Duration::from_nanos(1);
        for (now, fault) in [
            (at(0), Some(KeyFault::NotYetValid)),
            (at(10) - tick, Some(KeyFault::NotYetValid)),
            (at(10), None),
            (at(20) + at(1) / 2 - tick, None),
            (at(20) + at(1) / 2, Some(KeyFault::Expired)),
            (Duration::MAX, Some(KeyFault::Expired)),
        ] {
            assert_eq!(ring.find(b"k", now).err(), fault, "{now:?}");
        }
    }

    #[test]
    fn two_keys_of_one_consumer_are_a_rotation() {
        let text = entry("old", "consumer: c, expires: 1970-01-01T00:00:20Z")
            + &entry("new", "consumer: c, not_before: 1970-01-01T00:00:10Z");
        let ring = Keyring::new(entries(&text), &[]).unwrap();
        let works = |key: &str, now| ring.find(key.as_bytes(), at(now)).is_ok();
        assert!(works("old", 5) && !works("new", 5));
        assert!(
            works("old", 15) && works("new", 15),
            "while both are out there"
        );
        assert!(!works("old", 25) && works("new", 25));
    }

    #[test]
    fn keys_of_two_places_may_not_meet() {
        let (file, inline) = (entry("k", "consumer: a"), entry("k", "consumer: b"));
        let both = |file: &str, inline: &str| Keyring::new(entries(file), &keys(inline)).err();
        assert!(both(&file, &inline).is_some(), "one key of two consumers");
        let (file, inline) = (
            entry("k", "consumer: a, id: x"),
            entry("l", "consumer: b, id: x"),
        );
        assert_eq!(both(&file, &inline), Some(Twice("x".into())));
    }
}
