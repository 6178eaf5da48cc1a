//! A client's connection: the socket, what was read ahead of it, its place in the count of
//! open ones, and its end when the client does not take what waits for it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, tls,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::late::Late;
use super::pace::{Bound, Clock};
use super::{Terms, taken};
use crate::clients::Guest;
use crate::overload::Connection;
use crate::telemetry::{Held, Telemetry};
use crate::transport::Client;

/// What an HTTP/2 client sends first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's connection among the others. It counts while this lives.
#[derive(Debug)]
pub struct Place {
    /// Among all.
    pub open: Held,
    /// Among those of its address, if these are bounded.
    pub guest: Option<Guest>,
    /// Among what there are descriptors for.
    pub connection: Connection,
}

/// A client's connection. While it lives, it counts as open.
#[derive(Debug)]
pub struct Downstream<S: Client> {
    socket: S,
    /// Read ahead to recognise the protocol, and not yet read again.
    ahead: Vec<u8>,
    http2: bool,
    /// How far the client may fall behind with what it takes.
    bound: Bound,
    /// How far it has, if it ever had to be waited for.
    behind: Option<Box<Behind>>,
    cut: Cut,
    telemetry: Arc<Telemetry>,
    place: Place,
}

/// A client that had to be waited for.
#[derive(Debug)]
struct Behind {
    clock: Clock,
    /// What it had taken when it was last looked at, if its system tells.
    taken: Option<u64>,
    /// A write waits for it.
    waits: bool,
}

impl Behind {
    /// So much it has taken by now.
    fn note(&mut self, taken: Option<u64>) {
        if let (Some(before), Some(now)) = (self.taken, taken) {
            self.clock.moved(now.saturating_sub(before));
        }
        self.taken = taken;
    }
}

/// Asks for a reset of a connection when it is dropped: closing it would leave what it does
/// not take to the system, for as long as it likes.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<AtomicBool>);

impl Cut {
    /// The connection is to be reset.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<S: Client> Drop for Downstream<S> {
    fn drop(&mut self) {
        if self.cut.0.load(Ordering::Relaxed) {
            self.socket.reset();
        }
    }
}

impl<S: Client> Downstream<S> {
    /// A connection with its place among the others. Its client may fall behind with what it takes as far
    /// as the terms say.
    pub fn new(socket: S, place: Place, terms: &Terms) -> Self {
        Downstream {
            socket,
            ahead: Vec::new(),
            http2: false,
            bound: terms.answer,
            behind: None,
            cut: Cut::default(),
            telemetry: terms.telemetry.clone(),
            place,
        }
    }

    /// With it, the connection can be reset from outside of TLS.
    pub fn cut(&self) -> Cut {
        self.cut.clone()
    }

    /// Does something that may have to wait for the client to take bytes, unless it is too
    /// slow with that.
    fn poll_in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        work: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let polled = work(Pin::new(&mut self.socket), cx);
        if polled.is_pending() {
            ready!(self.poll_too_late(cx));
            self.telemetry.count_limit(Late::Answer.limit());
            self.cut.ask();
            self.socket.reset();
            return Poll::Ready(Err(Late::Answer.into()));
        }
        if let Some(behind) = self.behind.as_mut().filter(|behind| behind.waits) {
            behind.waits = false;
            if behind.taken.is_none() {
                behind.clock.moved(u64::MAX);
            }
            behind.clock.stop();
        }
        polled
    }

    /// Ready when the client is too slow.
    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (socket, bound) = (self.socket.id(), self.bound);
        let look = || taken::by(socket).map(|taken| taken.bytes);
        let behind = self.behind.get_or_insert_with(|| {
            Box::new(Behind {
                clock: Clock::new(bound),
                taken: look(),
                waits: true,
            })
        });
        if !behind.waits {
            behind.waits = true;
            behind.note(look());
        }
        ready!(behind.clock.poll_end(cx));
        behind.note(look());
        behind.clock.poll_end(cx)
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
        self.http2 = self.ahead.starts_with(PREFACE);
        Ok(())
    }

    /// Reads until there is anything at all.
    ///
    /// # Errors
    /// What reading met, or `UnexpectedEof` when the client closed before that.
    pub async fn find_first_bytes(&mut self) -> io::Result<()> {
        match self.ahead.is_empty() {
            true => self.read_ahead().await,
            false => Ok(()),
        }
    }

    /// Reads ahead, at most as much as the preface is long.
    async fn read_ahead(&mut self) -> io::Result<()> {
        let mut chunk = [0; PREFACE.len()];
        let n = self.socket.read(&mut chunk).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.ahead
            .extend_from_slice(chunk.get(..n).unwrap_or_default());
        Ok(())
    }

    /// What was read and not yet read again.
    pub(super) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads a little more ahead.
    ///
    /// # Errors
    /// What reading met, or `UnexpectedEof` when the client closed before that.
    pub(super) async fn hear_more(&mut self) -> io::Result<()> {
        self.read_ahead().await
    }

    /// Reads so many bytes away.
    ///
    /// # Errors
    /// What reading met, or `UnexpectedEof` when the client closed before that.
    pub(super) async fn skip(&mut self, len: usize) -> io::Result<()> {
        let here = self.ahead.len().min(len);
        self.ahead.drain(..here);
        let mut left = len - here;
        let mut room = [0; 512];
        while left > 0 {
            let wanted = left.min(room.len());
            let read = self.socket.read(room.get_mut(..wanted).unwrap_or_default());
            match read.await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    }

    /// From now on this is the client's address.
    pub(super) fn speak_for(&mut self, address: SocketAddr) {
        self.socket.speak_for(address);
    }

    /// Counts the connection among those of its address.
    pub(super) fn host(&mut self, guest: Option<Guest>) {
        self.place.guest = guest;
    }

    /// Whether the client began with HTTP/2's preface.
    pub fn speaks_http2(&self) -> bool {
        self.http2
    }
}

impl<S: Client> Peek for Downstream<S> {}

impl<S: Client> AsyncRead for Downstream<S> {
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

impl<S: Client> AsyncWrite for Downstream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_in_time(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_in_time(cx, |socket, cx| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_in_time(cx, |socket, cx| socket.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_in_time(cx, |socket, cx| socket.poll_shutdown(cx))
    }
}

#[async_trait]
impl<S: Client> Shutdown for Downstream<S> {
    async fn shutdown(&mut self) {
        // The connection is being given up: an error has no one left to hear it.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: Client> UniqueID for Downstream<S> {
    fn id(&self) -> UniqueIDType {
        self.socket.id()
    }
}

impl<S: Client> Ssl for Downstream<S> {
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

impl<S: Client> GetTimingDigest for Downstream<S> {
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

impl<S: Client> GetProxyDigest for Downstream<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.socket.get_proxy_digest()
    }
}

impl<S: Client> GetSocketDigest for Downstream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.socket.get_socket_digest()
    }
}
