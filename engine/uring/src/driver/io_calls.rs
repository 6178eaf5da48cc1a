//! What streams and listeners ask of the driver.
//!
//! Each call either has its answer at once or leaves a waker. A waker that it
//! replaces goes to `retired`, because dropping one can run other code.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::null_mut;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use io_uring::opcode;
use io_uring::types::Fd;
use socket2::{SockAddr, SockRef};
use tokio::io::ReadBuf;

use super::Driver;
use crate::connection::Received;
use crate::key::{Key, Op, pack};
use crate::local::gone;

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Leaves `cx`'s waker in `place`; returns the one that it replaces, if another task's.
fn leave_waker(place: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match place {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        _ => place.replace(cx.waker().clone()),
    }
}

/// What the ring knows of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// It is done, or would be at once.
    Done,
    /// The ring was not asked, and holds nothing: the stream should receive for itself.
    Direct,
}

impl Driver {
    pub(crate) fn poll_read(
        &mut self,
        key: Key,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Read>> {
        if self.copy_received(key, buf) {
            return Poll::Ready(Ok(Read::Done));
        }
        self.poll_readable(key, cx)
    }

    /// A stream that received for itself met an error, which stays.
    pub(crate) fn receive_failed(&mut self, key: Key, error: &io::Error) {
        if let Some(connection) = self.slots.connection(key) {
            connection.read_error = error.raw_os_error();
        }
    }

    /// Copies received bytes into `buf`; false if there are none.
    fn copy_received(&mut self, key: Key, buf: &mut ReadBuf<'_>) -> bool {
        let Some(connection) = self.slots.connection(key) else {
            return false;
        };
        match connection.received.take() {
            None => false,
            Some(Received::Leased(mut lease)) => {
                let bytes = self.buffers.bytes(&lease);
                let n = bytes.len().min(buf.remaining());
                buf.put_slice(bytes.get(..n).unwrap_or_default());
                lease.advance(n);
                if lease.len() == 0 {
                    self.buffers.recycle(lease);
                } else {
                    connection.received = Some(Received::Leased(lease));
                }
                true
            }
            Some(Received::Spilled { bytes, start }) => {
                let rest = bytes.get(start..).unwrap_or_default();
                let n = rest.len().min(buf.remaining());
                buf.put_slice(rest.get(..n).unwrap_or_default());
                if n < rest.len() {
                    connection.received = Some(Received::Spilled {
                        bytes,
                        start: start + n,
                    });
                }
                true
            }
        }
    }

    /// Ready when a read would not wait: bytes, end of stream or an error are there.
    pub(crate) fn poll_readable(&mut self, key: Key, cx: &Context<'_>) -> Poll<io::Result<Read>> {
        let batches = self.batches();
        let Some(connection) = self.slots.connection(key) else {
            return Poll::Ready(Err(gone()));
        };
        if connection.received.is_some() || connection.eof {
            return Poll::Ready(Ok(Read::Done));
        }
        if let Some(code) = connection.read_error {
            return Poll::Ready(Err(errno(code)));
        }
        if !batches && !connection.receiving && !connection.starved {
            return Poll::Ready(Ok(Read::Direct));
        }
        self.retired.extend(leave_waker(&mut connection.reader, cx));
        self.queue_receive(key);
        Poll::Pending
    }

    pub(crate) fn poll_write(
        &mut self,
        key: Key,
        cx: &Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(connection) = self.slots.connection(key) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(code) = connection.write_error {
            return Poll::Ready(Err(errno(code)));
        }
        let mut room = self
            .options
            .write_buffer
            .saturating_sub(connection.unsent());
        if room == 0 {
            self.retired.extend(leave_waker(&mut connection.writer, cx));
            return Poll::Pending;
        }
        if connection.pending.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            connection.pending = spare;
        }
        let mut written = 0;
        for slice in slices {
            let taken = slice.get(..slice.len().min(room)).unwrap_or_default();
            connection.pending.extend_from_slice(taken);
            written += taken.len();
            room -= taken.len();
        }
        if !connection.dirty && written > 0 {
            connection.dirty = true;
            self.dirty.push(key);
            self.shared.watch();
        }
        Poll::Ready(Ok(written))
    }

