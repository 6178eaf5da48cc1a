//! The part of a ring that other threads may touch.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::key::Key;
use crate::metrics::Metrics;
use crate::watch;

/// Numbers rings, so that a stream can tell its own from another thread's.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(crate) struct Shared {
    /// Unique in the process.
    pub(crate) id: u64,
    pub(crate) metrics: Metrics,
    /// Has the ring's thread run its event loop once more, and so turn the ring.
    pub(crate) nudged: Notify,
    /// Turns of the ring that the event loop has made of itself.
    turns: AtomicU64,
    turns_seen: AtomicU64,
    /// Times that a watch was asked for.
    asked: AtomicU64,
    asked_seen: AtomicU64,
    /// A watch was asked for since a look that found the event loop turning.
    watched: AtomicBool,
    /// A look has found that the event loop makes no turns.
    stuck: AtomicBool,
    stopped: AtomicBool,
    any: AtomicBool,
    orphans: Mutex<Vec<Key>>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Shared {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            metrics: Metrics::default(),
            nudged: Notify::new(),
            turns: AtomicU64::new(0),
            turns_seen: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            asked_seen: AtomicU64::new(0),
            watched: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            any: AtomicBool::new(false),
            orphans: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// The ring is no more, and with it all that it held.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Sees to it that a turn happens soon, even if the event loop never parks. Called by
    /// the ring's thread alone.
    pub(crate) fn watch(&self) {
        let asked = self.asked.load(Ordering::Relaxed).wrapping_add(1);
        self.asked.store(asked, Ordering::Relaxed);
        if !self.watched.load(Ordering::Relaxed) {
            self.watched.store(true, Ordering::SeqCst);
            watch::wake();
        }
    }

    /// One look of the watcher's. True if there was something to look after.
    pub(crate) fn look(&self) -> bool {
        if !self.watched.load(Ordering::SeqCst) {
            return false;
        }
        let asked = self.asked.load(Ordering::Relaxed);
        let turns = self.turns.load(Ordering::Relaxed);
        let nothing_asked = self.asked_seen.swap(asked, Ordering::Relaxed) == asked;
        if self.turns_seen.swap(turns, Ordering::Relaxed) == turns {
            self.stuck.store(true, Ordering::Relaxed);
            self.nudge();
        } else if nothing_asked {
            self.watched.store(false, Ordering::SeqCst);
        }
        true
    }

    /// The event loop turns the ring. Called by the ring's thread alone.
    pub(crate) fn count_turn(&self) {
        let turns = self.turns.load(Ordering::Relaxed).wrapping_add(1);
        self.turns.store(turns, Ordering::Relaxed);
    }

    /// Whether a look has found that the event loop makes no turns, since this was last asked.
    pub(crate) fn take_stuck(&self) -> bool {
        self.stuck.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// Leaves a dropped stream or listener for its own thread to bring to an end.
    pub(crate) fn orphan(&self, key: Key) {
        if self.is_stopped() {
            return;
        }
        self.orphans
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push(key);
        self.any.store(true, Ordering::Release);
        self.nudge();
    }

    /// Whether there is something for [`Shared::take_orphans`].
    pub(crate) fn has_orphans(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) fn take_orphans(&self) -> Vec<Key> {
        // A turn without orphans pays one load.
        if !self.has_orphans() || !self.any.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(
            &mut *self
                .orphans
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
        )
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
