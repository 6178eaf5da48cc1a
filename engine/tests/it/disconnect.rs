//! Where a route says so, an answer is read to its end after its client has gone: what it
//! used is charged exactly, and the request counts as under way until then.

use std::net::SocketAddr;

use http::Request;
use http_body_util::BodyExt;
use penstock::transport::Transport;
use penstock_plugins::authenticate;
use penstock_simulator::Simulator;
use rustix::process::Signal;

use crate::harness::client::{BOTH, Body, Client, Http, get, post, with};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::Raw;
use crate::harness::{Proxy, config, eventually, simulator};

on_both!(
    what_an_abandoned_answer_used_is_charged_exactly,
    what_a_cancelled_request_costs_is_the_estimate,
    a_place_is_held_until_the_time_is_over,
    no_more_is_read_than_the_bounds_allow,
    no_more_answers_are_read_on_than_there_are_places,
    a_whole_answer_that_nobody_got_is_stored,
    a_failure_that_nobody_saw_is_not_tried_again,
    a_client_that_does_not_read_is_gone_too,
    a_request_without_a_body_is_read_on_too,
    a_shutdown_waits_for_what_is_read_on,
    a_shutdown_waits_no_longer_than_allowed,
);

const KEY: &str = "psk_of_nobody";

/// One upstream behind a route that drains like this, past these plugins.
struct Site<'a> {
    drain: &'a str,
    protocol: &'a str,
    plugins: &'a str,
    route: &'a str,
}

const SITE: Site<'static> = Site {
    drain: "drain",
    protocol: "http1",
    plugins: "",
    route: "",
};

impl Site<'_> {
    fn rest(&self, upstream: SocketAddr) -> String {
        let Site {
            drain,
            protocol,
            plugins,
            route,
        } = self;
        let hash = authenticate::hash(KEY.as_bytes());
        format!(
            "upstreams: {{ a: {{ endpoints: [\"{upstream}\"], protocol: {protocol} }} }}
chain:
- authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: c }}] }} }}
{plugins}
routes: [{{ name: all, {route} split: [{{ upstream: a }}], on_disconnect: {drain} }}]
"
        )
    }

    async fn start(&self, transport: Transport, upstream: &Simulator) -> Proxy {
        let rest = self.rest(upstream.address());
        Proxy::start(&config(transport, "", &rest)).await
    }
}

fn mine(request: Request<Body>) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {KEY}"))
}

fn chat(stream: bool) -> Request<Body> {
    let body = format!(
        r#"{{"model":"m","stream":{stream},"max_tokens":500,"messages":[{{"role":"user","content":"a b c d"}}]}}"#
    );
    mine(post("/v1/chat/completions", body))
}

/// Begins a request and leaves before there is anything of an answer.
async fn leave_early(proxy: SocketAddr, http: Http, upstream: &Simulator, request: Request<Body>) {
    let before = upstream.requests();
    let mut client = Client::connect(proxy, http).await;
    let waiting = tokio::spawn(async move { client.send(request).await.map(|_| client) });
    eventually("the request arrives", || upstream.requests() > before).await;
    waiting.abort();
    let _ = waiting.await;
}

/// Begins a request and leaves after the beginning of its answer.
async fn leave_later(proxy: SocketAddr, http: Http, request: Request<Body>) {
    let mut client = Client::connect(proxy, http).await;
    let mut body = client.send(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop((body, client));
}

fn drained(proxy: &Proxy, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    proxy.metric("penstock_drains_total", &[&label])
}

async fn is_drained(proxy: &Proxy, result: &str, count: f64, what: &str) {
    eventually(&format!("{what}: {result}"), || {
        drained(proxy, result) == count
    })
    .await;
    eventually(&format!("{what}: nothing is read on"), || {
        proxy.metric("penstock_drains_open", &[]) == 0.0
    })
    .await;
    proxy.forgets_bodies().await;
}

const TOKENS: &str =
    "- limits: [{ name: t, tokens: 100000, per: 1h, by: [key], answer_tokens: 700 }]";

fn spent(proxy: &Proxy) -> f64 {
    proxy.metric("penstock_limit_spent", &["limit=\"t\""])
}

async fn settled(proxy: &Proxy) {
    eventually("it is settled", || {
        proxy.metric("penstock_limit_reserved", &["limit=\"t\""]) == 0.0
    })
    .await;
}

async fn what_an_abandoned_answer_used_is_charged_exactly(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let upstream = simulator(&[("tokens", "30"), ("between-tokens", "10ms")]);
        let site = Site {
            protocol,
            plugins: TOKENS,
            ..SITE
        };
        let proxy = site.start(transport, &upstream).await;
        let mut abandoned = 0.0;
        for http in BOTH {
            for stream in [true, false] {
                // The same request is answered alike.
                let mut client = Client::connect(proxy.address(), http).await;
                let before = spent(&proxy);
                assert_eq!(client.answer(chat(stream)).await.status, 200);
                settled(&proxy).await;
                let exact = spent(&proxy) - before;
                assert!((30.0..100.0).contains(&exact), "no estimate: {exact}");
                for fault in [
                    "",
                    "stall; at=head; for=300ms",
                    "stall; at=first; for=300ms",
                ] {
                    let what = format!("{http:?} to {protocol}, streamed: {stream}, {fault:?}");
                    let before = spent(&proxy);
                    if fault.is_empty() && stream {
                        leave_later(proxy.address(), http, chat(stream)).await;
                    } else if fault.is_empty() {
                        let request = with(chat(stream), "x-simulate-first-token", "300ms");
                        leave_early(proxy.address(), http, &upstream, request).await;
                    } else {
                        let request = with(chat(stream), "x-simulate", fault);
                        leave_early(proxy.address(), http, &upstream, request).await;
                    }
                    abandoned += 1.0;
                    is_drained(&proxy, "whole", abandoned, &what).await;
                    settled(&proxy).await;
                    assert_eq!(spent(&proxy) - before, exact, "{what}");
                }
            }
        }
        assert_eq!(upstream.abandoned(), 0, "{protocol}");
        let gone = ["outcome=\"client_gone\""];
        assert_eq!(proxy.metric("penstock_outcomes_total", &gone), abandoned);
    }
}

