//! Request bodies arrive whole: of any size up to the limit, framed either way, over
//! either protocol on either side, read before or streamed through.

use bytes::Bytes;
use http::Request;
use penstock::transport::Transport;
use penstock_simulator::Simulator;

use crate::harness::client::{Answer, BOTH, Body, Client, Http, pieces, whole, with};
use crate::harness::raw::{Raw, ask};
use crate::harness::{Proxy, config, pattern, simulator};

on_both!(
    bodies_of_every_size_arrive_over_http1,
    bodies_of_every_size_arrive_over_http2,
    a_body_of_the_default_limit_arrives,
    a_body_over_the_limit_is_refused,
    a_client_that_sends_all_of_a_body_over_the_limit_reads_why,
    a_body_that_is_announced_over_the_limit_is_not_waited_for,
    a_client_that_waits_for_leave_gets_it,
    a_client_that_waits_for_leave_is_refused_without_it,
);

const LIMIT: usize = 2 << 20;

/// Around Pingora's own limit of 64 KiB, and up to ours.
pub(crate) const SIZES: [usize; 7] = [0, 1, 65_535, 65_536, 65_537, 1 << 20, LIMIT];

/// How a body travels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    Length,
    Chunked,
    OddPieces,
}

pub(crate) const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Chunked, Framing::OddPieces];

/// The ways a request's body is dealt with, chosen by the header `x-way`.
const WAYS: [&str; 3] = ["streamed", "kept", "by-model"];

impl Framing {
    pub(crate) fn body(self, bytes: &Bytes) -> Body {
        match self {
            Framing::Length => whole(bytes.clone()),
            Framing::Chunked => pieces(bytes, &[16 * 1024]),
            Framing::OddPieces => pieces(bytes, &[1, 8191, 3, 70_001, 17]),
        }
    }
}

