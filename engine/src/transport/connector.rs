//! Connects to plain HTTP/1 upstreams over the worker's ring.
//!
//! Pingora asks this connector for peers whose ALPN is [`ring_alpn`](super::ring_alpn),
//! and runs its ordinary HTTP/1 client on the connection that it gets. Idle connections
//! wait in Pingora's own pool, which knows them by their descriptors.

use std::future::pending;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use penstock_uring::TcpStream;
use pingora_core::connectors::http::custom::{self, Connection};
use pingora_core::upstreams::peer::Peer;
use pingora_error::{Error, ErrorType, Result};

use super::RingStream;

/// The connector of ring connections.
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
                "only IP addresses can be connected to over io_uring",
            );
        };
        let wait = peer.connection_timeout().unwrap_or(CONNECT_WAIT);
        let connecting = pingora_timeout::timeout(wait, TcpStream::connect(*address));
        let connected = tokio::select! {
            biased;
            error = given_up(peer) => return Err(error),
            connected = connecting => connected,
        };
        match connected {
            Ok(Ok(stream)) => Ok((
                Connection::Stream(Box::new(RingStream::on_ring(stream))),
                false,
            )),
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

/// Waits until the connection is not wanted any more, if that can be: a connector that the
/// peer brings along makes none where the ring does, and ends for that alone.
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
