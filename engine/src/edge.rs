//! One client connection, from its acceptance to its end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_config::server::ProxyProtocol;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora_core::listeners::tls::Acceptor as TlsAcceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, IO, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::debug;

use crate::handover::Connector;
use crate::live::Live;
use crate::proxy::{self, Proxy};
use crate::strict::Limits;
use crate::telemetry::Telemetry;
use crate::tls::Failure;
use crate::transport::{Accepted, EpollStream, RingStream, Speaks};

mod downstream;
mod introduction;
mod requests;

pub use downstream::{Downstream, Place};
pub use requests::{Refused, Requests};

/// Longest wait for a TLS handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// How long a connection that was just accepted may take to begin when the proxy drains:
/// its client has been told that it is connected, and its request is on the way.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(1);

/// How long an idle connection is kept when the proxy drains: its client knows nothing of
/// that, and a request may be on the way.
const LAST_REQUEST_WAIT: Duration = Duration::from_secs(1);

/// How long a client that was refused may go on sending before its connection is closed,
/// so that closing does not destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);

/// The proxy as a worker runs it.
pub type Engine = HttpProxy<Proxy, Connector>;

/// What a listener says about the connections that it accepts.
#[derive(Clone)]
pub struct Terms {
    /// TLS with this acceptor, or cleartext.
    pub tls: Option<Arc<TlsAcceptor>>,
    /// Cleartext HTTP/2 is recognised by its preface.
    pub cleartext_http2: bool,
    /// Connections begin with the address of their client.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How long a connection may be idle between requests.
    pub keepalive: Duration,
    /// Longest wait for the next bytes from the client.
    pub read_timeout: Duration,
    /// Longest wait for the client to take bytes.
    pub write_timeout: Duration,
    /// Bounds on heads of HTTP/1 requests.
    pub heads: Limits,
    /// The generation in force, for requests that are refused before they have one.
    pub live: Arc<Live>,
    /// Where those are counted.
    pub telemetry: Arc<Telemetry>,
}

/// Serves a connection until it ends.
///
/// What it takes to open one is large, TLS above all, and boxed, so that it does not stay
/// while the connection is idle.
pub async fn serve(
    engine: Arc<Engine>,
    accepted: Accepted,
    terms: Terms,
    place: Place,
    shutdown: ShutdownWatch,
) {
    let opened = match accepted {
        Accepted::Epoll(stream) => {
            Box::pin(opened(Downstream::new(stream, place), &terms, &shutdown)).await
        }
        Accepted::IoUring(stream) => {
            Box::pin(opened(Downstream::new(stream, place), &terms, &shutdown)).await
        }
    };
    let Some(stream) = opened else { return };
    if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
        engine.process_new(stream, &shutdown).await;
    } else {
        serve_http1(engine, stream, &terms, shutdown).await;
    }
}

/// A connection that has begun, with its protocol settled.
async fn opened<S>(
    mut socket: Downstream<S>,
    terms: &Terms,
    shutdown: &ShutdownWatch,
) -> Option<Stream>
where
    S: IO + Speaks + 'static,
{
    if !begins(&mut socket, terms, &mut shutdown.clone()).await {
        return None;
    }
    let Some(acceptor) = &terms.tls else {
        return Some(Box::new(socket));
    };
    match pingora_timeout::timeout(HANDSHAKE_WAIT, acceptor.tls_handshake(socket)).await {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(error)) => {
            terms.telemetry.handshakes.failed(Failure::of(&error));
            debug!(%error, "TLS handshake failed");
        }
        Err(_) => {
            terms.telemetry.handshakes.failed(Failure::Timeout);
            debug!("TLS handshake took over {HANDSHAKE_WAIT:?}");
        }
    }
    None
}

/// Waits for a new connection's first bytes. False if it ends without them.
async fn begins<S: IO + Speaks>(
    socket: &mut Downstream<S>,
    terms: &Terms,
    shutdown: &mut ShutdownWatch,
) -> bool {
    let arrived = pingora_timeout::timeout(terms.read_timeout, async {
        if let Some(header) = terms.proxy_protocol {
            introduction::hear(socket, header, terms.live.clients()).await?;
        }
        if terms.cleartext_http2 {
            socket.find_preface().await
        } else {
            socket.find_first_bytes().await
        }
    });
    tokio::select! {
        biased;
        arrived = arrived => match arrived {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => debug!(%error, "connection ended before a request"),
            Err(_) => debug!("no request arrived in time"),
        },
        () = draining(shutdown, FIRST_BYTES_WAIT) => debug!("no request arrived before the end"),
    }
    false
}