async fn what_a_cancelled_request_costs_is_the_estimate(transport: Transport) {
    let upstream = simulator(&[("tokens", "30"), ("between-tokens", "100ms")]);
    let site = Site {
        drain: "cancel",
        plugins: TOKENS,
        ..SITE
    };
    let proxy = site.start(transport, &upstream).await;
    for (nth, http) in BOTH.into_iter().enumerate() {
        let before = spent(&proxy);
        leave_later(proxy.address(), http, chat(true)).await;
        settled(&proxy).await;
        let charged = spent(&proxy) - before;
        assert!((500.0..600.0).contains(&charged), "{http:?}: {charged}");
        eventually("the upstream was left", || {
            upstream.abandoned() == nth as u64 + 1
        })
        .await;
    }
    assert!(!proxy.metrics().contains("penstock_drains_total{"));
}

async fn a_place_is_held_until_the_time_is_over(transport: Transport) {
    let upstream = simulator(&[("tokens", "30")]);
    let site = Site {
        drain: "{ drain: { time: 1s } }",
        plugins: "- limits: [{ name: n, concurrent: 1, by: [key] }]",
        ..SITE
    };
    let proxy = site.start(transport, &upstream).await;
    for (nth, http) in BOTH.into_iter().enumerate() {
        let stalled = with(chat(true), "x-simulate", "stall; at=5");
        leave_later(proxy.address(), http, stalled).await;
        eventually("it is read on", || {
            proxy.metric("penstock_drains_open", &[]) == 1.0
        })
        .await;
        let mut other = Client::connect(proxy.address(), http).await;
        assert_eq!(other.answer(chat(false)).await.status, 429, "{http:?}");
        is_drained(&proxy, "timed_out", nth as f64 + 1.0, "a stalled one").await;
        eventually("the upstream is left then", || {
            upstream.abandoned() == nth as u64 + 1
        })
        .await;
        eventually("its place is free", || {
            proxy.metric("penstock_limit_reserved", &["limit=\"n\""]) == 0.0
        })
        .await;
        assert_eq!(other.answer(chat(false)).await.status, 200, "{http:?}");
    }
}

async fn no_more_is_read_than_the_bounds_allow(transport: Transport) {
    for (nth, protocol) in ["http1", "http2"].into_iter().enumerate() {
        let upstream = simulator(&[("tokens", "100000"), ("between-tokens", "1ms")]);
        let site = Site {
            drain: "{ drain: { bytes: 20KiB } }",
            protocol,
            ..SITE
        };
        let proxy = site.start(transport, &upstream).await;
        leave_later(proxy.address(), BOTH[nth], chat_of(100_000)).await;
        is_drained(&proxy, "too_large", 1.0, protocol).await;
        eventually("the upstream is left then", || upstream.abandoned() == 1).await;
    }
}

/// A stream of so many tokens.
fn chat_of(tokens: u32) -> Request<Body> {
    let body = format!(
        r#"{{"model":"m","stream":true,"max_tokens":{tokens},"messages":[{{"role":"user","content":"a"}}]}}"#
    );
    mine(post("/v1/chat/completions", body))
}

async fn no_more_answers_are_read_on_than_there_are_places(transport: Transport) {
    let upstream = simulator(&[("tokens", "30")]);
    let site = Site {
        drain: "{ drain: { concurrent: 1 } }",
        ..SITE
    };
    let proxy = site.start(transport, &upstream).await;
    let stalled = || with(chat(true), "x-simulate", "stall; at=5");
    leave_later(proxy.address(), Http::One, stalled()).await;
    eventually("the first is read on", || {
        proxy.metric("penstock_drains_open", &[]) == 1.0
    })
    .await;
    leave_later(proxy.address(), Http::Two, stalled()).await;
    eventually("the second is not", || drained(&proxy, "no_place") == 1.0).await;
    eventually("the upstream is left for it", || upstream.abandoned() == 1).await;
    assert_eq!(proxy.metric("penstock_drains_open", &[]), 1.0);
}

