//! One client connection, from its acceptance to its end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_config::server::ProxyProtocol;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp};
use pingora_core::listeners::tls::Acceptor as TlsAcceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::debug;

use crate::frames::Bounds;
use crate::handover::Connector;
use crate::live::Live;
use crate::proxy::{self, Proxy};
use crate::strict::{Limits, Rule};
use crate::telemetry::Telemetry;
use crate::tls::Failure;
use crate::transport::{self, Accepted, Client};

mod downstream;
mod http2;
mod idle;
mod introduction;
mod late;
mod metered;
mod pace;
mod requests;
mod spare;
mod taken;

pub use downstream::{Cut, Downstream, Place};
pub(crate) use http2::stalled;
pub use http2::{bounds, options};
pub use late::Late;
pub use pace::{Bound, Pace, Watch};
pub use requests::{Cause, Refused, Requests};
pub use spare::make_room;

use spare::Spared;

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
    /// How long a connection may be idle.
    pub keepalive: Duration,
    /// How long a TLS handshake may take, or the preface of HTTP/2 after it.
    pub handshake: Duration,
    /// How long a request's head may take.
    pub head: Duration,
    /// How far a client may fall behind with a request's body.
    pub body: Bound,
    /// Bytes of the longest body that is not refused.
    pub body_max: u64,
    /// How far it may fall behind with taking an answer.
    pub answer: Bound,
    /// Bounds on heads of HTTP/1 requests.
    pub heads: Limits,
    /// Bounds on what HTTP/2 clients do besides making requests.
    pub frames: Bounds,
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
            Box::pin(opened(
                Downstream::new(stream, place, &terms),
                &terms,
                &shutdown,
            ))
            .await
        }
        Accepted::IoUring(stream) => {
            Box::pin(opened(
                Downstream::new(stream, place, &terms),
                &terms,
                &shutdown,
            ))
            .await
        }
    };
    let Some((stream, cut)) = opened else { return };
    if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
        // Boxed, so that an HTTP/1 connection has no room for it.
        Box::pin(http2::serve(engine, stream, terms, shutdown)).await;
    } else {
        serve_http1(engine, stream, cut, &terms, shutdown).await;
    }
}

/// A connection that has begun, with its protocol settled.
async fn opened<S>(
    mut socket: Downstream<S>,
    terms: &Terms,
    shutdown: &ShutdownWatch,
) -> Option<(Stream, Cut)>
where
    S: Client + 'static,
{
    let cut = socket.cut();
    let mut shutdown = shutdown.clone();
    let Some(acceptor) = &terms.tls else {
        let begins = begins(&mut socket, terms, &mut shutdown).await;
        return begins.then(|| (Box::new(socket) as Stream, cut));
    };
    let shaking_hands = async {
        match begins(&mut socket, terms, &mut shutdown).await {
            true => Some(acceptor.tls_handshake(socket).await),
            false => None,
        }
    };
    match pingora_timeout::timeout(terms.handshake, shaking_hands).await {
        Ok(Some(Ok(stream))) => Some((Box::new(stream), cut)),
        Ok(Some(Err(error))) => {
            terms.telemetry.handshakes.failed(Failure::of(&error));
            debug!(%error, "TLS handshake failed");
            None
        }
        Ok(None) => None,
        Err(_) => {
            terms.telemetry.handshakes.failed(Failure::Timeout);
            terms.telemetry.count_limit("handshake_timeout");
            debug!("TLS handshake took over {:?}", terms.handshake);
            None
        }
    }
}

/// Waits for a new connection's first bytes. False if it ends without them.
async fn begins<S: Client>(
    socket: &mut Downstream<S>,
    terms: &Terms,
    shutdown: &mut ShutdownWatch,
) -> bool {
    let arrived = async {
        if let Some(header) = terms.proxy_protocol {
            let hearing = introduction::hear(socket, header, terms.live.clients());
            let heard = pingora_timeout::timeout(terms.handshake, hearing).await;
            heard.map_err(|_| io::ErrorKind::TimedOut)??;
        }
        let beginning = pingora_timeout::timeout(terms.keepalive, socket.find_first_bytes());
        tokio::select! {
            biased;
            began = beginning => began.map_err(|_| io::ErrorKind::TimedOut)??,
            () = Spared::default() => return Err(io::ErrorKind::OutOfMemory.into()),
        }
        if terms.cleartext_http2 {
            let settled = pingora_timeout::timeout(terms.head, socket.find_preface()).await;
            settled.unwrap_or_else(|_| {
                terms.telemetry.count_limit(Late::Head.limit());
                Err(io::ErrorKind::TimedOut.into())
            })?;
        }
        io::Result::Ok(())
    };
    tokio::select! {
        biased;
        arrived = arrived => match arrived {
            Ok(()) => return true,
            Err(error) => debug!(%error, "connection ended before a request"),
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
    cut: Cut,
    terms: &Terms,
    mut shutdown: ShutdownWatch,
) {
    let mut requests = Box::new(Requests::new(stream, terms.body, terms.body_max));
    let mut settings = None;
    // In cleartext the first request's first bytes are here already.
    let mut idle = terms.tls.is_some();
    loop {
        if idle && !requests.has_begun() {
            tokio::select! {
                biased;
                arrived = idle::over(&mut requests, &cut, terms) => if !arrived { return },
                () = draining(&mut shutdown, LAST_REQUEST_WAIT) => return,
            }
        }
        match requests.next(&terms.heads, terms.head).await {
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

/// Answers a request that broke a rule or came too late, and closes.
async fn refuse(mut requests: Box<Requests>, refused: &Refused, terms: &Terms) {
    let started = Instant::now();
    let digest = requests.stream().get_socket_digest();
    let client = digest.as_ref().and_then(|digest| transport::peer(digest));
    let answer = proxy::refuse_unread(&terms.live, &terms.telemetry, refused, client, started);
    let is_neither =
        matches!(refused.cause, Cause::Rule(Rule::Protocol)) && !refused.path.starts_with('/');
    if terms.cleartext_http2 && is_neither {
        // Where HTTP/2 is spoken, this is its preface gone wrong: its client reads no answer of
        // HTTP/1, and GOAWAY may be left out (RFC 9113 section 3.4).
        return;
    }
    let telling = async {
        requests.write_all(&answer).await?;
        requests.flush().await?;
        requests.shutdown().await
    };
    if telling.await.is_err() {
        // A client that does not listen has nothing to hear.
        return;
    }
    // What is unread at the close would reset the connection.
    let _ = pingora_timeout::timeout(LINGER, read_away(&mut requests)).await;
}

async fn read_away(requests: &mut Requests) {
    requests.give_up();
    let mut room = [0; 512];
    while requests.read(&mut room).await.is_ok_and(|read| read > 0) {}
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
    session.set_keepalive(Some(whole_seconds(terms.keepalive)));
    // How long it may take is known better where its bytes pass.
    session.set_read_timeout(None);
    session.set_write_timeout(None);
    session
}

/// Pingora counts keep-alive in seconds, and takes zero for "for ever".
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}
