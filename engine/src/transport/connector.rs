//! Connects to plain HTTP/1 upstreams over the worker's ring.
//!
//! Pingora asks this connector for peers whose ALPN is [`ring_alpn`](super::ring_alpn),
//! and runs its ordinary HTTP/1 client on the connection that it gets. Idle connections
//! wait in Pingora's own pool, which knows them by their descriptors.

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
        match pingora_timeout::timeout(wait, TcpStream::connect(*address)).await {
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
