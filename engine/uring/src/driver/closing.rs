//! How connections, listeners and the ring itself come to an end.
//!
//! An end is never abrupt: what is in flight is cancelled, or finished within a
//! bound, and memory goes only when the kernel has let go of it.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use io_uring::opcode;
use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use socket2::SockRef;

use super::Driver;
use crate::connection::{Received, Slot};
use crate::key::{Key, Op, pack};
use crate::slots::Slots;

/// How long a stop waits for the kernel to give up what is in flight.
const STOP_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long a stop waits for one completion before it asks again.
const STOP_STEP: Timespec = Timespec::new().nsec(20_000_000);

impl Driver {
    /// Brings a stream or a listener, whichever it is, to its end.
    pub(crate) fn drop_slot(&mut self, key: Key) {
        self.drop_stream(key);
        self.drop_listener(key);
    }

    /// The stream is gone: finish what was accepted for sending, cancel the rest, and
    /// free the slot when the last operation on it has completed.
    pub(crate) fn drop_stream(&mut self, key: Key) {
        let Some(connection) = self.slots.connection(key) else {
            return;
        };
        if connection.dropped {
            return;
        }
        connection.dropped = true;
        let receiving = connection.receiving;
        let connecting = connection.connecting.is_some();
        if connecting {
            connection.pending.clear();
        }
        self.retired.extend(connection.reader.take());
        self.retired.extend(connection.writer.take());
        let received = connection.received.take();
        self.discard(received);
        if receiving {
            self.queue_cancel(Op::Receive, key);
        }
        if connecting {
            self.queue_cancel(Op::Connect, key);
        }
        self.queue_send(key);
        if self
            .slots
            .connection(key)
            .is_some_and(|connection| connection.sending)
        {
            self.leaving.push(key);
        }
        self.free_if_finished(key);
    }

    /// Gives back the buffer of bytes that nobody will read.
    pub(super) fn discard(&mut self, received: Option<Received>) {
        if let Some(Received::Leased(lease)) = received {
            self.buffers.recycle(lease);
        }
    }

    /// Starts the clock for dropped connections whose last bytes did not leave at once.
    pub(super) fn bound_lingering(&mut self) {
        let mut leaving = std::mem::take(&mut self.leaving);
        for key in leaving.drain(..) {
            let Some(connection) = self.slots.connection(key) else {
                continue;
            };
            if connection.sending && !connection.lingering {
                connection.lingering = true;
                let timeout = opcode::Timeout::new(&raw const *self.linger).build();
                self.queue(timeout.user_data(pack(Op::Linger, key)));
            }
        }
        // Nothing above adds to the list; its allocation serves the next turn.
        self.leaving = leaving;
    }

    /// Ends a send whose time is over. What it may still take is not continued.
    pub(super) fn give_up_sending(&mut self, key: Key) {
        let Some(connection) = self.slots.connection(key) else {
            return;
        };
        if connection.sending {
            connection.write_error = Some(libc::ETIMEDOUT);
            connection.pending.clear();
            self.queue_cancel(Op::Send, key);
        }
    }

    pub(super) fn free_if_finished(&mut self, key: Key) {
        let Some(connection) = self.slots.connection(key) else {
            return;
        };
        if !connection.dropped || !connection.is_finished() {
            return;
        }
        let lingering = connection.lingering;
        if self.stopped {
            // The stream may be alive, and wait in epoll for what will never come. An error
            // says that the connection has ended by itself.
            let _ = SockRef::from(&connection.fd).shutdown(Shutdown::Both);
        }
        if let Some(Slot::Connection(connection)) = self.slots.remove(key) {
            self.keep_spare(connection.in_flight);
            self.keep_spare(connection.pending);
        }
        if lingering {
            self.queue_cancel(Op::Linger, key);
        }
    }

    /// The listener is gone: connections that it accepted and nobody took are closed.
    pub(crate) fn drop_listener(&mut self, key: Key) {
        let Some(listening) = self.slots.listening(key) else {
            return;
        };
        if listening.dropped {
            return;
        }
        listening.dropped = true;
        listening.accepted.clear();
        let accepting = listening.accepting;
        let cancelling = listening.cancelling;
        self.retired.extend(listening.waker.take());
        if !accepting {
            self.slots.remove(key);
        } else if !cancelling {
            self.queue_cancel(Op::Accept, key);
        }
    }

    /// Ends everything, waits for the kernel to let go of our memory, and leaves in
    /// `wakers` all who were waiting, to be told that there is no ring any more.
    pub(crate) fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        self.shared.stop();
        let deadline = Instant::now() + STOP_WAIT_MAX;
        for key in self.slots.keys() {
            self.wake_all(key);
            self.drop_slot(key);
        }
        self.turn();
        // What is still sending after one turn has no time left to finish.
        for key in self.slots.keys() {
            self.give_up_sending(key);
        }
        while self.owed > 0 && Instant::now() < deadline {
            // Again each time: a completion may have queued another operation.
            let all = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
            self.queue(all.user_data(pack(Op::Cancel, Key::NONE)));
            self.drain_backlog();
            // An error is a timeout or an interruption; the deadline bounds the loop.
            let _ = self
                .ring
                .submitter()
                .submit_with_args(1, &SubmitArgs::new().timespec(&STOP_STEP));
            self.reap();
        }
        self.show_gauges();
    }

    fn wake_all(&mut self, key: Key) {
        if let Some(connection) = self.slots.connection(key) {
            self.wakers.extend(connection.reader.take());
            self.wakers.extend(connection.writer.take());
        } else if let Some(listening) = self.slots.listening(key) {
            self.wakers.extend(listening.waker.take());
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop();
        if self.owed > 0 {
            // The kernel still owns memory of ours: better to leak it than to let it be
            // written after it is freed.
            std::mem::forget(std::mem::replace(&mut self.slots, Slots::new(0)));
            self.buffers.leak();
        }
    }
}
