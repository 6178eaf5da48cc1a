//! An HTTP/2 connection whose frames are counted as they pass.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::frames::{Abuse, Meter};
use crate::transport::ask_the_stream;

/// Bytes that are read away after the end, so that the client reads why.
const DISCARDED_MAX: usize = 1 << 20;

/// Bytes that are read before the library gets to write: what it answers to them is counted
/// where it is written. Others on the same thread have their turn as well.
const TURN: usize = 16 * 1024;

/// Streams of a connection that stall before it is ended. One may be a page that nobody looks
/// at.
const STALLS_MAX: usize = 8;

/// What is known of a connection, by those who see a part of it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    abuse: OnceLock<Abuse>,
    streams: AtomicUsize,
    stalls: AtomicUsize,
    is_closing: AtomicBool,
    /// The client's closing is not waited for any more.
    is_over: AtomicBool,
    /// No stream is open any more, or there is too much of something.
    pub(super) changed: Notify,
}

impl Watch {
    /// What the client has done, if it is too much.
    pub(super) fn abuse(&self) -> Option<Abuse> {
        self.abuse.get().copied()
    }

    fn end(&self, abuse: Abuse) {
        // The first one is why.
        let _ = self.abuse.set(abuse);
    }

    /// A stream was ended since its client did not go on.
    pub(crate) fn stall(&self) {
        if self.stalls.fetch_add(1, Ordering::Relaxed) + 1 >= STALLS_MAX {
            self.end(Abuse::Stall);
            self.changed.notify_one();
        }
    }

    /// Nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
    }

    /// The client's closing is not waited for any more.
    pub(super) fn give_up(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The library has said the last it has to say.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }
}

/// A stream that is under way for as long as this lives.
pub(super) struct UnderWay(Arc<Watch>);

impl UnderWay {
    pub(super) fn new(watch: &Arc<Watch>) -> Self {
        watch.streams.fetch_add(1, Ordering::Relaxed);
        UnderWay(watch.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.changed.notify_one();
        }
    }
}

/// An HTTP/2 connection.
///
/// Once there is too much of something, nothing more is read: whoever polls finds that in the
/// [`Watch`].
#[derive(Debug)]
pub(super) struct Metered {
    stream: Stream,
    meter: Meter,
    watch: Arc<Watch>,
    /// Read since the library could write.
    turn: usize,
    is_shut: bool,
    discarded: usize,
}

impl Metered {
    pub(super) fn new(stream: Stream, meter: Meter, watch: Arc<Watch>) -> Self {
        Metered {
            stream,
            meter,
            watch,
            turn: 0,
            is_shut: false,
            discarded: 0,
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        if let Err(abuse) = self.meter.send(bytes, Instant::now) {
            self.watch.end(abuse);
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.abuse().is_some() {
            return Poll::Pending;
        }
        if this.turn >= TURN {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if read.is_pending() {
            this.turn = 0;
        }
        ready!(read)?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        this.turn += fresh.len();
        if let Err(abuse) = this.meter.receive(fresh, Instant::now) {
            this.watch.end(abuse);
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.sent(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        let mut left = written;
        for slice in slices {
            let here = left.min(slice.len());
            self.sent(slice.get(..here).unwrap_or_default());
            left -= here;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// What is unread at the close would reset the connection, and take with it what the
    /// client was told.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.watch.is_closing.store(true, Ordering::Relaxed);
        if !this.is_shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.is_shut = true;
        }
        while this.discarded < DISCARDED_MAX && !this.watch.is_over.load(Ordering::Relaxed) {
            let mut room = [const { MaybeUninit::uninit() }; 4096];
            let mut bytes = ReadBuf::uninit(&mut room);
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut bytes)) {
                Ok(()) if !bytes.filled().is_empty() => this.discarded += bytes.filled().len(),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

ask_the_stream!(Metered);
