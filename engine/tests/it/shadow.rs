//! Copies of requests go to another upstream, and their own clients never know.

use std::net::SocketAddr;

use http::Request;
use penstock::transport::Transport;
use penstock_plugins::authenticate;
use penstock_simulator::Simulator;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::client::{BOTH, Body, Client, Http, get, post, with};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::{Raw, WAIT, read_head};
use crate::harness::{Proxy, Refusing, config, eventually, simulator};

on_both!(
    a_client_gets_the_same_bytes_whatever_becomes_of_the_copy,
    copies_have_their_share_their_model_and_their_credential,
    what_is_beyond_the_bounds_is_not_copied,
    a_body_is_copied_as_it_passes,
    an_answer_is_not_read_for_ever,
    a_request_without_a_body_is_copied_too,
    copies_are_charged_to_nobody,
    a_connection_for_copies_is_used_again,
    a_shutdown_does_not_wait_for_copies,
    a_reload_ends_it,
);

const KEY: &str = "psk_of_nobody";
const SECRET: &str = "sk-shadow-0123456789";

/// The primary `a`, and `b` for copies of `shadow`.
fn text(a: SocketAddr, b: &str, shadow: &str) -> String {
    let hash = authenticate::hash(KEY.as_bytes());
    format!(
        "upstreams:
  a: {{ endpoints: [\"{a}\"] }}
  b: {{ endpoints: [{b}] }}
chain:
- authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: c }}] }} }}
- limits: [{{ name: t, tokens: 100000, per: 1h, by: [key] }}]
routes:
- name: all
  split: [{{ upstream: a }}]
  attempts: 1
  {shadow}
"
    )
}

/// The same without plugins, so that nobody else takes the client's credentials away.
fn bare(text: &str) -> String {
    let (upstreams, rest) = text.split_once("chain:").unwrap();
    let (_, routes) = rest.split_once("routes:").unwrap();
    format!("{upstreams}routes:{routes}")
}

fn shadow(rest: &str) -> String {
    format!("shadow: {{ upstream: b, {rest} }}")
}

fn mine(request: Request<Body>) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {KEY}"))
}

fn chat(stream: bool, content: &str) -> Request<Body> {
    let body = format!(
        r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"{content}"}}]}}"#
    );
    mine(post("/v1/chat/completions", body))
}

fn outcomes(proxy: &Proxy, outcome: &str) -> f64 {
    let label = format!("outcome=\"{outcome}\"");
    proxy.metric("penstock_shadow_total", &[&label, "upstream=\"b\""])
}

async fn ended(proxy: &Proxy, outcome: &str, count: f64, what: &str) {
    eventually(&format!("{what}: {outcome}"), || {
        outcomes(proxy, outcome) == count
    })
    .await;
    proxy.forgets_bodies().await;
}

/// A primary whose answers repeat to the byte.
fn primary() -> Simulator {
    simulator(&[("name", "a"), ("created", "1"), ("record", "500")])
}

