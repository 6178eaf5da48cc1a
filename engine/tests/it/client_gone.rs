//! A client that goes away frees what was held for it.

use http::Request;
use http_body_util::BodyExt;
use penstock::transport::Transport;
use penstock_simulator::Simulator;

use crate::harness::client::{BOTH, Body, Client, Http, chat, streamed_chat, with};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::Raw;
use crate::harness::{Proxy, all_to, config, eventually, simulator};

on_both!(
    leaving_in_a_stream_frees_the_upstream,
    leaving_before_the_first_token_frees_the_upstream,
    leaving_in_an_upload_frees_everything,
    a_client_that_resets_its_connection_frees_everything,
    no_descriptor_stays_open,
);

/// An upstream that streams for minutes.
fn endless() -> Simulator {
    simulator(&[("tokens", "10000"), ("between-tokens", "20ms")])
}

async fn nothing_left(proxy: &Proxy, upstream: &Simulator, what: &str) {
    eventually(&format!("{what}: the upstream's stream ends"), || {
        upstream.stats().streams_open == 0
    })
    .await;
    eventually(
        &format!("{what}: the client's connection is forgotten"),
        || proxy.metric("penstock_connections_open", &[]) == 0.0,
    )
    .await;
    proxy.forgets_bodies().await;
}

async fn leaving_in_a_stream_frees_the_upstream(transport: Transport) {
    for protocol in ["http1", "http2"] {
        for http in BOTH {
            let upstream = endless();
            let with_protocol = format!("], protocol: {protocol} }}\nroutes");
            let rest = all_to(upstream.address()).replace("] }\nroutes", &with_protocol);
            let proxy = Proxy::start(&config(transport, "", &rest)).await;
            let mut client = Client::connect(proxy.address(), http).await;
            let mut body = client.send(streamed_chat()).await.unwrap().into_body();
            for _ in 0..3 {
                body.frame().await.unwrap().unwrap();
            }
            assert_eq!(upstream.stats().streams_open, 1);
            drop(body);
            drop(client);
            let what = format!("{http:?} to {protocol}");
            nothing_left(&proxy, &upstream, &what).await;
            assert_eq!(upstream.abandoned(), 1, "{what}");
            eventually(&format!("{what}: counted as what it was"), || {
                proxy.metric("penstock_outcomes_total", &["outcome=\"client_gone\""]) == 1.0
            })
            .await;
        }
    }
}

async fn leaving_before_the_first_token_frees_the_upstream(transport: Transport) {
    for protocol in ["http1", "http2"] {
        for http in BOTH {
            // Without any answer, with a head alone, and with one that has no end.
            for stall in ["stall; at=head", "stall; at=first", "stall; at=1"] {
                for (form, request) in [("stream", streamed_chat()), ("whole", chat())] {
                    let what = format!("{http:?} to {protocol}, {form}, {stall}");
                    leaving_frees(transport, protocol, http, request, stall, &what).await;
                }
            }
        }
    }
}

async fn leaving_frees(
    transport: Transport,
    protocol: &str,
    http: Http,
    request: Request<Body>,
    stall: &str,
    what: &str,
) {
    let upstream = endless();
    let with_protocol = format!("], protocol: {protocol} }}\nroutes");
    let rest = all_to(upstream.address()).replace("] }\nroutes", &with_protocol);
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), http).await;
    let request = with(request, "x-simulate", stall);
    let request = with(request, "x-simulate-tokens", "3");
    let waiting = tokio::spawn(async move {
        let answer = client.send(request).await?;
        answer.into_body().collect().await.map(|_| client)
    });
    eventually("the request arrives", || upstream.requests() == 1).await;
    waiting.abort();
    let _ = waiting.await;
    eventually(&format!("{what}: the upstream hears of it"), || {
        upstream.abandoned() == 1
    })
    .await;
    nothing_left(&proxy, &upstream, what).await;
}

async fn leaving_in_an_upload_frees_everything(transport: Transport) {
    let upstream = simulator(&[]);
    for attempts in [1, 2] {
        let rest = all_to(upstream.address())
            .replace("name: all,", &format!("name: all, attempts: {attempts},"));
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut raw = Raw::connect(proxy.address()).await;
        raw.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
            .await;
        raw.send("x".repeat(300_000)).await;
        eventually("the proxy has the connection", || {
            proxy.metric("penstock_connections_open", &[]) == 1.0
        })
        .await;
        drop(raw);
        nothing_left(&proxy, &upstream, &format!("{attempts} attempts")).await;
        eventually("no connection stays half used", || {
            upstream.connections_open() == 0
        })
        .await;
    }
}

async fn a_client_that_resets_its_connection_frees_everything(transport: Transport) {
    let upstream = endless();
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let mut raw = Raw::connect(proxy.address()).await;
    let body = crate::harness::client::STREAMED_CHAT;
    raw.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    raw.read_until("data: ").await;
    raw.0.set_zero_linger().unwrap();
    drop(raw);
    nothing_left(&proxy, &upstream, "after a reset").await;
}

async fn no_descriptor_stays_open(transport: Transport) {
    let upstream = endless();
    let mut proxy = ProxyProcess::start(transport, "", &all_to(upstream.address())).await;
    let idle = proxy.process.descriptors();
    for round in 0..60 {
        let mut client = Client::connect(proxy.address, BOTH[round % 2]).await;
        let mut body = client.send(streamed_chat()).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        let mut raw = Raw::connect(proxy.address).await;
        raw.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nx")
            .await;
    }
    eventually("all descriptors are closed", || {
        proxy.process.descriptors() <= idle
    })
    .await;
    assert!(!proxy.process.has_ended());
}
