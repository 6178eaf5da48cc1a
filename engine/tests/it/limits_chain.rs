//! Limits of the chain hold, whatever becomes of the requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use http_body_util::BodyExt;
use penstock::transport::Transport;
use penstock_plugins::authenticate;

use crate::harness::client::{BOTH, Body, Client, Http, get, post, streamed_chat, with};
use crate::harness::{Proxy, config, eventually, simulator};

on_both!(
    a_thousand_clients_do_not_overspend_a_key,
    a_stream_looks_as_if_nobody_had_asked_for_its_usage,
    answers_tell_how_a_client_stands,
    concurrency_is_freed_however_a_request_ends,
);

const KEY: &str = "psk_of_nobody";
const BUDGET: u64 = 5_000;
/// More than any request uses or reserves.
const ONE_REQUEST: u64 = 150;
const CLIENTS: u64 = 1_000;

/// A proxy's configuration, with `limits` by key before one upstream.
fn limited(transport: Transport, upstream: SocketAddr, limits: &str, route: &str) -> String {
    let hash = authenticate::hash(KEY.as_bytes());
    let rest = format!(
        "upstreams: {{ a: {{ endpoints: [\"{upstream}\"] }} }}
chain:
- authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: c }}] }} }}
- limits: {limits}
routes: [{{ name: {route}, split: [{{ upstream: a }}] }}]
"
    );
    config(transport, "", &rest)
}

fn mine(request: Request<Body>) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {KEY}"))
}

fn chat(stream: bool, rest: &str) -> Request<Body> {
    let body = format!(
        r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"a b c d"}}]{rest}}}"#
    );
    mine(post("/v1/chat/completions", body))
}

/// What a client did: whether it was let in, as far as it stayed to see that.
async fn visit(address: SocketAddr, number: u64) -> Option<u16> {
    let http = BOTH[(number % 2) as usize];
    let mut client = Client::connect(address, http).await;
    let named = r#","max_tokens":20"#;
    let request = match number / 2 % 10 {
        0 => chat(true, named),
        1 => chat(false, named),
        2 => chat(true, ""),
        3 => chat(false, ""),
        4 => with(chat(false, named), "x-simulate", "500"),
        5 => with(chat(true, named), "x-simulate", "refuse"),
        6 => with(chat(true, ""), "x-simulate", "cut; after=3"),
        7 => with(chat(false, named), "x-simulate", "reset"),
        8 => {
            // It leaves in the middle of the answer.
            let answer = client.send(chat(true, named)).await.ok()?;
            let status = answer.status().as_u16();
            let mut body = answer.into_body();
            for _ in 0..2 {
                body.frame().await;
            }
            return Some(status);
        }
        _ => {
            // It leaves before there is one.
            let sending = client.send(with(chat(true, named), "x-simulate", "stall; for=1s"));
            let _ = tokio::time::timeout(std::time::Duration::from_millis(50), sending).await;
            return None;
        }
    };
    let answer = client.try_answer(request).await.ok()?;
    Some(answer.status.as_u16())
}

async fn a_thousand_clients_do_not_overspend_a_key(transport: Transport) {
    let upstream = simulator(&[("tokens", "30"), ("between-tokens", "1ms")]);
    let limits = format!(
        "[{{ name: tokens, tokens: {BUDGET}, per: 1h, by: [key], answer_tokens: 64 }},
          {{ name: requests, requests: 100000, per: 1h, by: [key] }},
          {{ name: at-once, concurrent: 100000, by: [key] }}]"
    );
    let text = |route: &str| limited(transport, upstream.address(), &limits, route);
    let proxy = Proxy::start(&text("r0")).await;
    let address = proxy.address();
    let (admitted, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (admitted, refused) = (Arc::clone(&admitted), Arc::clone(&refused));
            tokio::spawn(async move {
                match visit(address, number).await {
                    Some(429) => refused.fetch_add(1, Ordering::Relaxed),
                    _ => admitted.fetch_add(1, Ordering::Relaxed),
                };
            })
        })
        .collect();
    let held = |name: &str, limit: &str| {
        let label = format!("limit=\"{limit}\"");
        proxy.metric(name, &[label.as_str()]) as u64
    };
    for reload in 1..=10 {
        proxy.reload(&text(&format!("r{reload}"))).await.unwrap();
        let spent = held("penstock_limit_spent", "tokens");
        assert!(spent <= BUDGET + ONE_REQUEST, "{spent} while they come");
    }
    for client in clients {
        client.await.unwrap();
    }
    let settled = || {
        let limits = ["tokens", "at-once", "requests"];
        limits
            .iter()
            .all(|limit| held("penstock_limit_reserved", limit) == 0)
    };
    eventually("nothing is reserved", settled).await;
    let spent = held("penstock_limit_spent", "tokens");
    assert!(
        spent <= BUDGET + ONE_REQUEST,
        "{spent} of {BUDGET} tokens are spent"
    );
    assert!(
        spent > BUDGET / 2,
        "only {spent} of {BUDGET} tokens could be spent"
    );
    let refused = refused.load(Ordering::Relaxed);
    assert!(refused > 0, "there was not enough for all");
    let counted = held("penstock_limit_spent", "requests");
    assert!(
        counted <= CLIENTS - refused,
        "{counted} requests count, although {refused} of {CLIENTS} were refused"
    );
    // From here on nothing is let in that does not fit, and trying costs nothing.
    let whole = format!(r#","max_tokens":{}"#, BUDGET - 10);
    for http in BOTH {
        let mut client = Client::connect(address, http).await;
        for _ in 0..50 {
            let answer = client.answer(chat(true, &whole)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.error_code().as_str()),
                (429, "rate_limit_exceeded")
            );
        }
    }
    eventually("nothing is reserved", settled).await;
    assert_eq!(held("penstock_limit_spent", "tokens"), spent);
    assert_eq!(held("penstock_limit_spent", "requests"), counted);
}

