//! The requests of an HTTP/2 connection, until either side ends it.
//!
//! Pingora's own loop would serve them as well. This one counts what a client does besides
//! making requests, ends a connection where that is too much, and says so (RFC 9113 section
//! 10.5); it bounds how long a client may leave an answer or a connection as it is.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use h2::Reason;
use h2::server::Connection;
use http::StatusCode;
use penstock_config::server;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{Digest, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_error::Error;
use pingora_http::ResponseHeader;
use tracing::debug;

use super::metered::{Metered, UnderWay, Watch};
use super::spare::Spared;
use super::{Engine, LAST_REQUEST_WAIT, LINGER, Terms};
use crate::frames::{Abuse, Bounds, Meter};
use crate::transport;

/// Bytes of one answer that are taken from the upstream ahead of what the client has taken,
/// beside what Pingora has under way. The library's own bound is 400 KiB, which all streams of
/// one client together make a hundred megabytes of.
const AHEAD_MAX: usize = 32 * 1024;

/// Requests that the library or Pingora finds malformed, until the connection is ended. As many
/// as Pingora's own loop allows.
const MALFORMED_MAX: u32 = 32;

/// How the library is set up. What is not named here has the library's own bounds: 50 streams
/// remembered that were reset here, 1024 faults of streams in a connection's life, five frames
/// more than a head needs, four times a head's size, a hundred empty frames of data.
pub fn options(server: &server::Server) -> H2Options {
    let limits = &server.limits;
    let mut options = default_h2_options();
    options.max_concurrent_streams(limits.http2_streams);
    options.max_header_list_size(u32::try_from(limits.request_head.bytes()).unwrap_or(u32::MAX));
    options.max_send_buffer_size(AHEAD_MAX);
    // Requests that are taken back before anyone has seen them: as many as afterwards.
    let resets = usize::try_from(server.http2.resets).unwrap_or(usize::MAX);
    options.max_pending_accept_reset_streams(resets);
    options
}

/// How much is allowed of what costs a client nothing.
pub fn bounds(server: &server::Server) -> Bounds {
    Bounds {
        head: server.limits.request_head.bytes(),
        fields: server.limits.request_fields,
        resets: server.http2.resets,
        control_frames: server.http2.control_frames,
    }
}

type Http2 = Connection<Stream, Bytes>;

/// What happened on a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "every request is one, and would be moved to memory of its own"
)]
enum Event {
    Request(HttpSession),
    Malformed,
    /// The proxy drains.
    Draining,
    /// Nothing was under way for long, or its place is needed.
    Idle,
    /// Look again.
    Changed,
    /// The last was said, and the client's closing is waited for.
    Closing,
    Ended(Option<Box<Error>>),
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    engine: Arc<Engine>,
    stream: Stream,
    terms: Terms,
    mut shutdown: ShutdownWatch,
) {
    let watch = Arc::new(Watch::default());
    let digest = Arc::new(digest(&stream, &watch));
    let meter = Meter::new(&terms.frames, Instant::now());
    let stream = Box::new(Metered::new(stream, meter, watch.clone()));
    let begun = handshake(stream, engine.h2_options.clone());
    let mut connection = match pingora_timeout::timeout(terms.handshake, begun).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return debug!(%error, "connection ended before its first frame"),
        Err(_) => {
            terms.telemetry.count_limit("handshake_timeout");
            return debug!("HTTP/2's preface took over {:?}", terms.handshake);
        }
    };
    let mut malformed = 0;
    let mut idle_max = terms.keepalive;
    let mut is_draining = false;
    let why = loop {
        if let Some(abuse) = watch.abuse() {
            break Some(abuse);
        }
        let event = tokio::select! {
            biased;
            () = draining(&mut shutdown), if !is_draining => Event::Draining,
            event = next(&mut connection, &digest, &watch) => event,
            () = watch.changed.notified() => Event::Changed,
            () = pingora_timeout::sleep(idle_max), if watch.is_idle() => Event::Idle,
            () = Spared::default(), if watch.is_idle() => Event::Idle,
        };
        match event {
            Event::Request(session) => answer(&engine, session, &terms, &shutdown, &watch),
            Event::Malformed => {
                terms.telemetry.http2.malformed.inc();
                malformed += 1;
                if malformed >= MALFORMED_MAX {
                    break Some(Abuse::StreamFaults);
                }
            }
            // It was told before, and has not closed.
            Event::Idle if is_draining => break None,
            Event::Draining | Event::Idle => {
                connection.graceful_shutdown();
                idle_max = LAST_REQUEST_WAIT;
                is_draining = true;
            }
            Event::Changed => {}
            Event::Closing => {
                let fault = close(&mut connection, &watch).await.err();
                return tell(&terms, &digest, fault.as_ref().and_then(fault_of));
            }
            Event::Ended(error) => {
                let fault = error
                    .as_ref()
                    .and_then(|error| error.root_cause().downcast_ref());
                return tell(&terms, &digest, fault.and_then(fault_of));
            }
        }
    };
    if why.is_some() {
        tell(&terms, &digest, why);
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        // What it ends with is what it was told to.
        let _ = close(&mut connection, &watch).await;
    }
}