async fn a_client_gets_the_same_bytes_whatever_becomes_of_the_copy(transport: Transport) {
    let upstream = primary();
    let good = simulator(&[]);
    let bad = simulator(&[("faults", "500=1")]);
    let stalled = simulator(&[("faults", "stall; at=head=1")]);
    let dead = Refusing::new();
    let alone = text(upstream.address(), "\"127.0.0.1:1\"", "");
    let alone = Proxy::start(&config(transport, "", &alone)).await;
    for (address, outcome) in [
        (good.address(), "completed"),
        (bad.address(), "server_error"),
        (stalled.address(), "timed_out"),
        (dead.address(), "failed"),
    ] {
        let b = format!("\"{address}\"");
        // On a busy machine, the others must not be cut off first.
        let timeout = if outcome == "timed_out" {
            "300ms"
        } else {
            "9s"
        };
        let bounds = shadow(&format!("percent: 100, timeout: {timeout}"));
        let rest = text(upstream.address(), &b, &bounds);
        let rest = rest.replace(&format!("[{b}] }}"), &format!("[{b}], ejection: off }}"));
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut count = 0.0;
        for http in BOTH {
            for stream in [true, false] {
                let what = format!("{outcome}, {http:?}, streamed: {stream}");
                let mut client = Client::connect(alone.address(), http).await;
                let wanted = client.answer(chat(stream, "a b c")).await;
                let mut client = Client::connect(proxy.address(), http).await;
                let answer = client.answer(chat(stream, "a b c")).await;
                assert_eq!(answer.status, wanted.status, "{what}");
                assert_eq!(answer.body, wanted.body, "{what}");
                let names = |headers: &http::HeaderMap| {
                    let mut names: Vec<_> = headers.keys().cloned().collect();
                    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
                    names
                };
                assert_eq!(names(&answer.headers), names(&wanted.headers), "{what}");
                assert_eq!(answer.upstream(), "a", "{what}");
                count += 1.0;
            }
        }
        ended(&proxy, outcome, count, "all copies").await;
        let timed = proxy.metric("penstock_shadow_duration_seconds_count", &["route=\"all\""]);
        assert_eq!(timed, count, "{outcome}");
    }
}

async fn copies_have_their_share_their_model_and_their_credential(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    for (protocol, is_known) in [("http1", true), ("http2", true), ("http1", false)] {
        let (upstream, other) = (primary(), simulator(&[("record", "500")]));
        let b = format!("\"{}\"", other.address());
        let rest = text(upstream.address(), &b, &shadow("percent: 20, model: new"));
        let credentials = format!(
            ", credentials: [{{ bearer: {{ file: \"{}\" }} }}]",
            secret.display()
        );
        let credentials = if is_known { &credentials } else { "" };
        let rest = rest.replace(
            &format!("[{b}] }}"),
            &format!("[{b}], protocol: {protocol}{credentials} }}"),
        );
        let rest = bare(&rest);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            for _ in 0..100 {
                let request = with(chat(false, "a secret"), "cookie", "session=mine");
                let request = with(request, "x-goog-api-key", "mine");
                let request = with(request, "x-mine", "kept");
                assert_eq!(client.answer(request).await.status, 200);
            }
        }
        ended(&proxy, "completed", 40.0, protocol).await;
        let copies = other.recorded();
        assert_eq!(copies.len(), 40, "{protocol}: exactly a fifth");
        for copy in copies {
            let header = |name: &str| copy.headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("x-penstock-shadow"), Some("1"), "{copy:?}");
            let own = is_known.then(|| format!("Bearer {SECRET}"));
            assert_eq!(header("authorization"), own.as_deref());
            for name in ["cookie", "x-goog-api-key", "x-api-key", "api-key"] {
                assert_eq!(header(name), None, "{name} of the client's");
            }
            assert_eq!(header("x-mine"), Some("kept"));
            assert_eq!(copy.path_and_query, "/v1/chat/completions");
            let body: serde_json::Value = serde_json::from_slice(&copy.body).unwrap();
            assert_eq!(body["model"], "new");
            assert_eq!(body["messages"][0]["content"], "a secret");
        }
        let own = upstream.recorded();
        assert_eq!(own.len(), 200);
        for request in own {
            assert!(!request.headers.contains_key("x-penstock-shadow"));
            assert_eq!(request.headers["x-goog-api-key"], "mine");
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["model"], "m");
        }
        assert!(!proxy.metrics().contains(SECRET));
    }
}