async fn a_stream_looks_as_if_nobody_had_asked_for_its_usage(transport: Transport) {
    let upstream = simulator(&[("tokens", "12")]);
    let limits = "[{ name: tokens, tokens: 100000, per: 1h, by: [key] }]";
    let proxy = Proxy::start(&limited(transport, upstream.address(), limits, "r")).await;
    let metric = |name| proxy.metric(name, &["limit=\"tokens\""]);
    let spent = || metric("penstock_limit_spent");
    let settled = || metric("penstock_limit_reserved") == 0.0;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let before = spent();
        let answer = client.answer(mine(streamed_chat())).await;
        assert_eq!(answer.status, 200);
        let text = answer.text();
        assert!(!text.contains("usage") && text.contains("[DONE]"), "{text}");
        // That happens when the client has its answer already.
        eventually("it is settled", settled).await;
        assert!(
            (13.0..20.0).contains(&(spent() - before)),
            "{http:?}: {}",
            spent() - before
        );
        let asked = chat(true, r#","stream_options":{"include_usage":true}"#);
        let answer = client.answer(asked).await;
        let text = answer.text();
        assert!(
            text.contains("\"usage\":null") && text.contains("\"usage\":{"),
            "{text}"
        );
        eventually("this is settled too", settled).await;
    }
}

async fn answers_tell_how_a_client_stands(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "[{ name: r, requests: 2, per: 1h, by: [key] }, { name: t, tokens: 100000, per: 1h, by: [key] }]";
    let proxy = Proxy::start(&limited(transport, upstream.address(), limits, "r")).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.answer(mine(get("/v1/models"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-ratelimit-limit-requests"), "2");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "1");
    assert!(
        !answer.headers.contains_key("x-ratelimit-limit-tokens"),
        "it uses none"
    );
    let answer = client.answer(chat(false, r#","max_tokens":5"#)).await;
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), "100000");
    let answer = client.answer(chat(false, "")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.error_code().as_str()),
        (429, "rate_limit_exceeded")
    );
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((3_590..=3_660).contains(&wait), "{wait}");
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "0");
    let refused = ["limit=\"r\"", "verdict=\"refused\""];
    assert_eq!(proxy.metric("penstock_limit_refusals_total", &refused), 1.0);
    let message = mine(post("/v1/messages", r#"{"max_tokens":5,"messages":[]}"#));
    let answer = client.answer(message).await;
    assert_eq!(answer.header("anthropic-ratelimit-requests-limit"), "2");
    assert!(answer.text().contains("rate_limit_error"), "{answer:?}");
}

async fn concurrency_is_freed_however_a_request_ends(transport: Transport) {
    let upstream = simulator(&[("tokens", "10000"), ("between-tokens", "20ms")]);
    let limits = "[{ name: n, concurrent: 1, by: [key] }]";
    let proxy = Proxy::start(&limited(transport, upstream.address(), limits, "r")).await;
    let free = || proxy.metric("penstock_limit_reserved", &["limit=\"n\""]) == 0.0;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let mut body = client
            .send(mine(streamed_chat()))
            .await
            .unwrap()
            .into_body();
        body.frame().await.unwrap().unwrap();
        let mut other = Client::connect(proxy.address(), http).await;
        let answer = other.answer(mine(get("/plain"))).await;
        assert_eq!(answer.status, 429, "{http:?}");
        assert_eq!(answer.header("retry-after"), "1");
        drop((body, client));
        eventually("a client that left holds nothing", free).await;
        for fault in ["500", "refuse", "reset"] {
            let request = with(mine(get("/v1/models")), "x-simulate", fault);
            let _ = Client::connect(proxy.address(), http)
                .await
                .try_answer(request)
                .await;
            eventually(fault, free).await;
        }
        assert_eq!(other.answer(mine(get("/plain"))).await.status, 200);
        eventually("it is free", free).await;
    }
}
