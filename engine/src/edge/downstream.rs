//! A client's connection: the socket, what was read ahead of it, and its place in the
//! count of open ones.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, IO, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, tls,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::telemetry::Held;

/// What an HTTP/2 client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's connection. While it lives, it counts as open.
#[derive(Debug)]
pub struct Downstream<S> {
    socket: S,
    /// Read ahead to recognise the protocol, and not yet read again.
    ahead: Vec<u8>,
    http2: bool,
    _open: Held,
}

impl<S: IO> Downstream<S> {
    /// Counts the connection in `open`.
    pub fn new(socket: S, open: Held) -> Self {
        Downstream {
            socket,
            ahead: Vec::new(),
            http2: false,
            _open: open,
        }
    }

    /// The socket itself.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Reads until it is clear whether the client speaks HTTP/2: the first byte that
    /// differs from the preface decides, so a short HTTP/1 request does not wait.
    ///
    /// # Errors
    /// What reading met, or `UnexpectedEof` when the client closed before it was clear.
    pub async fn find_preface(&mut self) -> io::Result<()> {
        while PREFACE.starts_with(&self.ahead) && self.ahead.len() < PREFACE.len() {
            self.read_ahead().await?;
        }
        self.http2 = self.ahead == PREFACE;
        Ok(())
    }

    /// Reads until there is anything at all.
    ///
    /// # Errors
    /// What reading met, or `UnexpectedEof` when the client closed before that.
    pub async fn find_first_bytes(&mut self) -> io::Result<()> {
        self.read_ahead().await
    }

    /// Reads ahead, as far as the preface would go at most.
    async fn read_ahead(&mut self) -> io::Result<()> {
        let mut chunk = [0; PREFACE.len()];
        let missing = PREFACE.len().saturating_sub(self.ahead.len());
        let room = chunk.get_mut(..missing).unwrap_or_default();
        let n = self.socket.read(room).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.ahead
            .extend_from_slice(chunk.get(..n).unwrap_or_default());
        Ok(())
    }

    /// Whether the client began with HTTP/2's preface.
    pub fn speaks_http2(&self) -> bool {
        self.http2
    }
}

impl<S: IO> Peek for Downstream<S> {}

impl<S: IO> AsyncRead for Downstream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.socket).poll_read(cx, buf);
        }
        let n = self.ahead.len().min(buf.remaining());
        buf.put_slice(self.ahead.get(..n).unwrap_or_default());
        self.ahead.drain(..n);
        if self.ahead.is_empty() {
            // An idle connection keeps no memory for what it has long read.
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: IO> AsyncWrite for Downstream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: IO> Shutdown for Downstream<S> {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut self.socket).await;
    }
}

impl<S: IO> UniqueID for Downstream<S> {
    fn id(&self) -> UniqueIDType {
        self.socket.id()
    }
}

impl<S: IO> Ssl for Downstream<S> {
    fn get_ssl(&self) -> Option<&tls::TlsRef> {
        self.socket.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<tls::SslDigest>> {
        self.socket.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        // A cleartext connection that began with the preface has chosen as well.
        if self.http2 {
            Some(ALPN::H2)
        } else {
            self.socket.selected_alpn_proto()
        }
    }
}

impl<S: IO> GetTimingDigest for Downstream<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.socket.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.socket.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.socket.get_write_pending_time()
    }
}

impl<S: IO> GetProxyDigest for Downstream<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.socket.get_proxy_digest()
    }
}

impl<S: IO> GetSocketDigest for Downstream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.socket.get_socket_digest()
    }
}
