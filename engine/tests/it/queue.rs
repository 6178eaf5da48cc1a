//! Requests that wait for others to end: who goes first, how long, and who may say so.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use penstock::transport::Transport;
use penstock_plugins::authenticate::hash;
use penstock_simulator::Simulator;
use tokio::task::JoinHandle;

use crate::harness::client::{Answer, BOTH, Body, Client, Http, chat, streamed_chat, with};
use crate::harness::raw::Raw;
use crate::harness::{Proxy, config, eventually, simulator};

on_both!(
    the_urgent_go_first,
    only_who_may_says_how_urgent_a_request_is,
    a_wait_has_an_end_and_a_queue_a_length,
    who_leaves_frees_the_place,
    a_share_is_kept_for_the_urgent,
    a_reload_keeps_those_who_wait,
);

/// Keys by their consumers.
const KEYS: [&str; 3] = ["psk_vip", "psk_plain", "psk_sorter"];

/// Streams of about half a second.
fn slow() -> Simulator {
    simulator(&[("tokens", "25"), ("between-tokens", "20ms")])
}

fn text(transport: Transport, overload: &str, upstream: &Simulator, priority: &str) -> String {
    let keys = KEYS.map(|key| {
        let (hash, name) = (hash(key.as_bytes()), key.trim_start_matches("psk_"));
        format!("{{ hash: '{hash}', consumer: {name}, roles: [{name}] }}")
    });
    let rest = format!(
        "chain:
- authenticate: {{ keys: {{ inline: [{}] }} }}
upstreams:
  a: {{ endpoints: [\"{}\"] }}
routes:
- {{ name: all, priority: {priority}, split: [{{ upstream: a }}] }}\n",
        keys.join(", "),
        upstream.address()
    );
    let roles = "high_roles: [vip], header_roles: [sorter]";
    let overload = overload.replace("ROLES", roles);
    config(transport, &format!("overload: {overload}"), &rest)
}

async fn start(transport: Transport, overload: &str, upstream: &Simulator) -> Proxy {
    Proxy::start(&text(transport, overload, upstream, "normal")).await
}

const ONE: &str = "{ concurrency: 1, reserved: 0, queue: { timeout: 20s, ROLES } }";

fn of(key: &str, request: Request<Body>) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {key}"))
}

/// A stream that takes a place, and is to be read on.
async fn hold(proxy: &Proxy) -> (Client, hyper::body::Incoming) {
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.send(of("psk_plain", streamed_chat())).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    (client, body)
}

async fn waits(proxy: &Proxy, class: &str, count: f64) {
    let label = format!("\"{class}\"");
    eventually("so many wait", || {
        proxy.metric("penstock_queue_waiting", &[&label]) == count
    })
    .await;
}

/// Asks beside what else happens, and notes its name when it is answered.
fn ask(
    proxy: &Proxy,
    http: Http,
    name: &'static str,
    request: Request<Body>,
    order: &Arc<Mutex<Vec<&'static str>>>,
) -> JoinHandle<Answer> {
    let (address, order) = (proxy.address(), order.clone());
    tokio::spawn(async move {
        let mut client = Client::connect(address, http).await;
        let answer = client.answer(request).await;
        order.lock().unwrap().push(name);
        answer
    })
}

async fn the_urgent_go_first(transport: Transport) {
    let upstream = slow();
    let proxy = start(transport, ONE, &upstream).await;
    for http in BOTH {
        let order = Arc::default();
        let (_client, body) = hold(&proxy).await;
        let plain = ask(&proxy, http, "plain", of("psk_plain", chat()), &order);
        waits(&proxy, "normal", 1.0).await;
        let vip = ask(&proxy, http, "vip", of("psk_vip", streamed_chat()), &order);
        waits(&proxy, "high", 1.0).await;
        body.collect().await.unwrap();
        assert_eq!(plain.await.unwrap().status, 200);
        assert_eq!(vip.await.unwrap().status, 200);
        assert_eq!(*order.lock().unwrap(), ["vip", "plain"]);
    }
}

async fn only_who_may_says_how_urgent_a_request_is(transport: Transport) {
    let upstream = slow();
    let proxy = start(transport, ONE, &upstream).await;
    let order = Arc::default();
    let (_client, body) = hold(&proxy).await;
    let says = |key, class| with(of(key, chat()), "x-penstock-priority", class);
    let mut asking = Vec::new();
    for (request, class) in [
        (says("psk_plain", "high"), "normal"),
        (says("psk_sorter", "low"), "low"),
        (says("psk_sorter", "high"), "high"),
    ] {
        asking.push(ask(&proxy, Http::One, class, request, &order));
        waits(&proxy, class, 1.0).await;
    }
    body.collect().await.unwrap();
    for asked in asking {
        assert_eq!(asked.await.unwrap().status, 200);
    }
    assert_eq!(*order.lock().unwrap(), ["high", "normal", "low"]);
    for sent in upstream.recorded() {
        assert!(!sent.headers.contains_key("x-penstock-priority"));
    }
}

async fn a_wait_has_an_end_and_a_queue_a_length(transport: Transport) {
    let upstream = simulator(&[("tokens", "100"), ("between-tokens", "20ms")]);
    let short = "{ concurrency: 1, queue: { timeout: 300ms, length: 1, ROLES } }";
    let proxy = start(transport, short, &upstream).await;
    for http in BOTH {
        let order = Arc::default();
        let (_client, body) = hold(&proxy).await;
        let late = ask(&proxy, http, "late", of("psk_plain", chat()), &order);
        waits(&proxy, "normal", 1.0).await;
        let mut client = Client::connect(proxy.address(), http).await;
        let full = client.answer(of("psk_sorter", chat())).await;
        for answer in [full, late.await.unwrap()] {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert_eq!(answer.error_code(), "overloaded");
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=3).contains(&seconds));
            assert_ne!(answer.header("connection"), "close", "there is room");
        }
        waits(&proxy, "normal", 0.0).await;
        body.collect().await.unwrap();
        assert_eq!(client.answer(of("psk_plain", chat())).await.status, 200);
    }
    for cause in ["\"queue_full\"", "\"queue_timeout\""] {
        assert_eq!(
            proxy.metric("penstock_shed_total", &[cause]),
            2.0,
            "{cause}"
        );
    }
}

