//! How operations reach the kernel.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use socket2::SockRef;

use super::Driver;
use crate::buffers;
use crate::key::{Key, Op, pack};

/// Send buffers kept for the next connection that writes.
const SPARE_BUFFERS_MAX: usize = 64;

/// Capacity past which a send buffer is not kept.
const SPARE_CAPACITY_MAX: usize = 64 * 1024;

/// `IORING_RECVSEND_POLL_FIRST` of `linux/io_uring.h`: wait for readiness before the
/// first try, for a socket that was empty a moment ago.
const POLL_FIRST: u16 = 1;

/// `IORING_ENTER_GETEVENTS` of `linux/io_uring.h`.
const ENTER_GETEVENTS: u32 = 1;

impl Driver {
    /// Queues what waits for this moment, and hands the queue to the kernel.
    pub(super) fn submit_queued(&mut self) {
        self.queue_starved();
        self.queue_sends();
        self.drain_backlog();
        self.enter();
    }

    /// Something waits for the next turn to be handed to the kernel.
    pub(crate) fn has_queued(&mut self) -> bool {
        !self.dirty.is_empty() || !self.backlog.is_empty() || !self.ring.submission().is_empty()
    }

    /// Queues one operation of a connection.
    pub(super) fn queue(&mut self, entry: squeue::Entry) {
        self.metrics().operations.add(1);
        self.shared.watch();
        self.queue_own(entry);
    }

    /// Queues one operation, which may be the loop's own.
    pub(super) fn queue_own(&mut self, entry: squeue::Entry) {
        self.owed += 1;
        self.unsubmitted = true;
        if self.backlog.is_empty() {
            if self.push(&entry) {
                return;
            }
            self.metrics().submission_full.add(1);
            self.enter();
            if self.push(&entry) {
                return;
            }
        }
        self.backlog.push_back(entry);
    }

    fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the kernel has no safe interface to be handed a buffer's address. What
        // an entry points to is owned by its connection's slot or by the driver, and both
        // keep it, unmoved and unchanged, until `owed` says that the completion arrived.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    pub(super) fn drain_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if self.push(&entry) {
                continue;
            }
            self.enter();
            if !self.push(&entry) {
                // The kernel takes nothing, for want of memory: the turn sets a watch.
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    /// Enters the kernel if there is something to submit or to collect.
    pub(super) fn enter(&mut self) {
        self.unsubmitted = false;
        loop {
            let submission = self.ring.submission();
            let queued = submission.len();
            let overflow = submission.cq_overflow();
            let collect = submission.taskrun() || overflow;
            drop(submission);
            if queued == 0 && !collect {
                return;
            }
            if overflow {
                self.metrics().completion_overflow.add(1);
            }
            self.metrics().enters.add(1);
            self.sends_queued = 0;
            let flags = if collect { ENTER_GETEVENTS } else { 0 };
            // SAFETY: `submit` would not say whether the queue is empty without reading it
            // again. No signal mask is passed, and what the queued entries point to is
            // alive, as `push` explains.
            let entered = unsafe {
                self.ring
                    .submitter()
                    .enter::<libc::sigset_t>(queued as u32, 0, flags, None)
            };
            match entered {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // EBUSY and EAGAIN: completions must be taken first, which every caller
                // does next. Anything else would be a broken ring, and shows as such when
                // its connections time out.
                _ => return,
            }
        }
    }

    pub(super) fn queue_cancel(&mut self, op: Op, key: Key) {
        let cancel = opcode::AsyncCancel::new(pack(op, key)).build();
        self.queue(cancel.user_data(pack(Op::Cancel, key)));
    }

    /// Asks the kernel for the next bytes of a connection, unless it was asked already.
    pub(super) fn queue_receive(&mut self, key: Key) {
        let Some(connection) = self.slots.connection(key) else {
            return;
        };
        if connection.receiving || connection.starved || connection.dropped {
            return;
        }
        connection.receiving = true;
        let fd = connection.fd.as_raw_fd();
        let entry = receive(fd, key, connection.drained);
        self.queue(entry);
    }

    /// There are receives that found no buffer, and buffers for them.
    pub(super) fn feeds_starved(&self) -> bool {
        !self.starved.is_empty() && self.buffers.free() > 0
    }

    /// Receives that found no buffer are queued again once one is free.
    pub(super) fn queue_starved(&mut self) {
        let mut free = self.buffers.free();
        while free > 0
            && let Some(key) = self.starved.pop_front()
        {
            let Some(connection) = self.slots.connection(key) else {
                continue;
            };
            connection.starved = false;
            if !connection.dropped {
                free -= 1;
                self.queue_receive(key);
            }
        }
    }

    pub(super) fn queue_sends(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            if let Some(connection) = self.slots.connection(key) {
                connection.dirty = false;
                self.queue_send(key);
            }
        }
        // Nothing above adds to the list; its allocation serves the next turn.
        self.dirty = dirty;
    }

    /// Hands a connection's written bytes to the kernel, unless a send is in flight.
    pub(super) fn queue_send(&mut self, key: Key) {
        let Some(connection) = self.slots.connection(key) else {
            return;
        };
        let idle = !connection.sending && connection.write_error.is_none();
        if !idle || connection.unsent() == 0 || connection.connecting.is_some() {
            return;
        }
        connection.flushed = !connection.connected;
        if connection.sent == connection.in_flight.len() {
            let pending = std::mem::take(&mut connection.pending);
            let done = std::mem::replace(&mut connection.in_flight, pending);
            connection.sent = 0;
            self.keep_spare(done);
        }
        if !self.batches() && self.send_directly(key) {
            return;
        }
        self.send_rest(key);
    }

    /// Sends at once, unless the socket has no room for it; then the ring is to wait for
    /// that. A failure is found by the ring as well, which tells of it as of any other.
    fn send_directly(&mut self, key: Key) -> bool {
        let Some(connection) = self.slots.connection(key) else {
            return false;
        };
        let rest = connection.in_flight.get(connection.sent..);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let socket = SockRef::from(&connection.fd);
        let Ok(sent) = socket.send_with_flags(rest.unwrap_or_default(), flags) else {
            return false;
        };
        self.count_direct(1);
        self.sent(key, i32::try_from(sent).unwrap_or(i32::MAX));
        true
    }

    /// Sends what is left of the bytes in flight.
    pub(super) fn send_rest(&mut self, key: Key) {
        let Some(connection) = self.slots.connection(key) else {
            return;
        };
        let Some(rest) = connection.in_flight.get(connection.sent..) else {
            return;
        };
        let send = opcode::Send::new(
            Fd(connection.fd.as_raw_fd()),
            rest.as_ptr(),
            rest.len() as u32,
        )
        .flags(libc::MSG_NOSIGNAL)
        .build()
        .user_data(pack(Op::Send, key));
        connection.sending = true;
        self.sends += 1;
        self.sends_queued += 1;
        self.queue(send);
    }

    /// Keeps a send buffer for the next writer, so that an idle connection owns none.
    pub(super) fn keep_spare(&mut self, mut buffer: Vec<u8>) {
        let kept = 1..=SPARE_CAPACITY_MAX;
        if kept.contains(&buffer.capacity()) && self.spare.len() < SPARE_BUFFERS_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// A receive into whichever shared buffer is free.
fn receive(fd: RawFd, key: Key, drained: bool) -> squeue::Entry {
    opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0)
        .buf_group(buffers::GROUP)
        .ioprio(if drained { POLL_FIRST } else { 0 })
        .build()
        .flags(squeue::Flags::BUFFER_SELECT)
        .user_data(pack(Op::Receive, key))
}
