//! What the ring knows of one connection and of one listener.
//!
//! Everything that the kernel may still read or write for an operation in flight
//! lives here or in the shared buffers, never in the stream that the user holds:
//! a stream can be dropped at any moment, its slot only when nothing is in flight.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use socket2::SockAddr;

use crate::buffers::Lease;
use crate::key::Key;
use crate::slots::Slots;

/// Bytes that arrived and wait for the reader.
pub(crate) enum Received {
    /// In the buffer that the kernel filled.
    Leased(Lease),
    /// Copied out, because buffers ran low.
    Spilled { bytes: Box<[u8]>, start: usize },
}

/// One connection. Ten thousand idle ones are common, so it stays small.
pub(crate) struct Connection {
    /// The stream waits by it too, and so owns it as well.
    pub(crate) fd: Arc<OwnedFd>,

    /// We connected it, so that requests are written to it. They are often flushed in two
    /// pieces, head and body, which should leave together; answers are flushed whole.
    pub(crate) connected: bool,
    /// The next flush sends at once: there was one already, or the first is as good.
    pub(crate) flushed: bool,

    /// A receive is in flight. At most one is, and only after a reader asked, so that
    /// a reader that stops asking holds one buffer and no more.
    pub(crate) receiving: bool,
    /// Listed among those whose receive found no buffer.
    pub(crate) starved: bool,
    /// The last receive emptied the socket: the next one waits first and tries after.
    pub(crate) drained: bool,
    pub(crate) eof: bool,
    pub(crate) received: Option<Received>,
    pub(crate) read_error: Option<i32>,
    pub(crate) reader: Option<Waker>,

    /// A send is in flight. At most one is, so that bytes leave in order.
    pub(crate) sending: bool,
    /// Listed among those with bytes to send at the end of this turn.
    pub(crate) dirty: bool,
    /// What the kernel reads while `sending`; never touched then.
    pub(crate) in_flight: Vec<u8>,
    pub(crate) sent: usize,
    /// What was written since.
    pub(crate) pending: Vec<u8>,
    /// Why nothing can be sent, a failed connect included.
    pub(crate) write_error: Option<i32>,
    pub(crate) writer: Option<Waker>,

    /// A connect is in flight, to this address.
    pub(crate) connecting: Option<Box<SockAddr>>,

    /// The stream is gone; what is in flight is being brought to its end.
    pub(crate) dropped: bool,
    /// A timer bounds the last sends of a dropped stream.
    pub(crate) lingering: bool,
}

impl Connection {
    pub(crate) fn new(fd: Arc<OwnedFd>) -> Self {
        Connection {
            fd,
            connected: false,
            flushed: true,
            receiving: false,
            starved: false,
            drained: false,
            eof: false,
            received: None,
            read_error: None,
            reader: None,
            sending: false,
            dirty: false,
            in_flight: Vec::new(),
            sent: 0,
            pending: Vec::new(),
            write_error: None,
            writer: None,
            connecting: None,
            dropped: false,
            lingering: false,
        }
    }

    /// Bytes accepted from the writer and not yet taken by the kernel.
    pub(crate) fn unsent(&self) -> usize {
        self.pending.len() + self.in_flight.len() - self.sent
    }

    /// Nothing is in flight and nothing is left to send.
    pub(crate) fn is_finished(&self) -> bool {
        let left = self.write_error.is_none() && self.unsent() > 0;
        !self.receiving && !self.sending && self.connecting.is_none() && !left
    }
}

/// One listening socket.
pub(crate) struct Listening {
    pub(crate) fd: OwnedFd,
    /// A multishot accept is in flight.
    pub(crate) accepting: bool,
    /// Its cancellation was asked for.
    pub(crate) cancelling: bool,
    pub(crate) accepted: VecDeque<OwnedFd>,
    pub(crate) error: Option<i32>,
    pub(crate) waker: Option<Waker>,
    pub(crate) dropped: bool,
}

impl Listening {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Listening {
            fd,
            accepting: false,
            cancelling: false,
            accepted: VecDeque::new(),
            error: None,
            waker: None,
            dropped: false,
        }
    }
}

/// What a slot holds.
pub(crate) enum Slot {
    Connection(Connection),
    Listening(Listening),
}

impl Slots<Slot> {
    pub(crate) fn connection(&mut self, key: Key) -> Option<&mut Connection> {
        match self.get_mut(key)? {
            Slot::Connection(connection) => Some(connection),
            Slot::Listening(_) => None,
        }
    }

    pub(crate) fn listening(&mut self, key: Key) -> Option<&mut Listening> {
        match self.get_mut(key)? {
            Slot::Listening(listening) => Some(listening),
            Slot::Connection(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_stays_small() {
        assert!(
            size_of::<Slot>() <= 192,
            "a slot takes {} bytes",
            size_of::<Slot>()
        );
    }
}