async fn what_is_beyond_the_bounds_is_not_copied(transport: Transport) {
    let upstream = primary();
    let stalled = simulator(&[("faults", "stall; at=head=1")]);
    let b = format!("\"{}\"", stalled.address());
    let bounds = shadow("percent: 100, body: 1KiB, concurrent: 2");
    let rest = text(upstream.address(), &b, &bounds);
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    for _ in 0..3 {
        let large = chat(false, &"a".repeat(1024));
        assert_eq!(client.answer(large).await.status, 200);
    }
    assert_eq!(outcomes(&proxy, "skipped_body"), 3.0);
    assert_eq!(stalled.requests(), 0);
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for _ in 0..5 {
            assert_eq!(client.answer(chat(false, "a")).await.status, 200);
        }
    }
    assert_eq!(outcomes(&proxy, "skipped_concurrent"), 8.0);
    eventually("two are under way", || stalled.requests() == 2).await;
}

const BEGINNING: &str = r#"{"model":"m","messages":[{"role":"user","content":""#;
const END: &str = r#""}]}"#;

/// A request of four megabytes in chunks, of which the primary gets the first before the last
/// is sent; and one that is larger than what is copied.
async fn a_body_is_copied_as_it_passes(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = simulator(&[("record", "9")]);
        let b = format!("\"{}\"", other.address());
        let rest = shadow("percent: 100, body: 5MiB, timeout: 10s");
        let rest = text(listener.local_addr().unwrap(), &b, &rest);
        let rest = rest.replace(
            &format!("[{b}] }}"),
            &format!("[{b}], protocol: {protocol} }}"),
        );
        let proxy = Proxy::start(&config(transport, "", &bare(&rest))).await;
        for (pieces, outcome) in [(4, "completed"), (6, "skipped_body")] {
            let mut client = Raw::connect(proxy.address()).await;
            let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
            client.send(head).await;
            let chunk_of = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let chunk = chunk_of(&"a".repeat(1 << 20));
            client.send(chunk_of(BEGINNING)).await;
            let accepted = tokio::time::timeout(WAIT, listener.accept()).await;
            let (mut upstream, _) = accepted.expect("nothing is held up").unwrap();
            let (_, mut read) = read_head(&mut upstream).await.unwrap();
            while !read.contains(&b'{') {
                assert_ne!(upstream.read_buf(&mut read).await.unwrap(), 0);
            }
            let reading = tokio::spawn(async move {
                while !read.ends_with(b"\r\n0\r\n\r\n") {
                    assert_ne!(upstream.read_buf(&mut read).await.unwrap(), 0);
                }
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                upstream.write_all(answer.as_bytes()).await.unwrap();
            });
            for _ in 0..pieces {
                client.send(&chunk).await;
            }
            client.send(chunk_of(END) + "0\r\n\r\n").await;
            assert!(client.text_to_end().await.ends_with("ok"));
            reading.await.unwrap();
            ended(&proxy, outcome, 1.0, protocol).await;
        }
        let copies = other.recorded();
        assert_eq!(copies.len(), 1, "{protocol}");
        assert_eq!(
            copies[0].body.len(),
            BEGINNING.len() + (4 << 20) + END.len()
        );
    }
}

async fn an_answer_is_not_read_for_ever(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let upstream = primary();
        let other = simulator(&[("tokens", "100000"), ("between-tokens", "1ms")]);
        let b = format!("\"{}\"", other.address());
        let rest = text(
            upstream.address(),
            &b,
            &shadow("percent: 100, answer: 4KiB"),
        );
        let rest = rest.replace(
            &format!("[{b}] }}"),
            &format!("[{b}], protocol: {protocol} }}"),
        );
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        assert_eq!(client.answer(chat(true, "a")).await.status, 200);
        ended(&proxy, "answer_too_large", 1.0, protocol).await;
        eventually("the other upstream is left", || other.abandoned() == 1).await;
    }
}

