//! Clients that deal out what they send, or that do not take what they asked for, are let go;
//! those that are merely slow are served.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use penstock::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::certificates::Authority;
use crate::harness::client::{BOTH, Body, Client, Http, get, streamed_chat, with};
use crate::harness::raw::{Raw, WAIT};
use crate::harness::{Proxy, all_to, config, eventually, pattern, simulator};

on_both!(
    a_head_that_is_dealt_out_is_refused,
    a_head_in_pieces_is_served,
    a_body_that_is_dealt_out_is_refused,
    a_body_that_keeps_up_may_take_its_time,
    a_body_does_not_wait_for_its_upstream,
    who_takes_little_of_an_answer_is_reset,
    who_takes_nothing_of_the_last_answer_is_reset,
    who_takes_an_answer_slowly_gets_all_of_it,
    an_answer_that_has_nothing_to_say_is_not_late,
    a_handshake_has_an_end,
    a_silent_connection_of_http2_is_closed,
);

/// Sends a byte again and again until the proxy has closed, or has had much longer than it may
/// take; returns what it said.
async fn deal_out(stream: TcpStream, bytes: &[u8]) -> String {
    let (mut reading, mut writing) = stream.into_split();
    let bytes = bytes.to_vec();
    let dealing = tokio::spawn(async move {
        for byte in bytes.iter().cycle().take(600) {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    // A reset ends it too: what was said before it counts.
    let read = tokio::time::timeout(WAIT, reading.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "not closed: {:?}",
        String::from_utf8_lossy(&answer)
    );
    dealing.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

fn limit(proxy: &Proxy, name: &str) -> f64 {
    proxy.metric(
        "penstock_limit_reached_total",
        &[&format!("limit=\"{name}\"")],
    )
}

fn slow(proxy: &Proxy) -> f64 {
    proxy.metric("penstock_outcomes_total", &["outcome=\"client_slow\""])
}

/// Checks that this is 408, told as an SDK reads it, and that nothing follows it.
fn is_timeout(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.contains("connection: close"), "{head:?}");
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(value["error"]["code"], "request_timeout", "{value}");
}

async fn a_head_that_is_dealt_out_is_refused(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { head_timeout: 300ms, keepalive_timeout: 1h }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    let beginning = "GET /v1/models HTTP/1.1\r\nhost: a\r\n";
    let mut first = Raw::connect(proxy.address()).await;
    first.send(beginning).await;
    is_timeout(&deal_out(first.0, b"x: y\r\n").await);
    // A request that follows another one has no more time.
    let mut second = Raw::connect(proxy.address()).await;
    second.send("GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").await;
    second.read_until("\r\n\r\nok").await;
    second.send(beginning).await;
    is_timeout(&deal_out(second.0, b"x: y\r\n").await);
    assert_eq!(limit(&proxy, "head_timeout"), 2.0);
    eventually("both are told of", || slow(&proxy) == 2.0).await;
    assert_eq!(upstream.requests(), 1, "an upstream saw part of a head");
}

async fn a_head_in_pieces_is_served(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { head_timeout: 5s, keepalive_timeout: 1h }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    let mut raw = Raw::connect(proxy.address()).await;
    for _ in 0..2 {
        for piece in ["GE", "T /plain HT", "TP/1.1\r\nho", "st: a\r\n", "\r", "\n"] {
            raw.send(piece).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        raw.read_until("\r\n\r\nok").await;
    }
    assert_eq!(limit(&proxy, "head_timeout"), 0.0);
}

const BODIES: &str = "limits: { read_timeout: 400ms, read_rate: 10KiB }";

/// Routes that read a body whole before it is sent on, or send it on as it comes.
const ATTEMPTS: [usize; 2] = [1, 2];

async fn a_body_that_is_dealt_out_is_refused(transport: Transport) {
    for attempts in ATTEMPTS {
        let upstream = simulator(&[]);
        let rest = all_to(upstream.address());
        let rest = rest.replace("name: all,", &format!("name: all, attempts: {attempts},"));
        let proxy = Proxy::start(&config(transport, BODIES, &rest)).await;
        // The first waits at the door, the others have been let in.
        let much = "x".repeat(4096);
        for (framing, beginning, bytes) in [
            ("content-length: 100000", "", "x"),
            ("content-length: 100000", &*much, "x"),
            ("transfer-encoding: chunked", "", "1\r\nx\r\n"),
        ] {
            let mut raw = Raw::connect(proxy.address()).await;
            raw.send(format!(
                "POST /v1/echo HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{beginning}"
            ))
            .await;
            is_timeout(&deal_out(raw.0, bytes.as_bytes()).await);
        }
        assert_eq!(limit(&proxy, "read_timeout"), 3.0, "{attempts}");
        eventually("all are told of", || slow(&proxy) == 3.0).await;
        eventually("no upstream waits for the rest", || {
            upstream.connections_open() == 0
        })
        .await;
        proxy.forgets_bodies().await;
    }
    a_stream_that_is_dealt_out_is_refused(transport).await;
}

/// So much at a time, so often, with a pause before each.
fn dealt_out(size: usize, times: usize, pause: Duration) -> Body {
    let piece = Bytes::from(vec![b'x'; size]);
    let pieces = stream::unfold(times, move |left| {
        let piece = piece.clone();
        async move {
            let left = left.checked_sub(1)?;
            tokio::time::sleep(pause).await;
            Some((Ok(Frame::data(piece)), left))
        }
    });
    BodyExt::boxed(StreamBody::new(Box::pin(pieces)))
}

async fn a_stream_that_is_dealt_out_is_refused(transport: Transport) {
    let upstream = simulator(&[]);
    let rest = all_to(upstream.address()).replace("name: all,", "name: all, attempts: 2,");
    let proxy = Proxy::start(&config(transport, BODIES, &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    let body = dealt_out(1, 400, Duration::from_millis(20));
    let request = http::Request::post("/v1/echo").body(body).unwrap();
    let answer = client.answer(request).await;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert_eq!(answer.error_code(), "request_timeout");
    assert_eq!(limit(&proxy, "read_timeout"), 1.0);
    let next = client.answer(get("/plain")).await;
    assert_eq!(next.status, 200, "the other streams go on");
}

async fn a_body_that_keeps_up_may_take_its_time(transport: Transport) {
    for attempts in ATTEMPTS {
        let upstream = simulator(&[]);
        let rest = all_to(upstream.address());
        let rest = rest.replace("name: all,", &format!("name: all, attempts: {attempts},"));
        let proxy = Proxy::start(&config(transport, BODIES, &rest)).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            let body = dealt_out(8 << 10, 20, Duration::from_millis(60));
            let request = http::Request::post("/echo").body(body).unwrap();
            let answer = client.answer(request).await;
            assert_eq!(answer.status, 200, "{http:?}, {attempts}");
            assert_eq!(answer.body.len(), 20 * (8 << 10));
        }
        assert_eq!(limit(&proxy, "read_timeout"), 0.0);
    }
}

async fn a_body_does_not_wait_for_its_upstream(transport: Transport) {
    let upstream = simulator(&[("record", "0")]);
    let limits = "limits: { request_body: 64MiB, read_timeout: 300ms, write_timeout: 300ms }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    // More than all buffers between two sockets hold.
    let sent = pattern(32 << 20);
    let request = http::Request::post("/echo").body(crate::harness::client::whole(sent.clone()));
    let request = with(request.unwrap(), "x-simulate", "stall; at=body; for=1s");
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.answer(request).await;
    assert!(answer.body == sent, "{}", answer.status);
}

const ANSWERS: &str =
    "limits: { write_timeout: 500ms, write_rate: 10KiB, keepalive_timeout: 1h }\nworkers: 1";

/// A client whose system takes little ahead of it.
async fn with_a_small_window(proxy: &Proxy) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(proxy.address()).await.unwrap()
}

/// Reads so much at a time until the end, and says how that was.
async fn read_slowly(stream: &mut TcpStream, size: usize) -> (usize, std::io::Result<()>) {
    let mut read = 0;
    let mut room = vec![0; size];
    for _ in 0..2000 {
        match stream.read(&mut room).await {
            Ok(0) => return (read, Ok(())),
            Ok(more) => read += more,
            Err(error) => return (read, Err(error)),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (read, Ok(()))
}

async fn who_takes_little_of_an_answer_is_reset(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, ANSWERS, &all_to(upstream.address()))).await;
    let mut slow_one = with_a_small_window(&proxy).await;
    let request = "GET /bytes/1000000000 HTTP/1.1\r\nhost: a\r\n\r\n";
    slow_one.write_all(request.as_bytes()).await.unwrap();
    let mut room = [0; 5];
    for _ in 0..WAIT.as_millis() / 20 {
        if limit(&proxy, "write_timeout") > 0.0 || slow_one.read(&mut room).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What its own system has taken is there still.
    let (_, end) = read_slowly(&mut slow_one, 1 << 20).await;
    let end = end.expect_err("it is not closed as if it were whole");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    eventually("it is told of", || slow(&proxy) == 1.0).await;
    assert_eq!(limit(&proxy, "write_timeout"), 1.0);
    eventually("the upstream is let go", || {
        upstream.connections_open() == 0
    })
    .await;
    // Over HTTP/2 as well: the window of the connection is large, that of its system is not.
    let stream = with_a_small_window(&proxy).await;
    let mut client = h2_client(stream).await;
    let response = client.send(get("/bytes/1000000000")).await.unwrap();
    eventually("the connection is let go", || {
        limit(&proxy, "write_timeout") == 2.0
    })
    .await;
    drop(response);
    eventually("and counted as open no more", || {
        proxy.metric("penstock_connections_open", &[]) == 0.0
    })
    .await;
}

/// A client of HTTP/2 that allows much more than its system takes, and reads at a crawl.
async fn h2_client(stream: TcpStream) -> Client {
    let (here, there) = tokio::io::duplex(64);
    let (mut from_proxy, mut to_proxy) = stream.into_split();
    let (mut from_client, mut to_client) = tokio::io::split(there);
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_proxy).await });
    tokio::spawn(async move {
        let mut room = [0; 64];
        // The beginning quickly, so that the answer is under way.
        for turn in 0..4000 {
            let read = from_proxy.read(&mut room).await.unwrap_or(0);
            if read == 0 || to_client.write_all(&room[..read]).await.is_err() {
                return;
            }
            if turn > 10 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let io = hyper_util::rt::TokioIo::new(here);
    let (sender, connection) =
        hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .initial_stream_window_size(1 << 30)
            .initial_connection_window_size(1 << 30)
            .handshake(io)
            .await
            .unwrap();
    tokio::spawn(connection);
    Client::Two(sender)
}

async fn who_takes_nothing_of_the_last_answer_is_reset(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, ANSWERS, &all_to(upstream.address()))).await;
    let mut idle = with_a_small_window(&proxy).await;
    // The system takes all of it, and the client nothing: the proxy has long finished.
    let request = "GET /bytes/20000 HTTP/1.1\r\nhost: a\r\n\r\n";
    idle.write_all(request.as_bytes()).await.unwrap();
    eventually("it is told of", || limit(&proxy, "write_timeout") == 1.0).await;
    eventually("the connection is let go", || {
        proxy.metric("penstock_connections_open", &[]) == 0.0
    })
    .await;
    let (_, end) = read_slowly(&mut idle, 4096).await;
    let end = end.expect_err("what it had not taken was thrown away");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

async fn who_takes_an_answer_slowly_gets_all_of_it(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, ANSWERS, &all_to(upstream.address()))).await;
    let mut honest = with_a_small_window(&proxy).await;
    // Some five times the bound.
    let request = "GET /bytes/300000 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    honest.write_all(request.as_bytes()).await.unwrap();
    let (read, end) = read_slowly(&mut honest, 2048).await;
    assert!(end.is_ok() && read > 300_000, "{read} bytes, {end:?}");
    assert_eq!(limit(&proxy, "write_timeout"), 0.0);
}

async fn an_answer_that_has_nothing_to_say_is_not_late(transport: Transport) {
    let upstream = simulator(&[("tokens", "3"), ("between-tokens", "700ms")]);
    let limits = "limits: { read_timeout: 100ms, write_timeout: 100ms, head_timeout: 100ms, keepalive_timeout: 200ms }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let request = with(streamed_chat(), "x-simulate", "stall; at=head; for=500ms");
        let answer = client.answer(request).await;
        assert!(
            answer.text().ends_with("data: [DONE]\n\n"),
            "{http:?}: {answer:?}"
        );
    }
    assert_eq!(slow(&proxy), 0.0);
}

async fn a_handshake_has_an_end(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("penstock.test").write(folder.path());
    let listener = crate::reload::tls_listener(folder.path());
    let server = format!("{listener}\nlimits: {{ handshake_timeout: 300ms, head_timeout: 300ms }}");
    let proxy = Proxy::start(&config(transport, &server, &all_to(upstream.address()))).await;
    // Nothing, and the beginning of a record of 512 bytes.
    for beginning in [&[][..], &[0x16, 3, 1, 2, 0]] {
        let mut raw = Raw::connect(proxy.address()).await;
        raw.send(beginning).await;
        raw.read_to_end().await;
    }
    eventually("both are counted", || {
        limit(&proxy, "handshake_timeout") == 2.0
    })
    .await;
    // HTTP/2 is chosen, and not spoken.
    for preface in ["", "PRI * HTTP"] {
        let stream = authority.connect(proxy.address(), "penstock.test", &["h2"]);
        let mut stream = stream.await.unwrap();
        stream.write_all(preface.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(WAIT, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{preface:?} holds a connection");
    }
    eventually("they are counted as well", || {
        limit(&proxy, "handshake_timeout") == 4.0
    })
    .await;
    // A head over TLS has no more time than another one.
    let stream = authority.connect(proxy.address(), "penstock.test", &["http/1.1"]);
    let mut stream = stream.await.unwrap();
    stream.write_all(b"GET /v1/x HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(WAIT, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "half a head holds a connection");
    is_timeout(&String::from_utf8_lossy(&answer));
}

async fn a_silent_connection_of_http2_is_closed(transport: Transport) {
    let upstream = simulator(&[("tokens", "3"), ("between-tokens", "700ms")]);
    let limits = "limits: { keepalive_timeout: 300ms }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    let answer = client.answer(streamed_chat()).await;
    assert!(
        answer.text().ends_with("[DONE]\n\n"),
        "it is not idle while a stream is open: {answer:?}"
    );
    let Client::Two(sender) = &client else {
        panic!("asked for HTTP/2");
    };
    eventually("its client sees the end", || sender.is_closed()).await;
    // One that has sent nothing but the preface, and the settings after it.
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0")
        .await;
    raw.read_to_end().await;
    // And one that has sent nothing.
    Raw::connect(proxy.address()).await.read_to_end().await;
}
