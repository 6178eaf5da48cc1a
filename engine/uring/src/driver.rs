//! One thread's ring: what is queued, what is in flight, and whose it is.
//!
//! Operations are queued while tasks run and handed to the kernel once per turn of
//! the event loop, in [`Driver::turn`], which also takes the completions. The driver
//! owns every byte that the kernel may touch until the completion has arrived.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Waker;

use io_uring::types::Timespec;
use io_uring::{IoUring, squeue};

use crate::buffers::Buffers;
use crate::connection::{Connection, Listening, Slot};
use crate::key::Key;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::shared::Shared;
use crate::slots::Slots;

mod closing;
mod complete;
mod io_calls;
mod submission;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use io_calls::Read;

/// Rounds of submitting and reaping in one turn. Completions of one round can queue
/// operations for the next; past this many the rest waits for the next turn.
const ROUNDS_MAX: usize = 4;

/// Polls of streams after which a turn happens even if the event loop never parks.
const POLLS_PER_TURN_MAX: usize = 512;

pub(crate) struct Driver {
    /// Before the buffers, so that it is dropped before them.
    ring: IoUring,
    pub(crate) buffers: Buffers,
    pub(crate) shared: Arc<Shared>,
    pub(crate) options: Options,
    pub(crate) slots: Slots<Slot>,
    /// Woken after the driver is no longer borrowed: waking may run other code.
    pub(crate) wakers: Vec<Waker>,
    /// Dropped after the driver is no longer borrowed: the last waker of a task may
    /// drop the task, and that may drop streams.
    pub(crate) retired: Vec<Waker>,
    /// Connections with bytes to hand to the kernel at the end of this turn.
    dirty: Vec<Key>,
    /// Connections whose receive found no buffer.
    starved: VecDeque<Key>,
    /// Dropped connections that still send, and no timer bounds it yet.
    leaving: Vec<Key>,
    /// Operations that found the submission queue full. At most a few per connection.
    backlog: VecDeque<squeue::Entry>,
    /// Operations that the kernel has not completed.
    owed: usize,
    /// Operations were queued since the kernel was last entered.
    unsubmitted: bool,
    completions: Vec<complete::Completion>,
    spare: Vec<Vec<u8>>,
    linger: Box<Timespec>,
    tick: Box<Timespec>,
    polls: usize,
    /// How dense the completions are, and so where the loop waits.
    density: waiting::Density,
    /// The ring will end a wait that brings nothing.
    tick_armed: bool,
    /// Sends that the kernel has not completed.
    sends: usize,
    /// Those of them that it has not been handed yet.
    sends_queued: usize,
    stopped: bool,
}

impl Driver {
    pub(crate) fn new(options: Options, shared: Arc<Shared>) -> io::Result<Self> {
        let ring = build_ring(options.entries)?;
        let buffers = Buffers::new(options.buffers, options.buffer_size)?;
        buffers.register(&ring.submitter())?;
        let linger = Timespec::new()
            .sec(options.linger.as_secs())
            .nsec(options.linger.subsec_nanos());
        Ok(Driver {
            ring,
            buffers,
            slots: Slots::new(options.connections_max),
            wakers: Vec::new(),
            retired: Vec::new(),
            dirty: Vec::new(),
            starved: VecDeque::new(),
            leaving: Vec::new(),
            backlog: VecDeque::new(),
            owed: 0,
            unsubmitted: false,
            completions: Vec::new(),
            spare: Vec::new(),
            linger: Box::new(linger),
            polls: 0,
            density: waiting::Density::default(),
            tick_armed: false,
            tick: Box::new(waiting::TICK),
            sends: 0,
            sends_queued: 0,
            stopped: false,
            shared,
            options,
        })
    }

    /// A descriptor of the ring to wait on, apart from the one that the driver uses.
    pub(crate) fn ring_fd(&self) -> io::Result<OwnedFd> {
        // SAFETY: the ring, which offers its descriptor only as a number, keeps it open
        // while `self` is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }.try_clone_to_owned()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Hands over all that is queued and takes all completions, a bounded number of
    /// times over. What is left then is taken up again soon, whatever happens.
    pub(crate) fn turn(&mut self) {
        self.polls = 0;
        self.take_in_orphans();
        for _ in 0..ROUNDS_MAX {
            self.submit_queued();
            if self.reap() == 0 && !self.feeds_starved() {
                break;
            }
        }
        self.bound_lingering();
        // The last round's completions may have queued more; their own completions are
        // picked up when the ring's descriptor wakes the loop.
        self.submit_queued();
        if self.feeds_starved() {
            self.shared.nudge();
        }
        if !self.backlog.is_empty() || !self.ring.submission().is_empty() {
            // The kernel took none of it, for want of memory.
            self.shared.watch();
        }
        self.show_gauges();
    }

    /// Brings to their ends what was dropped on other threads.
    fn take_in_orphans(&mut self) {
        for key in self.shared.take_orphans() {
            self.drop_slot(key);
        }
    }

    fn show_gauges(&self) {
        self.metrics().connections.set(self.slots.len() as u64);
        self.metrics()
            .buffers_in_use
            .set(u64::from(self.buffers.leased()));
    }

    /// Takes completions that the kernel has already posted.
    pub(crate) fn collect(&mut self) {
        let submission = self.ring.submission();
        let work_waits = submission.taskrun() || submission.cq_overflow();
        drop(submission);
        if work_waits {
            self.enter();
        }
        self.reap();
    }

    /// Counts a poll; true when it is time for a turn although tasks never stop running.
    pub(crate) fn is_overdue(&mut self) -> bool {
        self.polls += 1;
        self.polls >= POLLS_PER_TURN_MAX
    }

    /// Takes a connected or accepted socket.
    pub(crate) fn adopt(&mut self, fd: Arc<OwnedFd>) -> io::Result<Key> {
        self.insert(Slot::Connection(Connection::new(fd)))
    }

    /// Takes a listening socket.
    pub(crate) fn adopt_listener(&mut self, fd: OwnedFd) -> io::Result<Key> {
        self.insert(Slot::Listening(Listening::new(fd)))
    }

    fn insert(&mut self, slot: Slot) -> io::Result<Key> {
        self.slots.insert(slot).map_err(|_| {
            io::Error::other(format!(
                "the ring holds its limit of {} connections",
                self.options.connections_max
            ))
        })
    }
}

/// A ring whose completions run when this thread enters the kernel anyway, and that
/// says so in a flag, so that its descriptor can wait in tokio's epoll set.
pub(crate) fn build_ring(entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .dontfork()
        .setup_cqsize(entries.saturating_mul(4))
        .setup_clamp()
        .setup_submit_all()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .build(entries)
}
