//! What is refused when descriptors or memory run short, what goes on, and that all is as
//! before when they are there again.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::BodyExt;
use penstock::transport::Transport;
use penstock_simulator::Simulator;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::harness::client::{Answer, BOTH, Client, Http, chat, get, post, streamed_chat};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::{Raw, WAIT};
use crate::harness::{all_to, simulator, sum};

on_both!(
    descriptors_run_short,
    idle_connections_make_room,
    memory_runs_very_short,
    bodies_take_no_more_than_their_part,
    the_limit_of_descriptors_is_raised,
);

/// Streams of about a second.
fn slow() -> Simulator {
    simulator(&[("tokens", "50"), ("between-tokens", "20ms")])
}

async fn start(transport: Transport, overload: &str, upstream: &Simulator) -> ProxyProcess {
    let server = format!("admin: 127.0.0.1:0\nworkers: 1\noverload: {overload}");
    ProxyProcess::start(transport, &server, &all_to(upstream.address())).await
}

async fn metric(proxy: &mut ProxyProcess, name: &str, labels: &[&str]) -> f64 {
    let page = proxy.page("/metrics").await;
    sum(page.text(), name, labels)
}

/// Waits until a metric is as it should be.
async fn shows(proxy: &mut ProxyProcess, name: &str, right: impl Fn(f64) -> bool) {
    let mut last = 0.0;
    for _ in 0..200 {
        last = metric(proxy, name, &[]).await;
        if right(last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{name} stays at {last}");
}

/// One request on a connection of its own, and its whole answer.
async fn alone(address: SocketAddr) -> Answer {
    let mut client = Client::connect(address, Http::One).await;
    client.answer(streamed_chat()).await
}

fn is_refusal(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.error_code(), "overloaded");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&seconds), "{answer:?}");
}

async fn descriptors_run_short(transport: Transport) {
    let upstream = slow();
    let mut proxy = start(transport, "{ descriptors: 128 }", &upstream).await;
    let mut live = Vec::new();
    for http in BOTH {
        let mut client = Client::connect(proxy.address, http).await;
        let mut body = client.send(streamed_chat()).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        live.push((client, body));
    }
    let address = proxy.address;
    let asking: Vec<_> = (0..150).map(|_| tokio::spawn(alone(address))).collect();
    let (mut served, mut refused) = (0, 0);
    for asked in asking {
        let answer = timeout(WAIT, asked).await.expect("nobody is forgotten");
        let answer = answer.unwrap();
        match answer.status.as_u16() {
            200 => {
                assert!(answer.body.ends_with(b"data: [DONE]\n\n"), "to its end");
                served += 1;
            }
            _ => {
                is_refusal(&answer);
                assert_eq!(answer.header("connection"), "close");
                refused += 1;
            }
        }
    }
    assert!(served > 10 && refused > 10, "{served} and {refused}");
    for (client, body) in live {
        let rest = body.collect().await.expect("the stream goes on").to_bytes();
        assert!(rest.ends_with(b"data: [DONE]\n\n"), "to its end");
        drop(client);
    }
    let shed = metric(&mut proxy, "penstock_shed_total", &["\"descriptors\""]).await;
    assert_eq!(shed, f64::from(refused));
    let errors = metric(&mut proxy, "penstock_accept_errors_total", &[]).await;
    assert_eq!(errors, 0.0, "there was always a descriptor left");
    shows(&mut proxy, "penstock_overload_level", |level| level == 0.0).await;
    assert_eq!(alone(address).await.status, 200, "all is as before");
}

async fn idle_connections_make_room(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = start(transport, "{ descriptors: 96 }", &upstream).await;
    // Half of them have asked for something, half have said nothing yet.
    let mut idle = Vec::new();
    for n in 0..100 {
        let connecting = timeout(WAIT, Raw::connect(proxy.address));
        let mut raw = connecting.await.expect("the kernel's queue takes some");
        if n % 2 == 0 && n < 40 {
            raw.send("GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n").await;
            raw.read_until("\r\n\r\n").await;
        }
        idle.push(raw);
    }
    // They fill all that there is, and whoever comes now waits until they make room.
    let answer = timeout(WAIT, alone(proxy.address)).await;
    let answer = answer.expect("idle connections make room");
    assert!([200, 503].contains(&answer.status.as_u16()), "{answer:?}");
    shows(
        &mut proxy,
        "penstock_idle_connections_closed_total",
        |closed| closed > 0.0,
    )
    .await;
    shows(&mut proxy, "penstock_overload_level", |level| level == 0.0).await;
    assert_eq!(alone(proxy.address).await.status, 200);
    drop(idle);
}

