//! HTTP/2 clients that ask for work and not for answers: each is told to calm down and is
//! closed, counted by what it did, and nobody else is the worse for it.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use penstock::transport::Transport;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::certificates::Authority;
use crate::harness::client::{Client, Http, get, post, streamed_chat};
use crate::harness::process::ProxyProcess;
use crate::harness::{Proxy, all_to, config, eventually, simulator};
use attacker::{
    Attacker, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, NO_ERROR, PING, PROTOCOL_ERROR, RST_STREAM,
    begun, frame, more, pause, request, streams, window,
};

mod attacker;
mod attacks;

on_both!(
    floods_end_their_connections_alone,
    floods_end_over_tls_as_well,
    requests_that_are_taken_back_reach_no_upstream_for_long,
    memory_stays_within_bounds,
    answers_that_wait_stay_within_bounds,
    answers_that_wait_keep_no_others_from_coming,
    an_answer_that_is_not_taken_is_reset,
    answers_dealt_out_by_the_byte_end,
    clients_that_take_nothing_end,
    a_connection_that_is_not_read_from_ends,
    a_connection_without_requests_is_closed,
    malformed_requests_end_the_connection_in_the_end,
    faults_of_the_protocol_are_told_and_counted,
    ordinary_clients_go_on,
    what_is_allowed_is_configured,
);

/// The counter of connections that were ended, by kind.
fn ended(proxy: &Proxy, kind: &str) -> f64 {
    let label = format!("kind=\"{kind}\"");
    proxy.metric("penstock_http2_connections_ended_total", &[&label])
}

/// A client that goes on asking, and says how often it was answered.
struct Bystander {
    stop: watch::Sender<bool>,
    asking: JoinHandle<usize>,
}

impl Bystander {
    async fn at(proxy: &Proxy) -> Self {
        let mut client = Client::connect(proxy.address(), Http::Two).await;
        let (stop, stopped) = watch::channel(false);
        let asking = tokio::spawn(async move {
            let mut answers = 0;
            while !*stopped.borrow() {
                assert_eq!(client.answer(get("/plain")).await.text(), "ok");
                answers += 1;
            }
            answers
        });
        Bystander { stop, asking }
    }

    /// Fails if a request of its failed, or if it had none.
    async fn unhurt(self) {
        self.stop.send_replace(true);
        let answers = self.asking.await.expect("every request is answered");
        assert!(answers > 0, "it was answered while others attacked");
    }
}

async fn floods_end_their_connections_alone(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let bystander = Bystander::at(&proxy).await;
    for attack in attacks::all() {
        let before = ended(&proxy, attack.kind);
        let mut attacker = Attacker::connect(proxy.address()).await;
        attacker.send(&attack.bytes).await;
        let told = attacker.end().await;
        assert_eq!(told, Some(ENHANCE_YOUR_CALM), "{}", attack.name);
        eventually(attack.name, || ended(&proxy, attack.kind) == before + 1.0).await;
    }
    let all = proxy.metric("penstock_http2_connections_ended_total", &[]);
    assert_eq!(all, attacks::all().len() as f64, "each is counted once");
    bystander.unhurt().await;
    eventually("nothing is left of them", || {
        proxy.metric("penstock_connections_open", &[]) <= 1.0
    })
    .await;
}

async fn floods_end_over_tls_as_well(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("penstock.test").write(folder.path());
    let listener = crate::reload::tls_listener(folder.path());
    let proxy = Proxy::start(&config(transport, &listener, &all_to(upstream.address()))).await;
    for attack in attacks::all() {
        let stream = authority.connect(proxy.address(), "penstock.test", &["h2"]);
        let mut attacker = Attacker::over(stream.await.unwrap()).await;
        attacker.send(&attack.bytes).await;
        let told = attacker.end().await;
        assert_eq!(told, Some(ENHANCE_YOUR_CALM), "{}", attack.name);
    }
    eventually("each is counted once", || {
        let all = proxy.metric("penstock_http2_connections_ended_total", &[]);
        all == attacks::all().len() as f64
    })
    .await;
}

async fn requests_that_are_taken_back_reach_no_upstream_for_long(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    for attack in attacks::all() {
        if !["resets", "stream_faults"].contains(&attack.kind) {
            continue;
        }
        let before = upstream.requests();
        let mut attacker = Attacker::connect(proxy.address()).await;
        attacker.send(&attack.bytes).await;
        attacker.end().await;
        pause().await;
        let reached = upstream.requests() - before;
        assert!(reached <= 400, "{}: {reached} requests", attack.name);
    }
}

/// Largest growth of the process over what it was when idle.
const GROWTH_MAX_KIB: usize = 16 * 1024;

/// A proxy that has been used, and its memory when it is idle.
async fn used(transport: Transport, limits: &str, upstream: SocketAddr) -> (ProxyProcess, usize) {
    let proxy = ProxyProcess::start(transport, limits, &all_to(upstream)).await;
    let ask = |_| async {
        let mut client = Client::connect(proxy.address, Http::Two).await;
        client.answer(get("/bytes/100000")).await;
        client.answer(streamed_chat()).await;
    };
    join_all((0..8).map(ask)).await;
    pause().await;
    let idle = proxy.process.memory_kib("VmRSS");
    (proxy, idle)
}

