//! Ending without cutting anyone off, within a time.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use penstock::transport::Transport;
use penstock_simulator::Simulator;
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::harness::client::{BOTH, Client, Http, get, streamed_chat};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::{Raw, WAIT};
use crate::harness::{all_to, eventually, simulator};

on_both!(
    what_is_in_flight_is_finished,
    the_timeout_bounds_the_wait,
    a_second_signal_ends_at_once,
    idle_connections_do_not_hold_it_up,
    http2_clients_are_told_to_go,
);

/// An upstream whose answers take about a second.
fn slow() -> Simulator {
    simulator(&[("tokens", "50"), ("between-tokens", "20ms")])
}

fn endless() -> Simulator {
    simulator(&[("tokens", "10000"), ("between-tokens", "20ms")])
}

async fn start(transport: Transport, timeout: &str, upstream: &Simulator) -> ProxyProcess {
    let timeout = format!("drain_timeout: {timeout}");
    ProxyProcess::start(transport, &timeout, &all_to(upstream.address())).await
}

async fn what_is_in_flight_is_finished(transport: Transport) {
    let upstream = slow();
    let mut proxy = start(transport, "20s", &upstream).await;
    let mut streams = Vec::new();
    for http in BOTH {
        let mut client = Client::connect(proxy.address, http).await;
        let mut body = client.send(streamed_chat()).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        streams.push((client, body));
    }
    proxy.process.signal(Signal::TERM);
    proxy.process.line("draining").await;
    let deadline = Instant::now() + WAIT;
    while TcpStream::connect(proxy.address).await.is_ok() {
        assert!(Instant::now() < deadline, "it still accepts connections");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (client, body) in streams {
        let rest = body.collect().await.expect("the stream goes on").to_bytes();
        assert!(rest.ends_with(b"data: [DONE]\n\n"), "to its end");
        drop(client);
    }
    assert_eq!(proxy.process.exit_code().await, Some(0));
}

async fn the_timeout_bounds_the_wait(transport: Transport) {
    for http in BOTH {
        let upstream = endless();
        let mut proxy = start(transport, "300ms", &upstream).await;
        let mut client = Client::connect(proxy.address, http).await;
        let mut body = client.send(streamed_chat()).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        proxy.process.signal(Signal::TERM);
        assert_eq!(proxy.process.exit_code().await, Some(0));
        let rest = body.collect().await;
        assert!(rest.is_err(), "a cut stream looked complete over {http:?}");
        proxy
            .process
            .lines()
            .iter()
            .find(|line| line.contains("drain timeout"))
            .unwrap();
    }
}

async fn a_second_signal_ends_at_once(transport: Transport) {
    let upstream = endless();
    let mut proxy = start(transport, "1h", &upstream).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    let mut body = client.send(streamed_chat()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    proxy.process.signal(Signal::TERM);
    proxy.process.line("draining").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!proxy.process.has_ended(), "the stream holds it");
    proxy.process.signal(Signal::INT);
    assert_eq!(proxy.process.exit_code().await, Some(0));
}

async fn idle_connections_do_not_hold_it_up(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = start(transport, "1h", &upstream).await;
    let mut clients = Vec::new();
    for http in BOTH {
        let mut client = Client::connect(proxy.address, http).await;
        client.answer(get("/plain")).await;
        clients.push(client);
    }
    // These have not sent a request at all, or only a part of one.
    let silent = Raw::connect(proxy.address).await;
    let other = Raw::connect(proxy.address).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.process.signal(Signal::TERM);
    assert_eq!(
        proxy.process.exit_code().await,
        Some(0),
        "well before the timeout: {:?}",
        proxy.process.lines()
    );
    drop((clients, silent, other));
}

/// Types of frames (RFC 9113 section 6).
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

async fn http2_clients_are_told_to_go(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = start(transport, "1h", &upstream).await;
    let mut raw = Raw::connect(proxy.address).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    raw.send([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await;
    assert_eq!(next_frame(&mut raw).await, Some(SETTINGS));
    raw.send([0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]).await;
    proxy.process.signal(Signal::TERM);
    let mut told = false;
    while let Some(kind) = next_frame(&mut raw).await {
        told |= kind == GOAWAY;
    }
    assert!(told, "the connection was closed without GOAWAY");
    drop(raw);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    eventually("upstream connections are closed", || {
        upstream.connections_open() == 0
    })
    .await;
}

/// The type of the next frame; none when the connection ends. Answers pings.
async fn next_frame(raw: &mut Raw) -> Option<u8> {
    let mut head = [0; 9];
    let read = tokio::time::timeout(WAIT, raw.0.read_exact(&mut head)).await;
    read.expect("a frame or an end in time").ok()?;
    let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; len as usize];
    raw.0.read_exact(&mut payload).await.ok()?;
    let (kind, flags) = (head[3], head[4]);
    if kind == 6 && flags == 0 {
        head[4] = 1;
        raw.send([head.as_slice(), &payload].concat()).await;
    }
    Some(kind)
}
