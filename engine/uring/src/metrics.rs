//! What a ring has done, as counters that another thread may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        // Only the ring's own thread writes, so a load and a store do; a locked
        // addition would cost more than the rest of some operations.
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// An addition by a thread that is not the ring's own.
    pub(crate) fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// Counters of one ring since it was made, and gauges of its present state.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Operations handed to the ring.
    pub operations: Counter,
    /// Receives and sends made without the ring, since too few came at a time.
    pub direct: Counter,
    /// Completions taken from the ring.
    pub completions: Counter,
    /// System calls that entered the ring.
    pub enters: Counter,
    /// Times that the event loop woke up.
    pub wakeups: Counter,
    /// Gauge: connections that the ring holds, dropped ones with work left included.
    pub connections: Counter,
    /// Gauge: receive buffers that are filled and not yet read.
    pub buffers_in_use: Counter,
    /// Receives that found no free buffer and were queued again.
    pub buffer_exhaustion: Counter,
    /// Received chunks copied to the heap because buffers ran low.
    pub buffers_spilled: Counter,
    /// Operations that found the submission queue full and went over after it was drained.
    pub submission_full: Counter,
    /// Times that the completion queue was full and the kernel kept completions back.
    pub completion_overflow: Counter,
    /// Sends that the kernel took only in part and that were continued.
    pub short_sends: Counter,
    /// Accepts that failed, for want of descriptors or otherwise.
    pub accept_errors: Counter,
    /// Completions for a slot that had been given to another connection.
    pub late_completions: Counter,
    /// Dropped connections whose last bytes did not leave in time.
    pub linger_timeouts: Counter,
    /// Streams polled on a thread that does not own their ring.
    pub foreign_polls: Counter,
    /// Streams and listeners dropped on a thread that does not own their ring.
    pub foreign_drops: Counter,
}
