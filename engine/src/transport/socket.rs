//! A socket as Pingora wants to see one.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use penstock_uring::TcpStream;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::gather::Gather;
use super::outbound::Outbound;

/// A connection whose bytes are moved by `S`.
#[derive(Debug)]
pub struct Socket<S: Bytes> {
    stream: S,
    fd: RawFd,
    digest: Arc<SocketDigest>,
    upstream: Option<Upstream>,
}

/// What only connections to upstreams have.
#[derive(Debug)]
struct Upstream {
    outbound: Arc<Outbound>,
    /// Carries the same to where an exchange learns of its connection.
    digest: Arc<ProxyDigest>,
}

/// A connection on the worker's ring, which gathers writes by itself.
pub type RingStream = Socket<TcpStream>;

/// A connection on epoll.
pub type EpollStream = Socket<Gather>;

/// Read at once from an upstream whose answers are bounded, at most.
const READ_MAX: usize = 32 * 1024;

thread_local! {
    /// What is read there lies here on its way.
    static PASSAGE: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into());
}

impl RingStream {
    /// Wraps an established connection.
    pub fn on_ring(stream: TcpStream) -> Self {
        let fd = stream.as_raw_fd();
        Socket {
            stream,
            fd,
            digest: Arc::new(SocketDigest::from_raw_fd(fd)),
            upstream: None,
        }
    }

    /// Waits until a read would return at once, without owning a buffer meanwhile.
    ///
    /// # Errors
    /// What a read would return.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }
}

impl EpollStream {
    /// Wraps an established connection with this address.
    pub fn on_epoll(stream: tokio::net::TcpStream, peer: SocketAddr) -> Self {
        let fd = stream.as_raw_fd();
        Socket {
            stream: Gather::new(stream),
            fd,
            digest: Arc::new(speaking_for(fd, peer)),
            upstream: None,
        }
    }

    /// Waits until a read would probably return at once.
    ///
    /// # Errors
    /// What waiting met.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.get_ref().readable().await
    }
}

/// What is known of a socket, with an address that the kernel need not be asked for.
fn speaking_for(fd: RawFd, address: SocketAddr) -> SocketDigest {
    let digest = SocketDigest::from_raw_fd(fd);
    let address = PeerAddress::Inet(address);
    // It is new, so that there is none yet.
    let _ = digest.peer_addr.set(Some(address));
    digest
}

/// What a socket's bytes can be moved by.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// Sends what was written and not flushed, if that takes no waiting.
    fn let_go(&mut self);

    /// Ends the connection at once. What was written and not taken is thrown away, and the
    /// client is told by a reset.
    fn reset(&self);
}

impl Bytes for TcpStream {
    fn let_go(&mut self) {}

    fn reset(&self) {
        TcpStream::reset(self);
    }
}

impl Bytes for Gather {
    fn let_go(&mut self) {
        if !self.buffer().is_empty() {
            // It is given up: nobody is left to hear of an error.
            let _ = self.get_ref().try_write(self.buffer());
        }
    }

    fn reset(&self) {
        let socket = SockRef::from(self.get_ref());
        // An error means that the connection has ended by itself.
        let _ = socket.set_linger(Some(Duration::ZERO));
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
}

impl<S: Bytes> Socket<S> {
    /// It leads to an upstream.
    pub(super) fn outbound(mut self) -> Self {
        let outbound = Arc::new(Outbound::new());
        // Pingora means this for what a proxy between here and there has said; there is none.
        let response = Box::new(http::Response::new(()).into_parts().0.into());
        let digest = ProxyDigest::new(response, Some(Box::new(outbound.clone())));
        let digest = Arc::new(digest);
        self.upstream = Some(Upstream { outbound, digest });
        self
    }

    /// Reads as much as is good while the client may not take it.
    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: usize,
    ) -> Poll<io::Result<()>> {
        PASSAGE.with_borrow_mut(|passage| {
            let most = most.min(buf.remaining()).min(passage.len());
            let mut some = ReadBuf::new(passage.get_mut(..most).unwrap_or_default());
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut some))?;
            buf.put_slice(some.filled());
            if let Some(upstream) = &self.upstream {
                upstream.outbound.read(some.filled().len());
            }
            Poll::Ready(Ok(()))
        })
    }
}

/// The alert that ends a TLS handshake is written and not flushed.
impl<S: Bytes> Drop for Socket<S> {
    fn drop(&mut self) {
        self.stream.let_go();
    }
}

/// A client's socket.
pub trait Client: IO {
    /// Ends the connection at once, with a reset.
    fn reset(&self);

    /// Its other end speaks for somebody else: from now on this is the client's address.
    fn speak_for(&mut self, address: SocketAddr);
}

impl<S: Bytes + std::fmt::Debug + 'static> Client for Socket<S> {
    fn speak_for(&mut self, address: SocketAddr) {
        self.digest = Arc::new(speaking_for(self.fd, address));
    }

    fn reset(&self) {
        self.stream.reset();
    }
}

impl<S: Bytes> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self
            .upstream
            .as_ref()
            .and_then(|upstream| upstream.outbound.most())
        {
            Some(most) => self.poll_read_some(cx, buf, most),
            None => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl<S: Bytes> AsyncWrite for Socket<S> {
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
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let upstream = self.upstream.as_ref();
        if upstream.is_some_and(|upstream| upstream.outbound.skips_flush()) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: Bytes> Shutdown for Socket<S> {
    async fn shutdown(&mut self) {
        // The connection is being given up: an error has no one left to hear it.
        let _ = self.stream.shutdown().await;
    }
}

impl<S: Bytes> UniqueID for Socket<S> {
    fn id(&self) -> UniqueIDType {
        self.fd
    }
}

impl<S: Bytes> Ssl for Socket<S> {}

impl<S: Bytes> GetTimingDigest for Socket<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S: Bytes> GetProxyDigest for Socket<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        let upstream = self.upstream.as_ref()?;
        Some(upstream.digest.clone())
    }
}

impl<S: Bytes> GetSocketDigest for Socket<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}

impl<S: Bytes> Peek for Socket<S> {}