/// Ends when the proxy has been draining for so long.
async fn draining(shutdown: &mut ShutdownWatch, wait: Duration) {
    // An error means that the proxy is going away without a word.
    let _ = shutdown.wait_for(|stop| *stop).await;
    tokio::time::sleep(wait).await;
}

/// Requests one after the other, until either side closes.
///
/// Pingora's own loop would keep the state of a whole request alive, a head buffer and
/// several kilobytes of future, while a connection is idle. Here an idle connection waits
/// with nothing but its socket, and Pingora gets a request whose head was checked.
async fn serve_http1(
    engine: Arc<Engine>,
    stream: Stream,
    terms: &Terms,
    mut shutdown: ShutdownWatch,
) {
    let mut requests = Box::new(Requests::new(stream));
    let mut settings = None;
    // The first request's first bytes are here already.
    let mut idle = false;
    loop {
        if idle && !requests.has_begun() {
            let arrived = pingora_timeout::timeout(terms.keepalive, arrives(&mut requests));
            tokio::select! {
                biased;
                arrived = arrived => if !matches!(arrived, Ok(Ok(()))) { return },
                () = draining(&mut shutdown, LAST_REQUEST_WAIT) => return,
            }
        }
        match requests.next(&terms.heads, terms.read_timeout).await {
            Ok(Ok(())) => {}
            // Boxed, so that a connection has no room for it as long as none is refused.
            Ok(Err(refused)) => return Box::pin(refuse(requests, &refused, terms)).await,
            Err(error) => return debug!(%error, "connection ended before a request"),
        }
        let session = session(requests, settings, terms);
        let Some(reused) = engine.process_new_http(session, &shutdown).await else {
            return;
        };
        let (stream, kept) = reused.consume();
        let Ok(same) = stream.into_any().downcast() else {
            return;
        };
        (requests, settings, idle) = (same, kept, true);
    }
}

/// Waits for the beginning of the next request, as far as possible without memory for it.
async fn arrives(requests: &mut Requests) -> io::Result<()> {
    match Plain::of(requests.stream()) {
        Some(plain) => plain.readable().await,
        None => requests.read_ahead().await,
    }
}

/// Answers a request that broke a rule, and closes.
async fn refuse(mut requests: Box<Requests>, refused: &Refused, terms: &Terms) {
    let started = Instant::now();
    let digest = requests.stream().get_socket_digest();
    let client = digest
        .as_ref()
        .and_then(|digest| digest.peer_addr()?.as_inet().map(|address| address.ip()));
    let answer = proxy::refuse_unread(&terms.live, &terms.telemetry, refused, client, started);
    let telling = async {
        requests.write_all(&answer).await?;
        requests.flush().await?;
        requests.shutdown().await
    };
    match pingora_timeout::timeout(terms.write_timeout, telling).await {
        Ok(Ok(())) => {}
        // A client that does not listen has nothing to hear.
        Ok(Err(_)) | Err(_) => return,
    }
    // What is unread at the close would reset the connection.
    let _ = pingora_timeout::timeout(LINGER, read_away(&mut requests)).await;
}

async fn read_away(requests: &mut Requests) {
    requests.give_up();
    let mut room = [0; 512];
    while requests.read(&mut room).await.is_ok_and(|read| read > 0) {}
}

/// A cleartext connection, which can be waited for without the state of a request.
enum Plain<'s> {
    Ring(&'s RingStream),
    Epoll(&'s EpollStream),
}

impl<'s> Plain<'s> {
    fn of(stream: &'s Stream) -> Option<Self> {
        let any = stream.as_any();
        if let Some(ring) = any.downcast_ref::<Downstream<RingStream>>() {
            return Some(Plain::Ring(ring.socket()));
        }
        let epoll = any.downcast_ref::<Downstream<EpollStream>>()?;
        Some(Plain::Epoll(epoll.socket()))
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Plain::Ring(stream) => stream.readable().await,
            Plain::Epoll(stream) => stream.readable().await,
        }
    }
}

/// A session for the next request, as Pingora wants it.
fn session(
    requests: Box<Requests>,
    settings: Option<HttpPersistentSettings>,
    terms: &Terms,
) -> ServerSession {
    let mut session = ServerSession::new_http1(requests);
    if let Some(settings) = settings {
        settings.apply_to_session(&mut session);
    }
    // After the settings of the request before: those are what its client asked for, which
    // is as a rule for ever.
    session.set_keepalive(Some(whole_seconds(terms.read_timeout)));
    session.set_read_timeout(Some(terms.read_timeout));
    session.set_write_timeout(Some(terms.write_timeout));
    session
}

/// Pingora counts keep-alive in seconds, and takes zero for "for ever".
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}
