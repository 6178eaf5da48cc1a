//! The memory of keys that left the small queue.

use std::collections::{HashMap, VecDeque};

use crate::role::CacheKey;

/// Keys that left, the oldest first. Of each it keeps 64 bits: two that share them would
/// only send an entry to the wrong queue.
#[derive(Default)]
pub(super) struct Ghost {
    order: VecDeque<(u64, u64)>,
    /// When each was last remembered, as a number that counts up.
    seen: HashMap<u64, u64>,
    next: u64,
}

impl Ghost {
    /// Remembers a key, and forgets the oldest beyond `most`.
    pub(super) fn remember(&mut self, key: &CacheKey, most: usize) {
        let print = fingerprint(key);
        self.seen.insert(print, self.next);
        self.order.push_back((print, self.next));
        self.next += 1;
        while self.order.len() > most {
            let Some((print, number)) = self.order.pop_front() else {
                return;
            };
            // A key that was forgotten and remembered again stands further back too.
            if self.seen.get(&print) == Some(&number) {
                self.seen.remove(&print);
            }
        }
    }

    /// Forgets a key. True if it was remembered.
    pub(super) fn forget(&mut self, key: &CacheKey) -> bool {
        self.seen.remove(&fingerprint(key)).is_some()
    }
}

fn fingerprint(key: &CacheKey) -> u64 {
    key.0
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_until_others_push_it_out() {
        let key = |number: u8| CacheKey([number; 32]);
        let mut ghost = Ghost::default();
        for number in 0..4 {
            ghost.remember(&key(number), 3);
        }
        assert!(!ghost.forget(&key(0)), "the oldest was pushed out");
        assert!(ghost.forget(&key(1)));
        assert!(!ghost.forget(&key(1)), "once is all");
        ghost.remember(&key(1), 3);
        ghost.remember(&key(4), 3);
        assert!(
            ghost.forget(&key(1)),
            "its older place was pushed out, not the newer"
        );
        assert!(ghost.order.len() <= 3 && ghost.seen.len() <= 3);
    }
}
