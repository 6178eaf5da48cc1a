//! Where the event loop waits, which depends on how much there is to do.
//!
//! With little to do it waits in tokio's epoll set, where the ring's descriptor tells of
//! completions, and receives are made by the reader once there is something to receive:
//! the kernel, woken in the middle of the peer's send, would find the socket still locked.
//!
//! With much to do it waits in the ring: one system call hands over what is queued and
//! waits for the next completion. Tokio then only looks into its epoll set, once each
//! time round. The wait ends at a [`TICK`] if nothing completes, so that is how late a
//! timer of tokio's, or another descriptor, can be noticed then. It is an operation of the
//! ring, because a timeout of each wait would set the processor's timer twice each time,
//! which is dear in a virtual machine.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use io_uring::opcode;
use io_uring::types::Timespec;

use super::Driver;
use crate::key::{Key, Op, pack};

/// Longest wait in the ring: 2 ms.
pub(super) const TICK: Timespec = Timespec::new().nsec(2_000_000);

/// Completions by which the density is judged.
const SAMPLE: usize = 32;

/// The density is high while a sample takes less than this.
const SAMPLE_MAX: Duration = Duration::from_millis(2);

/// Waits in one turn, when a wait has brought nothing that wakes a task.
const WAITS_MAX: usize = 4;

/// How many completions come in how much time.
pub(super) struct Density {
    high: bool,
    counted: usize,
    since: Instant,
}

impl Default for Density {
    fn default() -> Self {
        Density {
            high: false,
            counted: 0,
            since: Instant::now(),
        }
    }
}

impl Density {
    pub(super) fn is_high(&self) -> bool {
        self.high
    }

    pub(super) fn count(&mut self, completions: usize) {
        self.counted += completions;
        if self.counted >= SAMPLE {
            self.high = self.since.elapsed() < SAMPLE_MAX;
            self.counted = 0;
            self.since = Instant::now();
        }
    }

    /// A tick has passed: in that time a sample should have been completed.
    fn judge_late(&mut self) {
        self.high = self.since.elapsed() < SAMPLE_MAX;
    }
}

impl Driver {
    /// The turn that the event loop makes when it has nothing to run. True if tokio may
    /// then wait; otherwise it must only look.
    pub(crate) fn park(&mut self) -> bool {
        let parks = &self.shared.parks;
        // Only this thread counts.
        parks.store(
            parks.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
        if self.density.is_high() {
            return self.wait_in_ring();
        }
        self.turn();
        true
    }

    fn wait_in_ring(&mut self) -> bool {
        self.polls = 0;
        self.take_in_orphans();
        for _ in 0..WAITS_MAX {
            self.arm_tick();
            self.queue_starved();
            self.queue_sends();
            self.drain_backlog();
            // Sends that the sockets have room for complete while they are handed over:
            // the wait is for something else, unless earlier ones show that there is none.
            let expected = if self.sends == self.sends_queued {
                self.sends_queued
            } else {
                0
            };
            self.submit_and_wait(expected + 1);
            self.reap();
            self.bound_lingering();
            if !self.wakers.is_empty() || !self.tick_armed {
                break;
            }
        }
        if !self.tick_armed {
            self.density.judge_late();
        }
        // A task that a completion woke may find more to do for the ring, but not before
        // it has run; what completions themselves have queued must not wait for that.
        self.submit_queued();
        self.show_gauges();
        false
    }

    /// Ends the wait after a while if nothing comes.
    fn arm_tick(&mut self) {
        if !self.tick_armed {
            self.tick_armed = true;
            let timeout = opcode::Timeout::new(&raw const *self.tick).build();
            self.queue_own(timeout.user_data(pack(Op::Tick, Key::NONE)));
        }
    }

    fn submit_and_wait(&mut self, completions: usize) {
        self.metrics().enters.add(1);
        self.sends_queued = 0;
        // An error is an interruption, or a queue of completions that must be emptied
        // first, which happens next in any case.
        let _ = self.ring.submitter().submit_and_wait(completions);
    }
}
