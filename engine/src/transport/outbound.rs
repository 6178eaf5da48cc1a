//! What is told to a connection to an upstream by the exchange that is under way on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pingora_core::protocols::Digest;

/// Bytes of an answer that are read before it is known that the client takes them. As many again
/// may be in Pingora's buffer.
const AHEAD: usize = 32 * 1024;

/// Read at once of an answer that the client does not take. Pingora reads five times more before
/// it waits for the client itself.
const HELD_BACK: usize = 4 * 1024;

/// A connection to an upstream, as those see it who know what goes over it.
///
/// Pingora reads an answer ahead of its client by up to ten pieces, which are as long as a read
/// finds bytes, up to 64 KiB. Of a client that takes nothing, that is more than its connection
/// costs otherwise, for each of its streams.
#[derive(Debug, Default)]
pub struct Outbound {
    /// What may be read at once, or [`ENDLESS`].
    allowance: AtomicUsize,
    /// The next flush is left to the one after it.
    goes_on: AtomicBool,
}

/// Nobody tells what the client takes.
const ENDLESS: usize = usize::MAX;

impl Outbound {
    pub(super) fn new() -> Outbound {
        Outbound {
            allowance: AtomicUsize::new(ENDLESS),
            goes_on: AtomicBool::new(false),
        }
    }

    /// That of a connection to an upstream, if it is one of ours.
    pub fn of(digest: &Digest) -> Option<&Arc<Outbound>> {
        let said = digest.proxy_digest.as_ref()?.user_data.as_ref()?;
        said.downcast_ref()
    }

    /// An exchange begins. Reading is bounded if its client [says](Self::taken) what it takes.
    pub fn begin(&self, is_bounded: bool) {
        let allowance = if is_bounded { AHEAD } else { ENDLESS };
        self.allowance.store(allowance, Ordering::Relaxed);
        self.goes_on.store(false, Ordering::Relaxed);
    }

    /// The client has taken what it was given.
    pub fn taken(&self) {
        self.allowance.store(AHEAD, Ordering::Relaxed);
    }

    /// The head that is about to be written is followed by a body that is here: one flush, after
    /// both, sends them together.
    pub fn goes_on(&self) {
        self.goes_on.store(true, Ordering::Relaxed);
    }

    /// Whether to pass this flush over.
    pub(super) fn skips_flush(&self) -> bool {
        // Not a swap: only the connection's own task writes.
        let skips = self.goes_on.load(Ordering::Relaxed);
        if skips {
            self.goes_on.store(false, Ordering::Relaxed);
        }
        skips
    }

    /// Bytes to read at most, if that is bounded.
    pub(super) fn most(&self) -> Option<usize> {
        match self.allowance.load(Ordering::Relaxed) {
            ENDLESS => None,
            allowance => Some(allowance.max(HELD_BACK)),
        }
    }

    pub(super) fn read(&self, bytes: usize) {
        let allowance = self.allowance.load(Ordering::Relaxed);
        if allowance != ENDLESS {
            let left = allowance.saturating_sub(bytes);
            self.allowance.store(left, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flush_is_left_to_the_next() {
        let outbound = Outbound::new();
        assert!(!outbound.skips_flush());
        outbound.goes_on();
        assert!(outbound.skips_flush());
        assert!(!outbound.skips_flush());
        outbound.goes_on();
        outbound.begin(false);
        assert!(!outbound.skips_flush(), "that was another exchange");
    }

    #[test]
    fn reading_goes_on_in_small_pieces_until_the_client_has_taken() {
        let outbound = Outbound::new();
        assert_eq!(outbound.most(), None);
        outbound.begin(true);
        assert_eq!(outbound.most(), Some(AHEAD));
        outbound.read(1000);
        assert_eq!(outbound.most(), Some(AHEAD - 1000));
        outbound.read(AHEAD);
        assert_eq!(outbound.most(), Some(HELD_BACK));
        outbound.taken();
        assert_eq!(outbound.most(), Some(AHEAD));
        outbound.begin(false);
        outbound.read(AHEAD);
        assert_eq!(outbound.most(), None);
    }
}