async fn who_leaves_frees_the_place(transport: Transport) {
    let upstream = simulator(&[("tokens", "1000"), ("between-tokens", "20ms")]);
    let proxy = start(transport, ONE, &upstream).await;
    let (_client, _body) = hold(&proxy).await;
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send("GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer psk_plain\r\n\r\n")
        .await;
    let order = Arc::default();
    let two = ask(&proxy, Http::Two, "two", of("psk_plain", chat()), &order);
    waits(&proxy, "normal", 2.0).await;
    drop(raw);
    waits(&proxy, "normal", 1.0).await;
    two.abort();
    waits(&proxy, "normal", 0.0).await;
    let asked = upstream.recorded().len();
    assert_eq!(asked, 1, "the upstream hears of nobody who has left");
}

async fn a_share_is_kept_for_the_urgent(transport: Transport) {
    let upstream = slow();
    let shared = "{ concurrency: 2, reserved: 50, queue: { timeout: 20s, ROLES } }";
    let proxy = start(transport, shared, &upstream).await;
    let (_client, body) = hold(&proxy).await;
    let order = Arc::default();
    let plain = ask(&proxy, Http::One, "plain", of("psk_plain", chat()), &order);
    waits(&proxy, "normal", 1.0).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.send(of("psk_vip", streamed_chat())).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(order.lock().unwrap().is_empty(), "the other one waits on");
    body.collect().await.unwrap();
    assert_eq!(plain.await.unwrap().status, 200);
    answer.into_body().collect().await.unwrap();
}

async fn a_reload_keeps_those_who_wait(transport: Transport) {
    let upstream = slow();
    let proxy = start(transport, ONE, &upstream).await;
    let (_client, body) = hold(&proxy).await;
    let order = Arc::default();
    let plain = ask(&proxy, Http::One, "plain", of("psk_plain", chat()), &order);
    waits(&proxy, "normal", 1.0).await;
    let low = text(transport, ONE, &upstream, "low");
    proxy.reload(&low).await.unwrap();
    let less = ask(&proxy, Http::One, "less", of("psk_plain", chat()), &order);
    waits(&proxy, "low", 1.0).await;
    body.collect().await.unwrap();
    for asked in [plain, less] {
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert_eq!(answer.unwrap().unwrap().status, 200);
    }
    assert_eq!(*order.lock().unwrap(), ["plain", "less"]);
}
