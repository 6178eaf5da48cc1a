//! Connects to plain HTTP/1 upstreams.
//!
//! Pingora asks this connector for peers whose ALPN is [that of a transport](Transport::alpn),
//! and runs its ordinary HTTP/1 client on the connection that it gets. Idle connections
//! wait in Pingora's own pool, which knows them by their descriptors.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::connectors::http::custom::{self, Connection};
use pingora_core::protocols::Stream;
use pingora_core::upstreams::peer::Peer;
use pingora_error::{Error, ErrorType, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

use super::{EpollStream, RingStream, Transport};

/// The connector of connections that are not Pingora's own.
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
        let Some(address) = peer.address().as_inet() else {
            return Error::e_explain(
                ErrorType::ConnectError,
                "only IP addresses can be connected to",
            );
        };
        let options = peer.get_peer_options();
        let Some(transport) = options.and_then(|options| Transport::of(&options.alpn)) else {
            return Error::e_explain(ErrorType::InternalError, "a peer of another connector");
        };
        let wait = peer.connection_timeout().unwrap_or(CONNECT_WAIT);
        let connecting = pingora_timeout::timeout(wait, connect(transport, *address, peer));
        let connected = tokio::select! {
            biased;
            error = given_up(peer) => return Err(error),
            connected = connecting => connected,
        };
        match connected {
            Ok(Ok(stream)) => Ok((Connection::Stream(stream), false)),
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