async fn a_request_without_a_body_is_copied_too(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let (upstream, other) = (primary(), simulator(&[("record", "9")]));
        let b = format!("\"{}\"", other.address());
        let rest = text(upstream.address(), &b, &shadow("percent: 100"));
        let rest = rest.replace(
            &format!("[{b}] }}"),
            &format!("[{b}], protocol: {protocol} }}"),
        );
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(mine(get("/v1/models?a=b"))).await;
            assert_eq!(answer.upstream(), "a");
        }
        ended(&proxy, "completed", 2.0, protocol).await;
        let copies = other.recorded();
        let paths: Vec<_> = copies.iter().map(|copy| &*copy.path_and_query).collect();
        assert_eq!(paths, ["/v1/models?a=b"; 2]);
    }
}

async fn copies_are_charged_to_nobody(transport: Transport) {
    let (upstream, other) = (primary(), simulator(&[("tokens", "1000")]));
    let b = format!("\"{}\"", other.address());
    let spent = async |percent: u32| {
        let shadow = shadow(&format!("percent: {percent}"));
        let rest = text(upstream.address(), &b, &shadow);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        for _ in 0..10 {
            assert_eq!(client.answer(chat(false, "a b")).await.status, 200);
        }
        ended(&proxy, "completed", f64::from(percent) / 10.0, "copies").await;
        let tokens = ["limit=\"t\""];
        eventually("all is settled", || {
            proxy.metric("penstock_limit_reserved", &tokens) == 0.0
        })
        .await;
        proxy.metric("penstock_limit_spent", &tokens)
    };
    assert_eq!(spent(100).await, spent(0).await);
}

async fn a_connection_for_copies_is_used_again(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let (upstream, other) = (primary(), simulator(&[]));
        let b = format!("\"{}\"", other.address());
        let rest = text(upstream.address(), &b, &shadow("percent: 100"));
        let rest = rest.replace(
            &format!("[{b}] }}"),
            &format!("[{b}], protocol: {protocol} }}"),
        );
        let proxy = Proxy::start(&config(transport, "workers: 1", &rest)).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        for nth in 0..10 {
            assert_eq!(client.answer(chat(false, "a")).await.status, 200);
            ended(&proxy, "completed", f64::from(nth) + 1.0, protocol).await;
        }
        assert_eq!(other.connections_accepted(), 1, "{protocol}");
    }
}

async fn a_shutdown_does_not_wait_for_copies(transport: Transport) {
    let upstream = primary();
    let stalled = simulator(&[("faults", "stall; at=head=1")]);
    let b = format!("\"{}\"", stalled.address());
    let rest = text(upstream.address(), &b, &shadow("percent: 100, timeout: 1h"));
    let mut proxy = ProxyProcess::start(transport, "drain_timeout: 1h", &rest).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address, http).await;
        assert_eq!(client.answer(chat(false, "a")).await.status, 200);
    }
    eventually("copies are under way", || stalled.requests() == 2).await;
    proxy.process.signal(Signal::TERM);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    eventually("the connections end", || stalled.connections_open() == 0).await;
}

async fn a_reload_ends_it(transport: Transport) {
    let upstream = primary();
    let stalled = simulator(&[("faults", "stall; at=head=1")]);
    let b = format!("\"{}\"", stalled.address());
    let rest = text(
        upstream.address(),
        &b,
        &shadow("percent: 100, timeout: 500ms"),
    );
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    assert_eq!(client.answer(chat(false, "a")).await.status, 200);
    eventually("a copy is under way", || stalled.requests() == 1).await;
    for limit in ["tokens: 1000", "tokens: 1001"] {
        // The second one lets go of the generation that is kept for a rollback.
        let without = text(upstream.address(), &b, "").replace("tokens: 100000", limit);
        proxy
            .reload(&config(transport, "", &without))
            .await
            .unwrap();
    }
    for _ in 0..5 {
        assert_eq!(client.answer(chat(false, "a")).await.status, 200);
    }
    eventually("its metrics go when the copy has ended", || {
        !proxy.metrics().contains("penstock_shadow_total{")
    })
    .await;
    assert_eq!(stalled.requests(), 1, "nothing is copied any more");
}
