//! A TCP connection on the current thread's ring.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::driver::{Driver, Read};
use crate::key::Key;
use crate::local::Home;
use crate::readiness::Readiness;

/// A TCP connection on a ring.
///
/// It holds no memory that the kernel writes to, only the name of its slot, so it can
/// be sent to another thread, dropped there, and dropped at any moment. Polled on
/// another thread it returns an error.
///
/// Writing copies the bytes into a buffer of the ring, which are sent at the end of the
/// event loop's turn; a writer waits while [`Options::write_buffer`](crate::Options)
/// bytes have not been taken by the kernel. A failed send is reported by the next write
/// or flush. Dropping the stream sends what was written before it closes.
#[derive(Debug)]
pub struct TcpStream {
    home: Home,
    /// The ring holds nothing that this has not read, was asked for nothing, and has met no
    /// error. Only a poll of this stream changes that.
    settled: AtomicBool,
    readiness: Readiness,
}

impl TcpStream {
    /// Connects to `address`, with `TCP_NODELAY` set. Dropping the future gives up.
    ///
    /// # Errors
    /// What connecting met, or that this thread has no ring or no room in it.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        let fd = Arc::new(OwnedFd::from(socket));
        let home = Home::new(|driver| driver.start_connect(fd.clone(), address.into()))?;
        let stream = TcpStream {
            home,
            settled: AtomicBool::new(false),
            readiness: Readiness::new(fd),
        };
        poll_fn(|cx| stream.poll(|driver, key| driver.poll_connected(key, cx))).await?;
        Ok(stream)
    }

    /// Takes over a connected socket.
    ///
    /// # Errors
    /// This thread has no ring or no room in it.
    pub fn from_fd(fd: OwnedFd) -> io::Result<TcpStream> {
        let fd = Arc::new(fd);
        let home = Home::new(|driver| driver.adopt(fd.clone()))?;
        Ok(TcpStream {
            home,
            settled: AtomicBool::new(false),
            readiness: Readiness::new(fd),
        })
    }

    /// Waits until a read would probably return at once, without owning a buffer
    /// meanwhile. Of two tasks that wait for the same stream, only the later one is woken.
    ///
    /// # Errors
    /// What a read would return.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| {
            if self.is_direct() {
                return self.readiness.poll(cx);
            }
            match ready!(self.poll(|driver, key| driver.poll_readable(key, cx)))? {
                Read::Done => Poll::Ready(Ok(())),
                Read::Direct => {
                    self.settled.store(true, Ordering::Relaxed);
                    self.readiness.poll(cx)
                }
            }
        })
        .await
    }

    /// Ends the connection at once: what was written and not taken is thrown away when the
    /// stream is dropped, and the peer is told by a reset. What waits for the connection sees
    /// its end.
    pub fn reset(&self) {
        let socket = SockRef::from(self.readiness.fd());
        // An error means that the connection has ended by itself.
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = socket.shutdown(Shutdown::Both);
    }

    /// Whether to receive without the ring, and without asking it.
    fn is_direct(&self) -> bool {
        if !self.settled.load(Ordering::Relaxed) {
            return false;
        }
        let direct = self.home.is_direct();
        if !direct {
            // Until the ring says again that it holds nothing and was asked for nothing.
            self.settled.store(false, Ordering::Relaxed);
        }
        direct
    }

    /// Receives without the ring.
    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.readiness.poll_receive(cx, buf));
        self.home.received_directly();
        if let Err(error) = &result {
            self.settled.store(false, Ordering::Relaxed);
            self.home
                .with(|driver, key| driver.receive_failed(key, error))?;
        }
        Poll::Ready(result.map(drop))
    }

    /// Runs one poll on this stream's ring; on another thread it is an error.
    fn poll<R>(
        &self,
        work: impl FnOnce(&mut Driver, Key) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        self.home
            .with(work)
            .unwrap_or_else(|error| Poll::Ready(Err(error)))
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readiness.fd().as_fd()
    }
}

impl AsRawFd for TcpStream {
    /// The descriptor, open for as long as the stream lives.
    fn as_raw_fd(&self) -> RawFd {
        self.readiness.fd().as_raw_fd()
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.is_direct() {
            return self.poll_receive(cx, buf);
        }
        match ready!(self.poll(|driver, key| driver.poll_read(key, cx, buf)))? {
            Read::Done => Poll::Ready(Ok(())),
            Read::Direct => {
                self.settled.store(true, Ordering::Relaxed);
                self.poll_receive(cx, buf)
            }
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(|driver, key| driver.poll_write(key, cx, &[IoSlice::new(bytes)]))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(|driver, key| driver.poll_write(key, cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|driver, key| driver.poll_flush(key))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|driver, key| driver.poll_shutdown(key, cx))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        // Before its slot: what waits in epoll may wake or drop other tasks as it goes.
        self.readiness.forget();
        self.home.leave(Driver::drop_stream);
    }
}