async fn a_whole_answer_that_nobody_got_is_stored(transport: Transport) {
    for http in BOTH {
        let upstream = simulator(&[("tokens", "30"), ("between-tokens", "10ms")]);
        let site = Site {
            plugins: "- cache: {}",
            ..SITE
        };
        let proxy = site.start(transport, &upstream).await;
        leave_later(proxy.address(), http, chat(true)).await;
        is_drained(&proxy, "whole", 1.0, "a stream").await;
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(chat(true)).await;
        assert_eq!(answer.header("x-cache"), "hit", "{answer:?}");
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
        assert_eq!(upstream.requests(), 1);
    }
}

async fn a_failure_that_nobody_saw_is_not_tried_again(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let upstream = simulator(&[("tokens", "30")]);
        let site = Site {
            protocol,
            route: "attempts: 3,",
            ..SITE
        };
        let proxy = site.start(transport, &upstream).await;
        for (nth, http) in BOTH.into_iter().enumerate() {
            let request = with(chat(false), "x-simulate", "cut; after=1");
            let request = with(request, "x-simulate-first-token", "300ms");
            leave_early(proxy.address(), http, &upstream, request).await;
            let failed = nth as f64 + 1.0;
            is_drained(&proxy, "failed", failed, protocol).await;
            let outcomes = |outcome: &str| {
                let label = format!("outcome=\"{outcome}\"");
                proxy.metric("penstock_outcomes_total", &[&label])
            };
            assert_eq!(outcomes("client_gone"), failed, "{http:?} to {protocol}");
            assert_eq!(outcomes("upstream_failed"), 0.0);
            assert_eq!(upstream.requests(), nth as u64 + 1);
        }
        let unseen = proxy.metric("penstock_requests_total", &["code=\"none\""]);
        assert_eq!(unseen, 2.0, "{protocol}: no client saw a status");
    }
}

async fn a_client_that_does_not_read_is_gone_too(transport: Transport) {
    let upstream = simulator(&[]);
    let rest = SITE.rest(upstream.address());
    let server = "limits: { write_timeout: 300ms }";
    let proxy = Proxy::start(&config(transport, server, &rest)).await;
    let mut raw = Raw::connect(proxy.address()).await;
    // More than the kernel keeps for it, and within the bound of bytes.
    raw.send(format!(
        "GET /bytes/15000000 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\n\r\n"
    ))
    .await;
    is_drained(&proxy, "whole", 1.0, "nobody reads").await;
    assert_eq!(upstream.abandoned(), 0);
    drop(raw);
}

async fn a_request_without_a_body_is_read_on_too(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let upstream = simulator(&[]);
        let site = Site { protocol, ..SITE };
        let proxy = site.start(transport, &upstream).await;
        for (nth, http) in BOTH.into_iter().enumerate() {
            let mut client = Client::connect(proxy.address(), http).await;
            let whole = client.answer(mine(get("/v1/models"))).await;
            assert_eq!(whole.status, 200, "{http:?} to {protocol}");
            let request = with(
                mine(get("/v1/models")),
                "x-simulate",
                "stall; at=head; for=300ms",
            );
            leave_early(proxy.address(), http, &upstream, request).await;
            is_drained(&proxy, "whole", nth as f64 + 1.0, protocol).await;
            assert_eq!(upstream.abandoned(), 0);
        }
    }
}

const LOG: &str = "log: { format: json, access: on }";

async fn a_shutdown_waits_for_what_is_read_on(transport: Transport) {
    for http in BOTH {
        let upstream = simulator(&[("tokens", "50"), ("between-tokens", "20ms")]);
        let server = format!("{LOG}\ndrain_timeout: 20s");
        let rest = SITE.rest(upstream.address());
        let mut proxy = ProxyProcess::start(transport, &server, &rest).await;
        leave_later(proxy.address, http, chat(true)).await;
        proxy.process.signal(Signal::TERM);
        assert_eq!(proxy.process.exit_code().await, Some(0));
        assert_eq!(upstream.abandoned(), 0, "{http:?}: it was cut");
        let lines = proxy.process.lines();
        let line = lines.iter().find(|line| line.contains("drained=whole"));
        let line = line.unwrap_or_else(|| panic!("{http:?}: no such line in {lines:#?}"));
        assert!(line.contains("\"outcome\":\"client_gone\""), "{line}");
    }
}

async fn a_shutdown_waits_no_longer_than_allowed(transport: Transport) {
    for http in BOTH {
        let upstream = simulator(&[("tokens", "10000"), ("between-tokens", "20ms")]);
        let server = format!("{LOG}\ndrain_timeout: 300ms");
        let rest = SITE.rest(upstream.address());
        let mut proxy = ProxyProcess::start(transport, &server, &rest).await;
        leave_later(proxy.address, http, chat_of(10_000)).await;
        proxy.process.signal(Signal::TERM);
        assert_eq!(proxy.process.exit_code().await, Some(0));
        proxy.process.line("drain timeout").await;
    }
}