async fn memory_stays_within_bounds(transport: Transport) {
    let upstream = simulator(&[]);
    let (mut proxy, idle) = used(transport, "", upstream.address()).await;
    let address = proxy.address;
    for attack in attacks::all() {
        let mut attacker = Attacker::connect(address).await;
        attacker.send(&attack.bytes).await;
        attacker.end().await;
        let most = proxy.process.memory_kib("VmHWM");
        assert!(
            most < idle + GROWTH_MAX_KIB,
            "{}: from {idle} KiB to {most} KiB",
            attack.name
        );
    }
    let warned = |lines: &[String]| {
        let about = "HTTP/2 connection ended";
        lines.iter().filter(|line| line.contains(about)).count()
    };
    proxy.process.line("HTTP/2 connection ended").await;
    assert!(warned(&proxy.process.lines()) <= attacks::all().len());
}

async fn answers_that_wait_stay_within_bounds(transport: Transport) {
    let upstream = simulator(&[]);
    let limits = "limits: { write_timeout: 2s }";
    let (proxy, idle) = used(transport, limits, upstream.address()).await;
    // As many as may be open, none of which can be sent.
    let mut attacker = Attacker::connect(proxy.address).await;
    attacker.send(window(0)).await;
    for stream in streams(200) {
        attacker.send(request(stream, "/bytes/30000")).await;
    }
    assert_eq!(attacker.end().await, Some(ENHANCE_YOUR_CALM));
    let most = proxy.process.memory_kib("VmHWM");
    assert!(
        most < idle + GROWTH_MAX_KIB,
        "from {idle} KiB to {most} KiB"
    );
}