    /// Written bytes are sent at the end of the turn without a flush, and at once with one
    /// where that gives the peer a start and costs no further system call. What a flush can
    /// tell is whether an earlier send has failed.
    pub(crate) fn poll_flush(&mut self, key: Key) -> Poll<io::Result<()>> {
        if !self.batches()
            && let Some(connection) = self.slots.connection(key)
            && std::mem::replace(&mut connection.flushed, true)
        {
            self.queue_send(key);
        }
        let Some(connection) = self.slots.connection(key) else {
            return Poll::Ready(Err(gone()));
        };
        Poll::Ready(
            connection
                .write_error
                .map_or(Ok(()), |code| Err(errno(code))),
        )
    }

    /// Waits for the last written byte to be taken by the kernel, then ends the sending
    /// direction.
    pub(crate) fn poll_shutdown(&mut self, key: Key, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let Some(connection) = self.slots.connection(key) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(code) = connection.write_error {
            return Poll::Ready(Err(errno(code)));
        }
        if connection.unsent() > 0 {
            self.retired.extend(leave_waker(&mut connection.writer, cx));
            return Poll::Pending;
        }
        match SockRef::from(&connection.fd).shutdown(Shutdown::Write) {
            // The peer has closed already: there is nothing left to end.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }

    /// Starts to connect a socket.
    pub(crate) fn start_connect(&mut self, fd: Arc<OwnedFd>, address: SockAddr) -> io::Result<Key> {
        let raw = Fd(fd.as_raw_fd());
        let key = self.adopt(fd)?;
        let address = Box::new(address);
        let entry = opcode::Connect::new(raw, address.as_ptr().cast(), address.len()).build();
        if let Some(connection) = self.slots.connection(key) {
            // The kernel reads the address when the entry is submitted: the slot keeps
            // it until the operation has completed.
            connection.connecting = Some(address);
            connection.connected = true;
            connection.flushed = false;
            self.queue(entry.user_data(pack(Op::Connect, key)));
        }
        Ok(key)
    }

    pub(crate) fn poll_connected(&mut self, key: Key, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let Some(connection) = self.slots.connection(key) else {
            return Poll::Ready(Err(gone()));
        };
        if connection.connecting.is_none() {
            return Poll::Ready(
                connection
                    .write_error
                    .map_or(Ok(()), |code| Err(errno(code))),
            );
        }
        self.retired.extend(leave_waker(&mut connection.writer, cx));
        Poll::Pending
    }

    /// The next accepted connection. An error is told once; the call after it tries again.
    pub(crate) fn poll_accept(&mut self, key: Key, cx: &Context<'_>) -> Poll<io::Result<OwnedFd>> {
        let one_by_one = self.options.accepted_max == 1;
        let Some(listening) = self.slots.listening(key) else {
            return Poll::Ready(Err(gone()));
        };
        if let Some(fd) = listening.accepted.pop_front() {
            return Poll::Ready(Ok(fd));
        }
        if let Some(code) = listening.error.take() {
            return Poll::Ready(Err(errno(code)));
        }
        self.retired.extend(leave_waker(&mut listening.waker, cx));
        // While a cancellation is under way, its end wakes this task, which asks again.
        if !listening.accepting {
            listening.accepting = true;
            let fd = Fd(listening.fd.as_raw_fd());
            let entry = match one_by_one {
                true => opcode::Accept::new(fd, null_mut(), null_mut())
                    .flags(libc::SOCK_CLOEXEC)
                    .build(),
                false => opcode::AcceptMulti::new(fd)
                    .flags(libc::SOCK_CLOEXEC)
                    .build(),
            };
            self.queue(entry.user_data(pack(Op::Accept, key)));
        }
        Poll::Pending
    }

    /// Accepts no more until the next [`Driver::poll_accept`] that finds nothing waiting.
    pub(crate) fn pause_accept(&mut self, key: Key) {
        let Some(listening) = self.slots.listening(key) else {
            return;
        };
        if listening.accepting && !listening.cancelling {
            listening.cancelling = true;
            self.queue_cancel(Op::Accept, key);
        }
    }

    /// The next connection that was accepted before a pause; none once the pause has
    /// taken effect and all are taken.
    pub(crate) fn poll_accepted(&mut self, key: Key, cx: &Context<'_>) -> Poll<Option<OwnedFd>> {
        self.pause_accept(key);
        let Some(listening) = self.slots.listening(key) else {
            return Poll::Ready(None);
        };
        if let Some(fd) = listening.accepted.pop_front() {
            return Poll::Ready(Some(fd));
        }
        if !listening.accepting {
            return Poll::Ready(None);
        }
        self.retired.extend(leave_waker(&mut listening.waker, cx));
        Poll::Pending
    }
}
