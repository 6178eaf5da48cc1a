//! Upstreams that fail, each in one way.

use std::convert::Infallible;
use std::future::Future;
use std::net::{SocketAddr, TcpStream as Blocking};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_simulator::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::site::Site;
use super::{Does, End, Over};
use crate::harness::client::whole;
use crate::harness::raw::read_request;
use crate::harness::{Refusing, simulator};

const EVENTS: &str = "text/event-stream";

/// An upstream, for as long as it is to live.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    /// Where it is without TLS.
    pub(super) plain: SocketAddr,
    server: Server,
}

enum Server {
    Simulator(Simulator),
    /// It counts its connections, of which each is for one request.
    Scripted(Arc<AtomicU64>),
    /// Nobody who could count.
    Nobody {
        _address: Box<dyn Send>,
    },
}

impl Upstream {
    /// One that answers well.
    pub(super) async fn good(site: &Site, over: Over) -> Upstream {
        let good = simulator(&[("name", "good"), ("record", "1")]);
        let plain = good.address();
        Upstream {
            address: site.secured(plain, over).await,
            plain,
            server: Server::Simulator(good),
        }
    }

    /// One that fails.
    pub(super) async fn bad(site: &Site, does: Does, streamed: bool, over: Over) -> Upstream {
        let (plain, mut server) = start(does, streamed).await;
        if (does, over) == (Does::Hang, Over::Two) {
            server = nobody(server);
        }
        let address = match does {
            Does::Stranger => site.secured_by_a_stranger(plain, over).await,
            Does::Hang | Does::HangUp | Does::NoTls => plain,
            _ => site.secured(plain, over).await,
        };
        Upstream {
            address,
            plain,
            server,
        }
    }

    /// How often it was asked, if there is somebody to count.
    pub(super) fn asked(&self) -> Option<u64> {
        match &self.server {
            Server::Simulator(simulator) => Some(simulator.requests()),
            Server::Scripted(asked) => Some(asked.load(Ordering::SeqCst)),
            Server::Nobody { .. } => None,
        }
    }

    /// The body that a good one got last.
    pub(super) fn got(&self) -> Bytes {
        match &self.server {
            Server::Simulator(simulator) => simulator.recorded().pop().unwrap().body,
            _ => panic!("only simulators record"),
        }
    }
}

async fn start(does: Does, streamed: bool) -> (SocketAddr, Server) {
    match does {
        Does::Simulate(fault) => {
            let faults = format!("{fault}=1");
            // Time between tokens, so that a reset does not overtake those before it.
            let pace = ("between-tokens", "20ms");
            let bad = simulator(&[("name", "bad"), ("faults", &faults), pace, ("record", "0")]);
            (bad.address(), Server::Simulator(bad))
        }
        Does::Stranger => {
            let never = simulator(&[("name", "bad")]);
            (never.address(), nobody(never))
        }
        Does::Refuse => {
            let refusing = Refusing::new();
            (refusing.address(), nobody(refusing))
        }
        // The loopback's broadcast address: the kernel knows that TCP does not get there.
        Does::Unreachable => {
            let port = Refusing::new();
            let address = ([127, 255, 255, 255], port.address().port());
            (address.into(), nobody(port))
        }
        Does::NoRoom => full(),
        Does::Hang => scripted(silence).await,
        Does::HangUp => scripted(|stream| async move { drop(stream) }).await,
        Does::NoTls => scripted(interrupt).await,
        Does::Tell(length, body) => {
            let (address, server) = scripted(move |stream| tell(stream, length, body)).await;
            // A connection is for many requests there.
            (address, nobody(server))
        }
        Does::ResetStream(code) => {
            // RST_STREAM.
            let frame = move |id| frame(3, id, &code.to_be_bytes());
            let (address, server) = scripted(move |stream| cut_off(stream, frame)).await;
            (address, nobody(server))
        }
        Does::GoAway(code) => {
            // GOAWAY, with no stream that is still handled.
            let frame = move |_| frame(7, 0, &[[0; 4], code.to_be_bytes()].concat());
            let (address, server) = scripted(move |stream| cut_off(stream, frame)).await;
            (address, nobody(server))
        }
        Does::Say(text, end) => scripted(move |stream| say(stream, text.into(), end)).await,
        Does::Answer(framing, body, end) => {
            let text = Bytes::from(answer(streamed, framing, body));
            scripted(move |stream| say(stream, text.clone(), end)).await
        }
        Does::Events(events, end) => {
            let chunk = |event: &&str| format!("{:x}\r\n{event}\r\n", event.len());
            let chunks: String = events.iter().map(chunk).collect();
            let text = Bytes::from(answer(streamed, "transfer-encoding: chunked", &chunks));
            scripted(move |stream| say(stream, text.clone(), end)).await
        }
        Does::Head { lines, bytes } => {
            let line = format!("x-line: {}\r\n", "a".repeat(bytes));
            let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", line.repeat(lines));
            let text = Bytes::from(head);
            scripted(move |stream| say(stream, text.clone(), End::Close)).await
        }
        Does::Half(length) => {
            let framing = format!("content-length: {length}");
            let text = Bytes::from(answer(streamed, &framing, &"a".repeat(length / 2)));
            scripted(move |stream| say(stream, text.clone(), End::Close)).await
        }
    }
}