async fn answers_that_wait_keep_no_others_from_coming(transport: Transport) {
    let upstream = simulator(&[]);
    // One connection to the upstream for all, and nobody is reset while this lasts.
    let server = "workers: 1\n  limits: { write_timeout: 10m }";
    let rest = all_to(upstream.address()).replace("] }\nroutes", "], protocol: http2 }\nroutes");
    let proxy = Proxy::start(&config(transport, server, &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    client.answer(get("/plain")).await;
    let mut attacker = Attacker::connect(proxy.address()).await;
    attacker.send(window(0)).await;
    for stream in streams(40) {
        attacker.send(request(stream, "/bytes/1000000")).await;
    }
    eventually("all are asked for", || upstream.requests() == 41).await;
    pause().await;
    let answer = client.answer(get("/bytes/1000000")).await;
    assert_eq!(answer.body.len(), 1_000_000);
    assert_eq!(upstream.connections_accepted(), 1, "they share one");
}

/// A proxy that waits a second for who takes nothing.
async fn impatient(transport: Transport, upstream: &penstock_simulator::Simulator) -> Proxy {
    let limits = "limits: { write_timeout: 1s }";
    Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await
}

async fn an_answer_that_is_not_taken_is_reset(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = impatient(transport, &upstream).await;
    for path in ["/bytes/100000", "/chunked/100000", "/no-such-page"] {
        let before = proxy.metric("penstock_http2_streams_stalled_total", &[]);
        let mut attacker = Attacker::connect(proxy.address()).await;
        attacker.send(window(0)).await;
        attacker.send(request(1, path)).await;
        let (stream, _) = attacker.reset().await.expect("the connection stays");
        assert_eq!(stream, 1, "{path}");
        let after = proxy.metric("penstock_http2_streams_stalled_total", &[]);
        assert_eq!(after, before + 1.0, "{path}");
        // It may be a page that nobody looks at: the others go on.
        attacker.send(window(65_535)).await;
        assert!(attacker.is_served(3).await, "{path}");
    }
    assert_eq!(ended(&proxy, "stall"), 0.0);
}

async fn answers_dealt_out_by_the_byte_end(transport: Transport) {
    let upstream = simulator(&[("tokens", "1000")]);
    let proxy = impatient(transport, &upstream).await;
    for (path, body) in [
        ("/bytes/100000", &b""[..]),
        (
            "/v1/chat/completions",
            crate::harness::client::STREAMED_CHAT.as_bytes(),
        ),
    ] {
        let mut attacker = Attacker::connect(proxy.address()).await;
        attacker.send(window(0)).await;
        attacker.send(begun(1, path)).await;
        attacker
            .send(frame(attacker::DATA, attacker::END_STREAM, 1, body))
            .await;
        let reset = loop {
            tokio::select! {
                reset = attacker.reset() => break reset,
                () = tokio::time::sleep(Duration::from_millis(300)) => {}
            }
            attacker.send(more(1, 1)).await;
        };
        assert_eq!(reset.map(|(stream, _)| stream), Some(1), "{path}");
    }
    assert_eq!(
        proxy.metric("penstock_http2_streams_stalled_total", &[]),
        2.0
    );
}

async fn clients_that_take_nothing_end(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = impatient(transport, &upstream).await;
    let bystander = Bystander::at(&proxy).await;
    let mut attacker = Attacker::connect(proxy.address()).await;
    attacker.send(window(0)).await;
    for stream in streams(20) {
        attacker.send(request(stream, "/bytes/100000")).await;
    }
    assert_eq!(attacker.end().await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(ended(&proxy, "stall"), 1.0);
    bystander.unhurt().await;
}

async fn a_connection_that_is_not_read_from_ends(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = impatient(transport, &upstream).await;
    let address = proxy.address();
    // Large windows, and a socket that nobody reads from (CVE-2019-9517).
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(window(0x7fff_ffff));
    bytes.extend(more(0, 0x7000_0000));
    for stream in streams(40) {
        bytes.extend(request(stream, "/bytes/4000000"));
    }
    let mut raw = crate::harness::raw::Raw::connect(address).await;
    raw.send(bytes).await;
    eventually("it is open", || {
        proxy.metric("penstock_connections_open", &[]) == 1.0
    })
    .await;
    eventually("it is closed", || {
        proxy.metric("penstock_connections_open", &[]) == 0.0
    })
    .await;
    assert_eq!(ended(&proxy, "stall"), 1.0);
}

async fn a_connection_without_requests_is_closed(transport: Transport) {
    let upstream = simulator(&[("first-token", "1500ms")]);
    let limits = "limits: { keepalive_timeout: 1s }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address()))).await;
    let silent = Attacker::connect(proxy.address()).await;
    let mut pinging = Attacker::connect(proxy.address()).await;
    pinging.send(frame(PING, 0, 0, &[0; 8])).await;
    // Whoever waits for an answer is not idle.
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    let answer = client.answer(streamed_chat()).await;
    assert!(answer.text().ends_with("[DONE]\n\n"), "{answer:?}");
    for idle in [silent, pinging] {
        assert_eq!(idle.end().await, Some(NO_ERROR));
    }
    eventually("the last one is idle as well", || {
        proxy.metric("penstock_connections_open", &[]) == 0.0
    })
    .await;
    assert_eq!(
        proxy.metric("penstock_http2_connections_ended_total", &[]),
        0.0
    );
}

async fn malformed_requests_end_the_connection_in_the_end(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let mut attacker = Attacker::connect(proxy.address()).await;
    for stream in streams(100) {
        let mut fields = attacker::get("/");
        fields.extend(attacker::field("host", "b"));
        let flags = attacker::END_HEADERS | attacker::END_STREAM;
        attacker.send(frame(HEADERS, flags, stream, &fields)).await;
    }
    assert_eq!(attacker.end().await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(ended(&proxy, "stream_faults"), 1.0);
    assert_eq!(
        proxy.metric("penstock_http2_requests_malformed_total", &[]),
        32.0
    );
    assert_eq!(upstream.requests(), 0);
}

async fn faults_of_the_protocol_are_told_and_counted(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let mut attacker = Attacker::connect(proxy.address()).await;
    attacker.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    let go_away = attacker.next(GOAWAY).await.expect("it is told");
    assert_eq!(go_away.reason(), PROTOCOL_ERROR);
    // It is waited for the client's closing.
    drop(attacker);
    eventually("it is counted", || ended(&proxy, "protocol") == 1.0).await;
}

async fn ordinary_clients_go_on(transport: Transport) {
    let upstream = simulator(&[("tokens", "100")]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let mut attacker = Attacker::connect(proxy.address()).await;
    // A page that is closed before it is there: all that was asked for is taken back.
    for stream in streams(100) {
        attacker.send(request(stream, "/v1/models")).await;
    }
    for stream in streams(100) {
        attacker
            .send(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]))
            .await;
    }
    assert!(attacker.is_served(201).await);
    // One that measures the connection, and one that is told of windows for each token.
    for n in 0..100 {
        attacker.send(frame(PING, 0, 0, &[n; 8])).await;
        attacker.send(more(0, 100)).await;
    }
    assert!(attacker.is_served(203).await);
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    for _ in 0..20 {
        let answer = client.answer(streamed_chat()).await;
        assert!(answer.text().ends_with("[DONE]\n\n"), "{answer:?}");
        // Requests that are dropped while they are answered are taken back.
        drop(client.send(streamed_chat()).await.unwrap());
    }
    let body = "x".repeat(4 << 20);
    assert!(client.answer(post("/echo", body.clone())).await.body == body);
    assert_eq!(
        proxy.metric("penstock_http2_connections_ended_total", &[]),
        0.0
    );
}

async fn what_is_allowed_is_configured(transport: Transport) {
    let upstream = simulator(&[]);
    for (allowed, is_ended) in [("", true), ("http2: { control_frames: 2000 }", false)] {
        let proxy = Proxy::start(&config(transport, allowed, &all_to(upstream.address()))).await;
        let mut attacker = Attacker::connect(proxy.address()).await;
        attacker.send(frame(PING, 0, 0, &[0; 8]).repeat(1000)).await;
        assert_eq!(attacker.is_served(1).await, !is_ended, "{allowed:?}");
        assert_eq!(ended(&proxy, "ping"), f64::from(u8::from(is_ended)));
        if is_ended {
            assert!(attacker.next(GOAWAY).await.is_none(), "it is closed");
        }
    }
}
