//! Limits are kept, and reaching one has a name.

use std::time::Duration;

use http_body_util::BodyExt;
use penstock::transport::Transport;

use crate::harness::client::{BOTH, Client, Http, get, streamed_chat, whole, with};
use crate::harness::raw::Raw;

/// Much longer than any limit of these tests.
const WAIT: Duration = Duration::from_secs(5);
use crate::harness::{Proxy, all_to, config, eventually, pattern, simulator};

on_both!(
    more_connections_than_the_limit_wait_their_turn,
    idle_connections_are_closed_after_a_while,
    a_client_that_says_nothing_is_let_go,
    streams_of_one_connection_are_limited,
    a_client_that_does_not_read_is_let_go,
    a_client_that_reads_late_gets_everything,
    an_upstream_that_reads_late_gets_everything,
);

async fn more_connections_than_the_limit_wait_their_turn(transport: Transport) {
    let upstream = simulator(&[]);
    let server = "workers: 1\nlimits: { connections: 2 }";
    let proxy = Proxy::start(&config(transport, server, &all_to(upstream.address()))).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        client.answer(get("/plain")).await;
        held.push(client);
    }
    let address = proxy.address();
    let mut waiting: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::connect(address, Http::One).await;
                client.answer(get("/plain")).await.status
            })
        })
        .collect();
    eventually("the limit is counted", || {
        proxy.metric("penstock_limit_reached_total", &["limit=\"connections\""]) > 0.0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        waiting.iter().all(|client| !client.is_finished()),
        "served over the limit"
    );
    assert!(proxy.metric("penstock_connections_open", &[]) <= 2.0);
    held.clear();
    for client in &mut waiting {
        assert_eq!(client.await.unwrap(), 200, "served once there was room");
    }
}

async fn idle_connections_are_closed_after_a_while(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { keepalive_timeout: 1s }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send("GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw.read_until("\r\n\r\nok").await;
    let (rest, error) = raw.read_to_end().await;
    assert!(rest.is_empty() && error.is_none(), "{rest:?} {error:?}");
}

async fn a_client_that_says_nothing_is_let_go(transport: Transport) {
    let upstream = simulator(&[]);
    for http2 in [true, false] {
        let server = format!(
            "listen: [{{ address: \"127.0.0.1:0\", http2: {http2} }}]\nlimits: {{ head_timeout: 300ms, keepalive_timeout: 1s }}"
        );
        let proxy = Proxy::start(&config(transport, &server, &all_to(upstream.address()))).await;
        for beginning in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost"] {
            let mut raw = Raw::connect(proxy.address()).await;
            raw.send(beginning).await;
            // What it is told, if anything, does not matter; that it ends does.
            let ended = tokio::time::timeout(WAIT, raw.read_to_end()).await;
            assert!(
                ended.is_ok(),
                "{beginning:?} holds a connection, http2: {http2}"
            );
        }
        eventually("none is counted as open", || {
            proxy.metric("penstock_connections_open", &[]) == 0.0
        })
        .await;
    }
}

async fn streams_of_one_connection_are_limited(transport: Transport) {
    let upstream = simulator(&[("tokens", "10"), ("between-tokens", "5ms")]);
    let limits = "limits: { http2_streams: 4 }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    // A client knows the limit once the proxy has told its settings.
    client.answer(get("/plain")).await;
    let Client::Two(sender) = client else {
        panic!("asked for HTTP/2");
    };
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::Two(sender.clone());
            tokio::spawn(async move { client.answer(streamed_chat()).await.status })
        })
        .collect();
    for client in clients {
        assert_eq!(client.await.unwrap(), 200, "those over the limit wait");
    }
    assert!(
        upstream.connections_accepted() <= 4,
        "no more than four at once"
    );
}

/// More than all buffers between two sockets hold.
const MUCH: usize = 32 << 20;

async fn a_client_that_does_not_read_is_let_go(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { write_timeout: 500ms }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send("GET /bytes/1000000000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    eventually("the request is under way", || upstream.requests() == 1).await;
    eventually("the client is let go", || {
        proxy.metric("penstock_connections_open", &[]) == 0.0
    })
    .await;
    eventually("and the upstream with it", || {
        upstream.connections_open() == 0
    })
    .await;
}

async fn a_client_that_reads_late_gets_everything(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    for http in BOTH {
        for path in ["/bytes/33554432", "/chunked/33554432"] {
            let mut client = Client::connect(proxy.address(), http).await;
            let response = client.send(get(path)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body == pattern(MUCH), "{path} over {http:?} differs");
        }
    }
}

async fn an_upstream_that_reads_late_gets_everything(transport: Transport) {
    let upstream = simulator(&[("record", "0")]);
    let rest = all_to(upstream.address());
    let limits = "limits: { request_body: 64MiB }";
    for attempts in [1, 2] {
        let rest = rest.replace("name: all,", &format!("name: all, attempts: {attempts},"));
        let proxy = Proxy::start(&config(transport, limits, &rest)).await;
        let sent = pattern(MUCH);
        let request = http::Request::post("/echo")
            .body(whole(sent.clone()))
            .unwrap();
        // The simulator reads the body only after that.
        let request = with(request, "x-simulate", "stall; at=body; for=300ms");
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let answer = client.answer(request).await;
        assert!(
            answer.body == sent,
            "with {attempts} attempts the body differs"
        );
    }
}
