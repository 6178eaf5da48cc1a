//! Connects to HTTP/1 upstreams: to plain ones on the worker's event loop, to others as Pingora
//! does.
//!
//! Pingora asks this connector for peers whose ALPN is [that of a transport](Transport::alpn) or
//! [`tls_alpn`](super::tls_alpn), and runs its ordinary HTTP/1 client on the connection that it
//! gets, which has the heads of answers [checked](Checked). Idle connections wait in Pingora's own
//! pool, which knows them by their descriptors.

use std::any::Any;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::TransportConnector;
use pingora_core::connectors::http::custom::{self, Connection};
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorType, OrErr, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::OnceCell;

use super::{Checked, EpollStream, RingStream, Transport};

/// What connects as Pingora does. It keeps no connections, but the system's authorities, which
/// are many: one for all workers.
static ORDINARY: OnceCell<TransportConnector> = OnceCell::const_new();

/// The connector of HTTP/1 connections.
#[derive(Debug)]
pub struct Connector;

/// How long a connection may take when the peer says nothing.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

#[async_trait]
impl custom::Connector for Connector {
    type Session = ();

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<()>, bool)> {
        let options = peer.get_peer_options();
        let stream = match options.and_then(|options| Transport::of(&options.alpn)) {
            Some(transport) => plain(transport, peer).await?,
            None => ordinary(peer).await?,
        };
        let checked = Checked::new(stream);
        Ok((Connection::Stream(Box::new(checked)), false))
    }

    async fn reused_http_session<P: Peer + Send + Sync + 'static>(&self, _peer: &P) -> Option<()> {
        None
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        _session: (),
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
    }
}

/// A connection in cleartext, unless it takes too long or is not wanted any more.
async fn plain(transport: Transport, peer: &impl Peer) -> Result<Stream> {
    let Some(address) = peer.address().as_inet() else {
        return Error::e_explain(
            ErrorType::ConnectError,
            "only IP addresses can be connected to",
        );
    };
    let wait = peer.connection_timeout().unwrap_or(CONNECT_WAIT);
    let connecting = pingora_timeout::timeout(wait, connect(transport, *address, peer));
    let connected = tokio::select! {
        biased;
        error = given_up(peer) => return Err(error),
        connected = connecting => connected,
    };
    match connected {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            let kind = error_type(&error);
            Err(Error::because(
                kind,
                format!("connecting to {address}"),
                error,
            ))
        }
        Err(_) => Error::e_explain(
            ErrorType::ConnectTimedout,
            format!("connecting to {address} took over {wait:?}"),
        ),
    }
}

/// A connection on the transport's event loop.
async fn connect(
    transport: Transport,
    address: SocketAddr,
    peer: &impl Peer,
) -> io::Result<Stream> {
    match transport {
        Transport::Epoll => {
            let stream = on_epoll(address).await?;
            keep_alive(stream.as_fd(), peer);
            Ok(Box::new(EpollStream::on_epoll(stream, address).outbound()))
        }
        Transport::IoUring => {
            let stream = penstock_uring::TcpStream::connect(address).await?;
            keep_alive(stream.as_fd(), peer);
            Ok(Box::new(RingStream::on_ring(stream).outbound()))
        }
    }
}

async fn on_epoll(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Has the system find out when the other end is not there any more.
fn keep_alive(socket: BorrowedFd<'_>, peer: &impl Peer) {
    let Some(asked) = peer.tcp_keepalive() else {
        return;
    };
    let keepalive = TcpKeepalive::new()
        .with_time(asked.idle)
        .with_interval(asked.interval)
        .with_retries(u32::try_from(asked.count).unwrap_or(u32::MAX));
    // It is a help for the case that nothing else is noticed.
    let _ = SockRef::from(&socket).set_tcp_keepalive(&keepalive);
}

/// A connection as Pingora makes it: over TLS.
async fn ordinary<P: Peer + 'static>(peer: &P) -> Result<Stream> {
    let Some(peer) = (peer as &dyn Any).downcast_ref::<HttpPeer>() else {
        return Error::e_explain(ErrorType::InternalError, "a peer of another kind");
    };
    // It reads the system's authorities, for which no request is to wait.
    let make = || tokio::task::spawn_blocking(|| TransportConnector::new(None));
    let connector = ORDINARY.get_or_try_init(make).await;
    let connector = connector.or_err(ErrorType::InternalError, "making connections")?;
    let mut peer = peer.clone();
    peer.options.alpn = ALPN::H1;
    connector.new_stream(&peer).await
}

/// Waits until the connection is not wanted any more, if that can be: a connector that the
/// peer brings along makes none where we do, and ends for that alone.
async fn given_up(peer: &impl Peer) -> Box<Error> {
    let options = peer.get_peer_options();
    match options.and_then(|options| options.custom_l4.as_ref()) {
        Some(contested) => match contested.connect(peer.address()).await {
            Err(error) => error,
            Ok(_) => pending().await,
        },
        None => pending().await,
    }
}

/// The same kinds of error that Pingora's own connector tells apart.
fn error_type(error: &io::Error) -> ErrorType {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
        io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ErrorType::ConnectNoRoute
        }
        _ => ErrorType::ConnectError,
    }
}