/// Counts and logs why a connection ends, if it is for what its client did.
fn tell(terms: &Terms, digest: &Digest, why: Option<Abuse>) {
    if let Some(abuse) = why {
        terms.telemetry.http2.end(abuse, address(digest));
    }
}

/// Answers a request beside the others.
fn answer(
    engine: &Arc<Engine>,
    session: HttpSession,
    terms: &Terms,
    shutdown: &ShutdownWatch,
    watch: &Arc<Watch>,
) {
    let mut session = ServerSession::new_http2(session);
    session.set_write_timeout(Some(terms.answer.stall));
    session.set_total_drain_timeout(Some(terms.body.stall));
    let (engine, shutdown) = (engine.clone(), shutdown.clone());
    let under_way = UnderWay::new(watch);
    tokio::spawn(async move {
        engine.process_new_http(session, &shutdown).await;
        drop(under_way);
    });
}

/// Drives the connection until something happens that is looked at here.
async fn next(connection: &mut Http2, digest: &Arc<Digest>, watch: &Watch) -> Event {
    let mut accepting = pin!(HttpSession::from_h2_conn(connection, digest.clone()));
    poll_fn(|cx| match accepting.as_mut().poll(cx) {
        Poll::Ready(Ok(Some(H2Accept::Session(session)))) => Poll::Ready(Event::Request(session)),
        Poll::Ready(Ok(Some(H2Accept::Rejected))) => Poll::Ready(Event::Malformed),
        Poll::Ready(Ok(None)) => Poll::Ready(Event::Ended(None)),
        Poll::Ready(Err(error)) => Poll::Ready(Event::Ended(Some(error))),
        Poll::Pending if watch.abuse().is_some() => Poll::Ready(Event::Changed),
        Poll::Pending if watch.is_closing() => Poll::Ready(Event::Closing),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Sends what is to be sent, and waits a little until the client has read it.
///
/// # Errors
/// What the library ended the connection for.
async fn close(connection: &mut Http2, watch: &Watch) -> Result<(), h2::Error> {
    let closed = poll_fn(|cx| connection.poll_closed(cx));
    if let Ok(closed) = pingora_timeout::timeout(LINGER, closed).await {
        return closed;
    }
    watch.give_up();
    // It is not waited for: it is dropped, as it is.
    poll_fn(|cx| match connection.poll_closed(cx) {
        Poll::Ready(closed) => Poll::Ready(closed),
        Poll::Pending => Poll::Ready(Ok(())),
    })
    .await
}

/// Ends when the proxy drains.
async fn draining(shutdown: &mut ShutdownWatch) {
    // An error means that the proxy is going away without a word.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// What the library ended the connection for.
fn fault_of(fault: &h2::Error) -> Option<Abuse> {
    if !fault.is_go_away() || !fault.is_library() {
        return None;
    }
    match fault.reason()? {
        Reason::NO_ERROR => None,
        Reason::ENHANCE_YOUR_CALM => Some(Abuse::Library),
        _ => Some(Abuse::Protocol),
    }
}

fn digest(stream: &Stream, watch: &Arc<Watch>) -> Digest {
    // The one place that Pingora has for what we know of a connection; no client connects
    // through such a proxy.
    let head = ResponseHeader::build(StatusCode::OK, Some(0)).ok();
    let known = head.map(|head| ProxyDigest::new(Box::new(head), Some(Box::new(watch.clone()))));
    Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: known.map(Arc::new),
        socket_digest: stream.get_socket_digest(),
    }
}

fn address(digest: &Digest) -> Option<IpAddr> {
    transport::peer(digest.socket_digest.as_ref()?)
}

/// Notes that a stream was ended since its client did not go on.
pub(crate) fn stalled(digest: Option<&Digest>) {
    let known = digest.and_then(|digest| digest.proxy_digest.as_ref()?.user_data.as_ref());
    if let Some(watch) = known.and_then(|known| known.downcast_ref::<Arc<Watch>>()) {
        watch.stall();
    }
}