/// More is resident than the threshold allows, whatever happens.
const NO_MEMORY: &str = "{ memory: 64MiB, shed_at: 10, pause_at: 11 }";

async fn memory_runs_very_short(transport: Transport) {
    let upstream = slow();
    let mut proxy = start(transport, NO_MEMORY, &upstream).await;
    shows(&mut proxy, "penstock_overload_level", |level| level == 2.0).await;
    let mut clients = Vec::new();
    for http in BOTH {
        clients.push(Client::connect(proxy.address, http).await);
    }
    let mut first = Client::connect(proxy.address, Http::One).await;
    let head = first.send(streamed_chat()).await.unwrap();
    assert_eq!(head.status(), 200, "one request is let through in any case");
    assert_eq!(head.headers()["connection"], "close");
    for client in &mut clients {
        is_refusal(&client.answer(chat()).await);
    }
    let mut client = Client::connect(proxy.address, Http::One).await;
    let answer = client.answer(post("/v1/messages", "{}")).await;
    assert_eq!(answer.status, 503);
    let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        error["error"]["type"], "overloaded_error",
        "as Anthropic's SDK reads it"
    );
    let rest = head.into_body().collect().await.unwrap().to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"), "it goes on to its end");
    drop((client, clients, first));
    let shed = metric(&mut proxy, "penstock_shed_total", &["\"memory\""]).await;
    assert_eq!(shed, 3.0);

    // Sixteen connections are accepted in any case; the next waits for one of them to end.
    shows(&mut proxy, "penstock_connections_open", |open| open == 0.0).await;
    let mut open = Vec::new();
    for _ in 0..17 {
        open.push(Raw::connect(proxy.address).await);
    }
    shows(&mut proxy, "penstock_accept_pauses_total", |pauses| {
        pauses > 0.0
    })
    .await;
    let mut last = Raw::connect(proxy.address).await;
    last.send("GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    drop(open);
    let answer = last.text_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let ready = proxy.page("/readyz").await;
    assert_eq!(
        ready.status, 200,
        "another instance would not fare better with its load"
    );
}

async fn bodies_take_no_more_than_their_part(transport: Transport) {
    let upstream = simulator(&[]);
    // A quarter, 32 MiB, is for bodies.
    let memory = "{ memory: 128MiB, shed_at: 98, pause_at: 100 }";
    let mut proxy = start(transport, memory, &upstream).await;
    let piece = vec![b' '; 14 << 20];
    let mut holding = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(proxy.address).await;
        let head =
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 15000000\r\n\r\n";
        raw.send(head).await;
        // The last is answered before it has sent all.
        let _ = timeout(WAIT, raw.0.write_all(&piece)).await;
        holding.push(raw);
    }
    shows(&mut proxy, "penstock_shed_total", |shed| shed == 1.0).await;
    let shed = metric(&mut proxy, "penstock_shed_total", &["\"bodies\""]).await;
    assert_eq!(shed, 1.0);
    let mut client = Client::connect(proxy.address, Http::One).await;
    let answer = client.answer(get("/v1/models")).await;
    assert_eq!(answer.status, 200, "who has no body needs no room");
    drop(holding);
    let kept = "penstock_request_bodies_kept_bytes";
    shows(&mut proxy, kept, |bytes| bytes == 0.0).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    assert_eq!(client.answer(chat()).await.status, 200);
}

async fn the_limit_of_descriptors_is_raised(transport: Transport) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let Some(hard) = maximum else {
        // Nothing can be lowered by one.
        return;
    };
    // What the process begins with. For the tests beside this one that is as good.
    let current = Some(hard - 1);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let upstream = simulator(&[]);
    let mut proxy = start(transport, "{}", &upstream).await;
    shows(&mut proxy, "penstock_descriptors_limit", |limit| {
        limit == hard as f64
    })
    .await;
}
