//! One connection's socket, which the service above hyper can order to be reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

/// The service's end of a connection: orders, nothing more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fuse(Arc<AtomicBool>);

impl Fuse {
    /// From now on the connection neither reads nor writes, and closing it sends a reset. The
    /// caller returns an error to hyper next, which is what makes the connection notice.
    pub(crate) fn blow(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_blown(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// hyper's end of a connection.
#[derive(Debug)]
pub(crate) struct Socket {
    io: TokioIo<TcpStream>,
    fuse: Fuse,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, fuse: Fuse) -> Socket {
        Socket {
            io: TokioIo::new(stream),
            fuse,
        }
    }

    fn intact(&mut self) -> io::Result<Pin<&mut TokioIo<TcpStream>>> {
        match self.fuse.is_blown() {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(Pin::new(&mut self.io)),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.fuse.is_blown() {
            // With no time to linger, close(2) discards what is unsent and sends RST. Where the
            // option cannot be set the peer sees FIN instead, and there is nobody to tell.
            let _ = SockRef::from(self.io.inner()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.intact()?.poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.intact()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.intact()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.intact()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A shutdown would send FIN ahead of the reset.
        self.intact()?.poll_shutdown(cx)
    }
}
