//! Answers that began before Pingora asked for them.
//!
//! A second attempt is sent beside Pingora. When it is to go on as the request's own,
//! Pingora is given a peer whose ALPN, which never travels, holds the number of a
//! [`Ticket`]; this connector finds under it what was left there, as the session that
//! Pingora sends the request over. Nothing is sent any more: the request was, by whoever
//! left it. What has arrived already is read first, and then the rest from where it comes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use parking_lot::Mutex;
use pingora_core::connectors::http::custom::{self, Connection};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::custom::{BodyWrite, CustomMessageWrite, client};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::tls::CustomALPN;
use pingora_core::protocols::{ALPN, Digest, UniqueIDType};
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::connections::Connections;
use crate::transport;

/// What the ALPN of a ticket begins with, before its number.
const ALPN_PREFIX: &[u8] = b"penstock-handover-";

/// What is left to be taken, by the numbers of tickets. A worker's proxy and its connector
/// share it.
#[derive(Clone, Default)]
pub struct Handover(Arc<Counter>);

#[derive(Default)]
struct Counter {
    next: AtomicU64,
    left: Mutex<HashMap<u64, Exchange>>,
}

/// The right to what was left. What is not taken goes when it is dropped.
pub struct Ticket {
    number: u64,
    handover: Handover,
}

/// An answer that has begun.
pub struct Begun {
    /// Where the rest comes from.
    pub session: HttpSession,
    /// The peer of that connection, which it is released for.
    pub peer: Box<HttpPeer>,
    /// Where it is released to.
    pub connections: Arc<Connections>,
    /// What was read of its body.
    pub pieces: VecDeque<Bytes>,
}

/// A task, which ends when this is dropped.
pub struct Task(pub AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An exchange that somebody else has begun.
pub struct Exchange {
    coming: Option<oneshot::Receiver<Result<Box<Begun>>>>,
    begun: Option<Box<Begun>>,
    /// What makes it begin.
    _task: Task,
}

impl Exchange {
    /// One whose answer a task reads the beginning of.
    pub fn new(coming: oneshot::Receiver<Result<Box<Begun>>>, task: Task) -> Exchange {
        Exchange {
            coming: Some(coming),
            begun: None,
            _task: task,
        }
    }
}

impl Handover {
    /// Leaves an exchange for Pingora.
    pub fn leave(&self, exchange: Exchange) -> Ticket {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.left.lock().insert(number, exchange);
        Ticket {
            number,
            handover: self.clone(),
        }
    }

    fn take(&self, number: u64) -> Option<Exchange> {
        self.0.left.lock().remove(&number)
    }
}

impl Ticket {
    /// What tells the connector what to take.
    pub fn alpn(&self) -> ALPN {
        let name = [ALPN_PREFIX, &self.number.to_be_bytes()].concat();
        ALPN::Custom(CustomALPN::new(name))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.handover.take(self.number);
    }
}

/// The number of the ticket that a peer was made with.
fn number(peer: &impl Peer) -> Option<u64> {
    let ALPN::Custom(name) = &peer.get_peer_options()?.alpn else {
        return None;
    };
    let number = name.protocol().strip_prefix(ALPN_PREFIX)?;
    number.try_into().map(u64::from_be_bytes).ok()
}

/// The connector of a worker's proxy: for tickets, and for connections that are ours.
pub struct Connector {
    handover: Handover,
    plain: transport::Connector,
}

impl Connector {
    /// One that takes what is left there.
    pub fn new(handover: Handover) -> Connector {
        Connector {
            handover,
            plain: transport::Connector,
        }
    }
}

#[async_trait]
impl custom::Connector for Connector {
    type Session = Exchange;

    async fn get_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Result<(Connection<Exchange>, bool)> {
        if number(peer).is_some() {
            return Error::e_explain(ErrorType::InternalError, "there is nothing to hand over");
        }
        match custom::Connector::get_http_session(&self.plain, peer).await? {
            (Connection::Stream(stream), reused) => Ok((Connection::Stream(stream), reused)),
            (Connection::Session(()), _) => {
                Error::e_explain(ErrorType::InternalError, "it makes no sessions")
            }
        }
    }

    /// What a ticket was left for. Pingora asks here before it looks for idle connections.
    async fn reused_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        peer: &P,
    ) -> Option<Exchange> {
        self.handover.take(number(peer)?)
    }

    async fn release_http_session<P: Peer + Send + Sync + 'static>(
        &self,
        exchange: Exchange,
        _peer: &P,
        _idle_timeout: Option<Duration>,
    ) {
        if let Some(begun) = exchange.begun {
            let Begun {
                session,
                peer,
                connections,
                ..
            } = *begun;
            connections.release(session, &peer).await;
        }
    }
}