fn nobody(address: impl Send + 'static) -> Server {
    let _address = Box::new(address);
    Server::Nobody { _address }
}

/// A listener whose queue of connections is full: the kernel leaves others unanswered.
fn full() -> (SocketAddr, Server) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let only = Blocking::connect(address).unwrap();
    (address, nobody((socket, only)))
}

/// An upstream that does the same on each connection.
async fn scripted<F>(on: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, Server)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(on(stream));
        }
    });
    (address, Server::Scripted(asked))
}

/// Reads a request, answers with this text, and ends like this.
async fn say(mut stream: TcpStream, text: Bytes, end: End) {
    if read_request(&mut stream).await.is_none() || stream.write_all(&text).await.is_err() {
        return;
    }
    match end {
        End::Close => {
            let _ = stream.shutdown().await;
            silence(stream).await;
        }
        End::Reset => stream.set_zero_linger().unwrap(),
        End::Silence => silence(stream).await,
    }
}

/// Says nothing more for as long as the other side stays.
async fn silence(mut stream: TcpStream) {
    let mut read = [0; 4096];
    while stream.read(&mut read).await.is_ok_and(|n| n > 0) {}
}

/// Answers whatever comes first in another protocol.
async fn interrupt(mut stream: TcpStream) {
    let mut read = [0; 4096];
    let _ = stream.read(&mut read).await;
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let _ = stream.shutdown().await;
    silence(stream).await;
}

/// Answers over HTTP/2 with a stream of this length, as it says, and of this body.
async fn tell(stream: TcpStream, length: Option<usize>, body: &'static str) {
    let answer = service_fn(
        move |request: http::Request<hyper::body::Incoming>| async move {
            let _ = request.into_body().collect().await;
            let mut answer = Response::builder().header("content-type", EVENTS);
            if let Some(length) = length {
                answer = answer.header("content-length", length);
            }
            Ok::<_, Infallible>(answer.body(whole(body)).unwrap())
        },
    );
    let server = http2::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
}

/// Answers each request over HTTP/2 with this frame, made for its stream.
async fn cut_off(mut stream: TcpStream, answer: impl Fn(u32) -> Vec<u8>) {
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    let mut preface = [0; PREFACE];
    // SETTINGS are the first frame, and may be empty.
    if stream.read_exact(&mut preface).await.is_err()
        || stream.write_all(&frame(4, 0, &[])).await.is_err()
    {
        return;
    }
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if head[3] == HEADERS && stream.write_all(&answer(id)).await.is_err() {
            return;
        }
    }
}

/// A frame of HTTP/2 without flags (RFC 9113 section 4.1).
fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

/// A head of success with these lines, and a body.
fn answer(streamed: bool, lines: &str, body: &str) -> String {
    let content_type = if streamed { EVENTS } else { "application/json" };
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nx-upstream-name: bad\r\n{lines}\r\n\r\n{body}"
    )
}
