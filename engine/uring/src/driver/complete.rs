//! What happens when the kernel has completed an operation.

use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::cqueue;
use socket2::SockRef;

use super::Driver;
use crate::connection::Received;
use crate::key::{Key, Op, unpack};

/// A completion, copied out of the queue so that the queue is free again at once.
#[derive(Clone, Copy)]
pub(super) struct Completion {
    pub(super) user_data: u64,
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Driver {
    /// Takes and handles all completions that are there. Says how many.
    pub(super) fn reap(&mut self) -> usize {
        let mut completions = std::mem::take(&mut self.completions);
        for entry in self.ring.completion() {
            completions.push(Completion {
                user_data: entry.user_data(),
                result: entry.result(),
                flags: entry.flags(),
            });
        }
        let count = completions.len();
        for completion in completions.drain(..) {
            self.complete(completion);
        }
        self.completions = completions;
        self.density.count(count);
        count
    }

    pub(super) fn complete(&mut self, completion: Completion) {
        if !cqueue::more(completion.flags) {
            self.owed = self.owed.saturating_sub(1);
        }
        let Some((op, key)) = unpack(completion.user_data) else {
            return;
        };
        if op == Op::Tick {
            // The loop's own, not a connection's.
            self.tick_armed = false;
            return;
        }
        self.metrics().completions.add(1);
        match op {
            Op::Receive => self.received(key, completion),
            Op::Send => {
                self.sends = self.sends.saturating_sub(1);
                self.sent(key, completion.result);
            }
            Op::Connect => self.connected(key, completion.result),
            Op::Accept => self.accepted(key, completion),
            Op::Linger => self.lingered(key, completion.result),
            Op::Cancel => self.cancelled(key, completion.result),
            Op::Tick => {}
        }
    }

    fn received(&mut self, key: Key, completion: Completion) {
        let received = self.take_over(key, completion);
        let Some(connection) = self.slots.connection(key) else {
            self.discard(received);
            self.metrics().late_completions.add(1);
            return;
        };
        connection.receiving = false;
        connection.drained = !cqueue::sock_nonempty(completion.flags);
        if connection.dropped {
            self.discard(received);
            self.free_if_finished(key);
            return;
        }
        match -completion.result {
            0 => connection.eof = true,
            ..0 => connection.received = received,
            libc::ENOBUFS => {
                connection.starved = true;
                self.starved.push_back(key);
                self.metrics().buffer_exhaustion.add(1);
                return;
            }
            libc::EINTR | libc::EAGAIN => {
                self.queue_receive(key);
                return;
            }
            errno => connection.read_error = Some(errno),
        }
        self.wakers.extend(connection.reader.take());
    }

    /// Takes over the buffer of a completed receive, or copies it out when buffers are low.
    fn take_over(&mut self, key: Key, completion: Completion) -> Option<Received> {
        let len = usize::try_from(completion.result).unwrap_or(0);
        let id = cqueue::buffer_select(completion.flags)?;
        let lease = self.buffers.lease(id, len);
        let wanted = self
            .slots
            .connection(key)
            .is_some_and(|connection| !connection.dropped);
        if len == 0 || !wanted {
            self.buffers.recycle(lease);
            return None;
        }
        if self.buffers.leased() <= self.buffers.count() / 2 {
            return Some(Received::Leased(lease));
        }
        // A few readers that do not read must not take the buffers from all.
        let bytes = self.buffers.bytes(&lease).into();
        self.buffers.recycle(lease);
        self.metrics().buffers_spilled.add(1);
        Some(Received::Spilled { bytes, start: 0 })
    }

    /// A send has taken `result` bytes, or failed.
    pub(super) fn sent(&mut self, key: Key, result: i32) {
        let Some(connection) = self.slots.connection(key) else {
            self.metrics().late_completions.add(1);
            return;
        };
        connection.sending = false;
        connection.sent += usize::try_from(result).unwrap_or(0);
        let again = result > 0 || matches!(-result, libc::EINTR | libc::EAGAIN);
        if connection.write_error.is_some() {
            // Given up. A reset tells the peer that what it has is not all; a failure to
            // arrange for that leaves it with an early end of stream.
            let _ = SockRef::from(&connection.fd).set_linger(Some(Duration::ZERO));
        } else if again && connection.sent < connection.in_flight.len() {
            self.send_rest(key);
            self.metrics().short_sends.add(u64::from(result > 0));
            return;
        } else if !again {
            // A send of some bytes that took none has no meaning but a dead peer.
            connection.write_error = Some(if result == 0 { libc::EPIPE } else { -result });
        }
        connection.sent = 0;
        let done = std::mem::take(&mut connection.in_flight);
        if connection.write_error.is_some() {
            connection.pending = Vec::new();
        }
        self.wakers.extend(connection.writer.take());
        self.keep_spare(done);
        self.queue_send(key);
        self.free_if_finished(key);
    }

    fn connected(&mut self, key: Key, result: i32) {
        let Some(connection) = self.slots.connection(key) else {
            self.metrics().late_completions.add(1);
            return;
        };
        connection.connecting = None;
        if result < 0 {
            connection.write_error = Some(-result);
        }
        self.wakers.extend(connection.writer.take());
        self.free_if_finished(key);
    }

    fn accepted(&mut self, key: Key, completion: Completion) {
        let cancelled = completion.result == -libc::ECANCELED;
        let accepted = (completion.result >= 0).then(|| {
            // SAFETY: a successful accept returns, as a number, a descriptor that nobody
            // else has: io_uring has no other way to hand one over.
            unsafe { OwnedFd::from_raw_fd(completion.result) }
        });
        if accepted.is_none() && !cancelled {
            self.metrics().accept_errors.add(1);
        }
        let accepted_max = self.options.accepted_max;
        let Some(listening) = self.slots.listening(key) else {
            self.metrics().late_completions.add(1);
            return;
        };
        if !cqueue::more(completion.flags) {
            listening.accepting = false;
            listening.cancelling = false;
        }
        if listening.dropped {
            if !listening.accepting {
                self.slots.remove(key);
            }
            return;
        }
        match accepted {
            Some(fd) => listening.accepted.push_back(fd),
            None if cancelled => {}
            None => listening.error = Some(-completion.result),
        }
        // Also after a cancellation: an accept that was asked for meanwhile starts anew.
        self.wakers.extend(listening.waker.take());
        let full = listening.accepted.len() >= accepted_max;
        if full && listening.accepting && !listening.cancelling {
            listening.cancelling = true;
            self.queue_cancel(Op::Accept, key);
        }
    }

    /// A cancellation that found nothing to cancel may be asked for again.
    fn cancelled(&mut self, key: Key, result: i32) {
        if result < 0
            && let Some(listening) = self.slots.listening(key)
        {
            listening.cancelling = false;
        }
    }

    /// The time of a dropped connection is over, or its timer was cancelled.
    fn lingered(&mut self, key: Key, result: i32) {
        let Some(connection) = self.slots.connection(key) else {
            return;
        };
        connection.lingering = false;
        if result == -libc::ETIME && connection.sending {
            // Its send ends with an error, and that frees the slot.
            self.metrics().linger_timeouts.add(1);
            self.give_up_sending(key);
        }
    }
}