/// Takes a request's body that was sent already.
struct Sent;

#[async_trait]
impl BodyWrite for Sent {
    async fn write_all_buf(&mut self, data: &mut Bytes) -> Result<()> {
        data.clear();
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    async fn cleanup(&mut self) -> Result<()> {
        Ok(())
    }

    fn upgrade_body_writer(&mut self) {}
}

#[async_trait]
impl client::Session for Exchange {
    async fn write_request_header(&mut self, _head: Box<RequestHeader>, _end: bool) -> Result<()> {
        Ok(())
    }

    async fn write_request_body(&mut self, _data: Bytes, _end: bool) -> Result<()> {
        Ok(())
    }

    async fn finish_request_body(&mut self) -> Result<()> {
        Ok(())
    }

    // The timeouts are those of the connection that it is read from.
    fn set_read_timeout(&mut self, _timeout: Option<Duration>) {}

    fn set_write_timeout(&mut self, _timeout: Option<Duration>) {}

    /// Waits for the answer to begin, if it has not.
    async fn read_response_header(&mut self) -> Result<()> {
        if let Some(coming) = self.coming.take() {
            let gone = |_| Error::explain(ErrorType::InternalError, "the attempt was given up");
            self.begun = Some(coming.await.map_err(gone)??);
        }
        match self.response_header() {
            Some(_) => Ok(()),
            None => Error::e_explain(ErrorType::InvalidHTTPHeader, "no head"),
        }
    }

    async fn read_response_body(&mut self) -> Result<Option<Bytes>> {
        let Some(begun) = &mut self.begun else {
            return Ok(None);
        };
        if let Some(piece) = begun.pieces.pop_front() {
            return Ok(Some(piece));
        }
        begun.session.read_response_body().await
    }

    fn response_finished(&self) -> bool {
        self.begun.is_none()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        if let Some(begun) = &mut self.begun {
            begun.session.shutdown().await;
        }
    }

    fn response_header(&self) -> Option<&ResponseHeader> {
        self.begun.as_ref()?.session.response_header()
    }

    fn was_upgraded(&self) -> bool {
        false
    }

    fn digest(&self) -> Option<&Digest> {
        self.begun.as_ref()?.session.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.begun.as_mut()?.session.digest_mut()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.begun.as_ref()?.session.server_addr()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.begun.as_ref()?.session.client_addr()
    }

    async fn read_trailers(&mut self) -> Result<Option<HeaderMap>> {
        match self.begun.as_mut().map(|begun| &mut begun.session) {
            Some(HttpSession::H2(session)) => session.read_trailers().await,
            _ => Ok(None),
        }
    }

    fn fd(&self) -> UniqueIDType {
        -1
    }

    async fn check_response_end_or_error(&mut self, _head: bool) -> Result<bool> {
        let Some(begun) = &mut self.begun else {
            return Ok(false);
        };
        if !begun.pieces.is_empty() {
            return Ok(false);
        }
        match &mut begun.session {
            HttpSession::H2(session) => session.check_response_end_or_error(),
            session => Ok(session.response_done()),
        }
    }

    fn take_request_body_writer(&mut self) -> Option<Box<dyn BodyWrite>> {
        Some(Box::new(Sent))
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        Some(Box::new(futures::stream::empty()))
    }

    async fn drain_custom_messages(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        Some(Box::new(()))
    }
}
