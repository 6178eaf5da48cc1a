//! One client connection, from its acceptance to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora_core::listeners::tls::Acceptor as TlsAcceptor;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, IO, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tracing::debug;

use crate::handover::Connector;
use crate::proxy::Proxy;
use crate::telemetry::Held;
use crate::transport::{Accepted, EpollStream, RingStream};

mod downstream;

pub use downstream::Downstream;

/// Longest wait for a TLS handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// How long a connection that was just accepted may take to begin when the proxy drains:
/// its client has been told that it is connected, and its request is on the way.
const FIRST_BYTES_WAIT: Duration = Duration::from_secs(1);

/// How long an idle connection is kept when the proxy drains: its client knows nothing of
/// that, and a request may be on the way.
const LAST_REQUEST_WAIT: Duration = Duration::from_secs(1);

/// The proxy as a worker runs it.
pub type Engine = HttpProxy<Proxy, Connector>;

/// What a listener says about the connections that it accepts.
#[derive(Clone)]
pub struct Terms {
    /// TLS with this acceptor, or cleartext.
    pub tls: Option<Arc<TlsAcceptor>>,
    /// Cleartext HTTP/2 is recognised by its preface.
    pub cleartext_http2: bool,
    /// How long a connection may be idle between requests.
    pub keepalive: Duration,
    /// Longest wait for the next bytes from the client.
    pub read_timeout: Duration,
    /// Longest wait for the client to take bytes.
    pub write_timeout: Duration,
}

/// Serves a connection until it ends.
///
/// What it takes to open one is large, TLS above all, and boxed, so that it does not stay
/// while the connection is idle.
pub async fn serve(
    engine: Arc<Engine>,
    accepted: Accepted,
    terms: Terms,
    open: Held,
    shutdown: ShutdownWatch,
) {
    let opened = match accepted {
        Accepted::Epoll(stream) => {
            Box::pin(opened(Downstream::new(stream, open), &terms, &shutdown)).await
        }
        Accepted::IoUring(stream) => {
            Box::pin(opened(Downstream::new(stream, open), &terms, &shutdown)).await
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
    S: IO + 'static,
{
    if !begins(&mut socket, terms, &mut shutdown.clone()).await {
        return None;
    }
    let Some(acceptor) = &terms.tls else {
        return Some(Box::new(socket));
    };
    match pingora_timeout::timeout(HANDSHAKE_WAIT, acceptor.tls_handshake(socket)).await {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
        Err(_) => debug!("TLS handshake took over {HANDSHAKE_WAIT:?}"),
    }
    None
}

/// Waits for a new connection's first bytes. False if it ends without them.
async fn begins<S: IO>(
    socket: &mut Downstream<S>,
    terms: &Terms,
    shutdown: &mut ShutdownWatch,
) -> bool {
    let arrived = pingora_timeout::timeout(terms.read_timeout, async {
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
/// several kilobytes of future, while a connection is idle. Here an idle connection on a
/// ring waits with nothing but its socket.
async fn serve_http1(
    engine: Arc<Engine>,
    stream: Stream,
    terms: &Terms,
    mut shutdown: ShutdownWatch,
) {
    let mut next = Some((stream, None));
    // The first request's first bytes are here already.
    let mut idle = false;
    while let Some((stream, settings)) = next.take() {
        let plain = idle.then(|| Plain::of(&stream)).flatten();
        // How long reading the head may wait: not for its beginning, if that is here.
        let head_wait = if idle && plain.is_none() {
            terms.keepalive
        } else {
            terms.read_timeout
        };
        if let Some(plain) = plain {
            let readable = pingora_timeout::timeout(terms.keepalive, plain.readable());
            tokio::select! {
                biased;
                arrived = readable => if !matches!(arrived, Ok(Ok(()))) { return },
                () = draining(&mut shutdown, LAST_REQUEST_WAIT) => return,
            }
        }
        let session = session(stream, settings, head_wait, terms);
        next = engine
            .process_new_http(session, &shutdown)
            .await
            .map(|reused| reused.consume());
        idle = true;
    }
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
    stream: Stream,
    settings: Option<HttpPersistentSettings>,
    head_wait: Duration,
    terms: &Terms,
) -> ServerSession {
    let mut session = ServerSession::new_http1(stream);
    if let Some(settings) = settings {
        settings.apply_to_session(&mut session);
    }
    // After the settings of the request before: those are what its client asked for, which
    // is as a rule for ever.
    session.set_keepalive(Some(whole_seconds(head_wait)));
    session.set_read_timeout(Some(terms.read_timeout));
    session.set_write_timeout(Some(terms.write_timeout));
    session
}

/// Pingora counts keep-alive in seconds, and takes zero for "for ever".
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().max(1)
}