/// JSON that names a model, of this length if that is possible.
pub(crate) fn json(len: usize) -> Bytes {
    let (start, end) = (r#"{"prompt":""#, r#"","model":"m"}"#);
    let Some(filling) = len.checked_sub(start.len() + end.len()) else {
        return Bytes::from(pattern(len));
    };
    format!("{start}{}{end}", "x".repeat(filling)).into()
}

/// Both protocols upstream, each by all ways.
fn ways(upstream: &Simulator) -> String {
    let address = upstream.address();
    let mut text = format!(
        "upstreams:\n  one: {{ endpoints: [\"{address}\"] }}\n  two: {{ endpoints: [\"{address}\"], protocol: http2 }}\nroutes:\n"
    );
    for protocol in ["one", "two"] {
        for (way, more) in [
            ("by-model", "models: [\"*\"]"),
            ("streamed", ""),
            ("kept", ""),
        ] {
            let attempts = if way == "kept" { 2 } else { 1 };
            text.push_str(&format!(
                "  - {{ name: {way}-{protocol}, match: {{ headers: {{ x-way: {way}, x-upstream: {protocol} }}, {more} }}, attempts: {attempts}, split: [{{ upstream: {protocol} }}] }}\n"
            ));
        }
    }
    // A body without a model goes on to here.
    text.push_str("  - { name: rest, attempts: 1, split: [{ upstream: one }] }\n");
    text
}

pub(crate) fn check_echo(answer: &Answer, sent: &Bytes, what: &str) {
    assert_eq!(answer.status, 200, "{what}: {answer:.300?}");
    assert_eq!(
        answer.header("x-body-length"),
        sent.len().to_string(),
        "{what}"
    );
    let hash = format!("{:016x}", penstock_simulator::body_hash(sent));
    assert_eq!(answer.header("x-body-hash"), hash, "{what}: sent otherwise");
    assert!(answer.body == sent, "{what}: came back otherwise");
}

async fn bodies_of_every_size_arrive_over_http1(transport: Transport) {
    bodies_of_every_size_arrive(transport, Http::One).await;
}

async fn bodies_of_every_size_arrive_over_http2(transport: Transport) {
    bodies_of_every_size_arrive(transport, Http::Two).await;
}

async fn bodies_of_every_size_arrive(transport: Transport, http: Http) {
    let upstream = simulator(&[("record", "0")]);
    let limits = "limits: { request_body: 2MiB }";
    let proxy = Proxy::start(&config(transport, limits, &ways(&upstream))).await;
    let mut client = Client::connect(proxy.address(), http).await;
    for protocol in ["one", "two"] {
        for way in WAYS {
            for framing in FRAMINGS {
                for size in SIZES {
                    let sent = json(size);
                    let request = echo(framing.body(&sent), way, protocol);
                    let what = format!("{size} bytes, {framing:?}, {http:?} to {protocol}, {way}");
                    let answer = client.try_answer(request).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                    check_echo(&answer, &sent, &what);
                }
            }
        }
    }
    proxy.forgets_bodies().await;
}

fn echo(body: Body, way: &str, protocol: &str) -> Request<Body> {
    let request = Request::post("/echo").header("content-type", "application/json");
    let request = request.header("x-way", way).header("x-upstream", protocol);
    request.body(body).unwrap()
}

async fn a_body_of_the_default_limit_arrives(transport: Transport) {
    let upstream = simulator(&[("record", "0")]);
    let proxy = Proxy::start(&config(transport, "", &ways(&upstream))).await;
    let sent = json(16 << 20);
    for http in BOTH {
        for way in ["streamed", "by-model"] {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(echo(whole(sent.clone()), way, "one")).await;
            check_echo(&answer, &sent, &format!("16 MiB over {http:?}, {way}"));
        }
    }
}

async fn a_body_over_the_limit_is_refused(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { request_body: 64KiB }";
    let proxy = Proxy::start(&config(transport, limits, &ways(&upstream))).await;
    let sent = json((64 << 10) + 1);
    for http in BOTH {
        for way in WAYS {
            for framing in FRAMINGS {
                let what = format!("{framing:?} over {http:?}, {way}");
                let mut request = echo(framing.body(&sent), way, "one");
                *request.uri_mut() = "/v1/embeddings".parse().unwrap();
                let mut client = Client::connect(proxy.address(), http).await;
                let answer = client.try_answer(request).await;
                let answer = answer.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(answer.status, 413, "{what}");
                assert_eq!(answer.error_code(), "request_too_large", "{what}");
            }
        }
    }
    let served = upstream.recorded();
    assert!(served.is_empty(), "none of it reached the upstream whole");
    let reached = proxy.metric("penstock_limit_reached_total", &["request_body"]);
    assert_eq!(reached, 18.0, "each refusal is counted by the limit's name");
}

async fn a_client_that_sends_all_of_a_body_over_the_limit_reads_why(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { request_body: 64KiB }";
    let proxy = Proxy::start(&config(transport, limits, &ways(&upstream))).await;
    let len = 4 << 20;
    for way in WAYS {
        for chunked in [false, true] {
            let mut raw = Raw::connect(proxy.address()).await;
            let (framing, body) = if chunked {
                let body = format!("{len:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(len));
                ("transfer-encoding: chunked".to_owned(), body)
            } else {
                (format!("content-length: {len}"), "x".repeat(len))
            };
            raw.send(format!(
                "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nx-way: {way}\r\nx-upstream: one\r\n{framing}\r\n\r\n"
            ))
            .await;
            raw.send(body).await;
            let answer = raw.text_to_end().await;
            assert!(
                answer.starts_with("HTTP/1.1 413 ") && answer.contains("request_too_large"),
                "{way}, {framing}: {answer:?}"
            );
        }
        let sent = json(len);
        for framing in FRAMINGS {
            let mut request = echo(framing.body(&sent), way, "one");
            *request.uri_mut() = "/v1/embeddings".parse().unwrap();
            let mut client = Client::connect(proxy.address(), Http::Two).await;
            let answer = client.answer(request).await;
            assert_eq!(
                answer.error_code(),
                "request_too_large",
                "{way}, {framing:?}"
            );
        }
    }
}

async fn a_client_that_waits_for_leave_is_refused_without_it(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { request_body: 64KiB }";
    let proxy = Proxy::start(&config(transport, limits, &ways(&upstream))).await;
    for way in WAYS {
        let request = format!(
            "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nx-way: {way}\r\nx-upstream: one\r\ncontent-length: 65537\r\nexpect: 100-continue\r\n\r\n"
        );
        let answer = ask(proxy.address(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{way}: {answer:?}");
    }
}

async fn a_body_that_is_announced_over_the_limit_is_not_waited_for(transport: Transport) {
    let upstream = simulator(&[]);
    // A body that is waited for ends with a 408 here, long after the test is over.
    let limits = "limits: { request_body: 64KiB, read_timeout: 10m }";
    let proxy = Proxy::start(&config(transport, limits, &ways(&upstream))).await;
    for way in WAYS {
        let mut raw = Raw::connect(proxy.address()).await;
        raw.send(format!(
            "POST /v1/embeddings HTTP/1.1\r\nhost: a\r\nx-way: {way}\r\nx-upstream: one\r\ncontent-length: 65537\r\n\r\n"
        ))
        .await;
        let answer = raw.read_until("request_too_large").await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{way}: {answer:?}");
    }
}

async fn a_client_that_waits_for_leave_gets_it(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &ways(&upstream))).await;
    for way in WAYS {
        let mut raw = Raw::connect(proxy.address()).await;
        raw.send(format!(
            "POST /echo HTTP/1.1\r\nhost: a\r\nx-way: {way}\r\nx-upstream: one\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
        ))
        .await;
        let leave = raw.read_until("\r\n\r\n").await;
        assert!(leave.starts_with("HTTP/1.1 100"), "{way}: {leave:?}");
        raw.send("hello").await;
        let answer = raw.read_until("hello").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{way}: {answer:?}");
    }
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let refused = with(echo(whole("x"), "kept", "one"), "expect", "100-continue");
    let answer = client.answer(refused).await;
    assert_eq!(
        answer.status, 200,
        "a client that does not wait is served too"
    );
}
