//! Where the event loop waits, which depends on how much there is to do.
//!
//! With little to do at a time it waits in tokio's epoll set, and so do the connections;
//! they receive and send by plain system calls then (see [`readiness`](crate::readiness)).
//! The ring's own descriptor is in that set too, and tells of what is left to the ring:
//! accepts, connects, and sends that found no room.
//!
//! With much to do it waits in the ring: one system call hands over what is queued and
//! waits for the next completion. Tokio then only looks into its epoll set, once each
//! time round. The wait ends at a [`TICK`] if nothing completes, so that is how late a
//! timer of tokio's, or another descriptor, can be noticed then. It is an operation of the
//! ring, because a timeout of each wait would set the processor's timer twice each time,
//! which is dear in a virtual machine.

use io_uring::opcode;
use io_uring::types::Timespec;

use super::Driver;
use crate::key::{Key, Op, pack};
use crate::options::Batching;

/// Longest wait in the ring: 2 ms.
pub(super) const TICK: Timespec = Timespec::new().nsec(2_000_000);

/// Turns by which the density is judged. Turns that brought nothing do not count.
const SAMPLE: usize = 16;

/// Operations per turn from which they go through the ring. With fewer, what the ring
/// saves is less than what its completions cost; measured with as many busy connections.
const HIGH: usize = 5;

/// Operations per turn below which they go through the ring no longer.
const LOW: usize = 3;

/// Of how many operations one may be a receive made without the ring, once the loop waits
/// in the ring. A connection that waits in epoll is noticed late there.
const DIRECT_SHARE: usize = 16;

/// Operations of one turn that show without a second one that many come at a time. Under
/// full load tokio may always have a task to run, and then no turn ends.
const PRESSED: usize = HIGH * SAMPLE;

/// Turns for which that is not believed again, when a loop whose operations went through
/// the ring made no turn: what keeps it busy are not the ring's connections, and those wait.
const RELUCTANT: usize = 256;

/// Waits in one turn, when a wait has brought nothing that wakes a task.
const WAITS_MAX: usize = 4;

/// How many operations come together.
#[derive(Default)]
pub(super) struct Density {
    stage: Stage,
    operations: usize,
    direct: usize,
    turns: usize,
    /// Operations of this turn.
    fresh: usize,
    /// Turns to come before one turn alone is believed.
    reluctance: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Few: connections make their own system calls and wait in epoll.
    #[default]
    Low,
    /// Many, of which some still wait in epoll, or that pause. The loop waits in epoll.
    Rising,
    /// Many, all through the ring: the loop waits there.
    High,
}

impl Density {
    pub(super) fn count(&mut self, operations: usize) {
        self.fresh += operations;
    }

    /// A turn is over.
    fn turned(&mut self) {
        self.reluctance = self.reluctance.saturating_sub(1);
        if self.fresh == 0 {
            return;
        }
        self.operations += std::mem::take(&mut self.fresh);
        self.turns += 1;
        if self.turns == SAMPLE {
            self.start_anew(self.next_stage());
        }
    }

    fn next_stage(&self) -> Stage {
        let all_but_few = self.direct * DIRECT_SHARE <= self.operations;
        match self.stage {
            Stage::Low if self.operations < HIGH * SAMPLE => Stage::Low,
            Stage::Low => Stage::Rising,
            _ if self.operations < LOW * SAMPLE => Stage::Low,
            Stage::Rising if !all_but_few => Stage::Rising,
            Stage::Rising | Stage::High => Stage::High,
        }
    }

    /// A tick has passed and brought nothing: many may still come, but after a pause, and
    /// that is better waited for in epoll.
    fn judge_late(&mut self) {
        self.start_anew(Stage::Rising);
    }

    /// Many polls have come, and the turn is not over.
    fn judge_early(&mut self) {
        self.reluctance = self.reluctance.saturating_sub(1);
        if self.reluctance == 0 && self.fresh >= PRESSED {
            self.start_anew(Stage::Rising);
        }
    }

    /// There was no turn for long: what waits for the ring waits for nothing.
    fn judge_stuck(&mut self) {
        if self.stage != Stage::Low {
            self.start_anew(Stage::Low);
            self.reluctance = RELUCTANT;
        }
    }

    fn start_anew(&mut self, stage: Stage) {
        *self = Density {
            stage,
            reluctance: self.reluctance,
            ..Density::default()
        };
    }
}

impl Driver {
    /// Whether connections' operations go through the ring, which hands over many at once.
    pub(super) fn batches(&self) -> bool {
        self.density.stage != Stage::Low || self.options.batching == Batching::Always
    }

    /// The ring's identity while connections are to make their own system calls.
    pub(crate) fn direct(&self) -> Option<u64> {
        (!self.batches()).then_some(self.shared.id)
    }

    /// System calls were made that could have been operations.
    pub(crate) fn count_direct(&mut self, calls: usize) {
        self.metrics().direct.add(calls as u64);
        self.density.count(calls);
        self.density.direct += calls;
    }

    /// The event loop has woken up.
    pub(crate) fn count_wakeups(&self, wakeups: usize) {
        self.metrics().wakeups.add(wakeups as u64);
    }

    /// The turn that the event loop makes when it has nothing to run. True if tokio may
    /// then wait; otherwise it must only look.
    pub(crate) fn park(&mut self) -> bool {
        self.shared.count_turn();
        // What the descriptor told of meanwhile was then left for this turn.
        let batched = self.batches();
        self.density.turned();
        if self.density.stage == Stage::High {
            return self.wait_in_ring();
        }
        if batched || !self.rests() {
            self.turn();
        }
        true
    }

    /// The turn of a loop that polls and polls, and has not parked.
    pub(crate) fn turn_early(&mut self) {
        self.shared.count_turn();
        if self.density.stage == Stage::Low {
            self.density.judge_early();
        } else {
            self.density.turned();
        }
        self.turn();
    }

    /// The turn of a loop that was found not to make any. One that had nothing to do has left
    /// nothing waiting.
    pub(crate) fn turn_late(&mut self) {
        if self.has_queued() || self.has_completed() {
            self.density.judge_stuck();
        }
        self.turn();
    }

    /// The kernel has completed something that was not taken up.
    fn has_completed(&mut self) -> bool {
        self.ring.submission().taskrun() || !self.ring.completion().is_empty()
    }

    /// Sends what was written, and says whether the ring has nothing to do besides. Then
    /// the turn would only fetch from memory what the ring and the kernel share. What
    /// completes meanwhile is told by the ring's descriptor.
    fn rests(&mut self) -> bool {
        if self.batches() || self.shared.has_orphans() {
            return false;
        }
        self.polls = 0;
        self.queue_sends();
        self.show_gauges();
        !self.unsubmitted
            && self.backlog.is_empty()
            && self.starved.is_empty()
            && self.leaving.is_empty()
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
