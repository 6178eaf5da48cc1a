//! A connection to an HTTP/1 upstream, whose answers are looked at before they are parsed.
//!
//! An answer whose head says twice how long it is ends the connection, so that nothing of it
//! is read as the next answer (see [`AnswerHead`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use pingora_core::protocols::Stream;
use pingora_core::protocols::raw_connect::ProxyDigest;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::through::ask_the_stream;
use crate::strict::AnswerHead;

/// A connection that fails at the head of an answer that says twice how long it is.
#[derive(Debug)]
pub struct Checked {
    stream: Stream,
    head: AnswerHead,
    /// Another exchange has begun on it.
    begins: AtomicBool,
}

impl Checked {
    /// Looks at the answers on a connection that is new.
    pub fn new(stream: Stream) -> Checked {
        Checked {
            stream,
            head: AnswerHead::default(),
            begins: AtomicBool::new(false),
        }
    }

    /// Pingora asks this once for each exchange, before it sends the request.
    fn proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.begins.store(true, Ordering::Relaxed);
        self.stream.get_proxy_digest()
    }
}

impl AsyncRead for Checked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Checked {
            stream,
            head,
            begins,
        } = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buf))?;
        if std::mem::take(begins.get_mut()) {
            *head = AnswerHead::default();
        }
        let new = buf.filled().get(before..).unwrap_or_default();
        let checked = head.check(new);
        Poll::Ready(checked.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault)))
    }
}

impl AsyncWrite for Checked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

ask_the_stream!(Checked, Checked::proxy_digest);
