//! A request is tried again while nothing of an answer has come, with its body whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Request;
use penstock::transport::Transport;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::bodies::{FRAMINGS, SIZES, check_echo, json};
use crate::harness::client::{BOTH, Client, Http, chat, get, post, streamed_chat, with};
use crate::harness::raw::{read_head, read_request};
use crate::harness::{Proxy, Refusing, config, simulator};

on_both!(
    an_endpoint_that_refuses_is_passed_over,
    a_reused_connection_that_was_closed_is_replaced,
    a_reused_connection_that_closes_on_a_request_is_replaced,
    tries_come_to_an_end,
    one_attempt_is_one_attempt,
    nothing_is_retried_once_the_answer_began,
    a_new_connection_that_fails_is_tried_again_only_if_that_does_no_harm,
    many_bodies_at_once_survive_a_retry,
);

fn endpoints(addresses: &[SocketAddr], upstream: &str, route: &str) -> String {
    let list: Vec<_> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    format!(
        "upstreams:\n  a: {{ endpoints: [{}], {upstream} }}\nroutes:\n  - {{ name: all, {route} split: [{{ upstream: a }}] }}\n",
        list.join(", ")
    )
}

async fn an_endpoint_that_refuses_is_passed_over(transport: Transport) {
    let refusing = Refusing::new();
    let upstream = simulator(&[("record", "0")]);
    for protocol in ["http1", "http2"] {
        let addresses = [refusing.address(), upstream.address()];
        let rest = endpoints(&addresses, &format!("protocol: {protocol}"), "");
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            for framing in FRAMINGS {
                for size in SIZES {
                    // Twice, since the endpoints take turns.
                    for _ in 0..2 {
                        let sent = json(size);
                        let request = Request::post("/echo").body(framing.body(&sent)).unwrap();
                        let answer = client.answer(request).await;
                        let what = format!("{size} bytes, {framing:?}, {http:?} to {protocol}");
                        check_echo(&answer, &sent, &what);
                    }
                }
            }
        }
        let refused = proxy.metric(
            "penstock_upstream_attempts_total",
            &["result=\"connect_failed\""],
        );
        assert!(refused > 0.0, "the refusing endpoint had its turn");
    }
}

/// When an upstream of [`fickle`] closes a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Closes {
    /// After an answer, without having said so.
    AfterAnswer,
    /// When the head of its second request has come.
    OnSecondHead,
}

/// An upstream that echoes bodies and closes its connections, and how many requests it
/// has answered.
async fn fickle(closes: Closes) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answered = Arc::new(AtomicU64::new(0));
    let count = answered.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let (mut head, body) = read_request(&mut stream).await?;
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.ok()?;
                stream.write_all(&body).await.ok()?;
                count.fetch_add(1, Ordering::SeqCst);
                if closes == Closes::OnSecondHead {
                    (head, _) = read_head(&mut stream).await?;
                }
                Some(head)
            });
        }
    });
    (address, answered)
}

async fn a_reused_connection_that_was_closed_is_replaced(transport: Transport) {
    replaced(transport, Closes::AfterAnswer).await;
}

async fn a_reused_connection_that_closes_on_a_request_is_replaced(transport: Transport) {
    replaced(transport, Closes::OnSecondHead).await;
}

async fn replaced(transport: Transport, closes: Closes) {
    let (address, answered) = fickle(closes).await;
    let proxy = Proxy::start(&config(transport, "", &endpoints(&[address], "", ""))).await;
    let mut sent_in_all = 0;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for size in [0, 1, 65_537, 1 << 20] {
            for framing in FRAMINGS {
                for round in 0..3 {
                    let sent = json(size);
                    let request = Request::post("/x").body(framing.body(&sent)).unwrap();
                    let answer = client.answer(request).await;
                    let what = format!("{size} bytes, {framing:?}, {http:?}, round {round}");
                    assert_eq!(answer.status, 200, "{what}, {closes:?}: {answer:.200?}");
                    assert!(answer.body == sent, "{what}: the body came back otherwise");
                    sent_in_all += 1;
                }
            }
        }
    }
    assert_eq!(answered.load(Ordering::SeqCst), sent_in_all, "each once");
}

async fn tries_come_to_an_end(transport: Transport) {
    let refusing = [Refusing::new(), Refusing::new(), Refusing::new()];
    let addresses: Vec<_> = refusing.iter().map(Refusing::address).collect();
    let rest = endpoints(&addresses, "", "attempts: 3,");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(chat()).await;
        assert_eq!(answer.status, 502, "over {http:?}");
        assert_eq!(answer.error_code(), "upstream_failed");
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(get("/plain")).await;
        assert_eq!(answer.status, 502, "over {http:?}");
        assert!(answer.header("content-type").starts_with("text/plain"));
    }
    let tried = proxy.metric(
        "penstock_upstream_attempts_total",
        &["result=\"connect_failed\""],
    );
    assert_eq!(tried, 12.0, "four requests, three attempts each");
}

async fn one_attempt_is_one_attempt(transport: Transport) {
    let refusing = Refusing::new();
    let upstream = simulator(&[]);
    let addresses = [refusing.address(), upstream.address()];
    let rest = endpoints(&addresses, "", "attempts: 1,");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        statuses.push(client.answer(chat()).await.status.as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502], "the endpoints take turns");
}

async fn nothing_is_retried_once_the_answer_began(transport: Transport) {
    let upstream = simulator(&[]);
    let rest = endpoints(&[upstream.address()], "", "attempts: 5,");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        // The second request goes over a reused connection, where a retry is possible.
        for _ in 0..2 {
            let mut client = Client::connect(proxy.address(), http).await;
            client.answer(chat()).await;
            upstream.forget_recorded();
            let cut = with(streamed_chat(), "x-simulate", "reset; after=2");
            // Time between tokens, so that a reset does not overtake those before it.
            let cut = with(cut, "x-simulate-pace", "20ms");
            let answer = client.answer(cut).await;
            assert_eq!(answer.break_code(), "upstream_failed");
            assert_eq!(upstream.recorded().len(), 1, "over {http:?}");
        }
    }
}

async fn a_new_connection_that_fails_is_tried_again_only_if_that_does_no_harm(
    transport: Transport,
) {
    let upstream = simulator(&[]);
    let rest = endpoints(&[upstream.address()], "", "attempts: 5,");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut asked = 0;
    // The upstream may have begun to work on it: only a reused connection excuses it.
    for (path, attempts) in [("/echo", 1), ("/v1/embeddings", 5)] {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let refused = with(post(path, "{}"), "x-simulate", "refuse");
        let answer = client.answer(refused).await;
        assert_eq!(answer.status, 502, "{path}");
        if path.starts_with("/v1") {
            assert_eq!(answer.error_code(), "upstream_failed");
        }
        asked += attempts;
        assert_eq!(upstream.requests(), asked, "{path}");
    }
}

async fn many_bodies_at_once_survive_a_retry(transport: Transport) {
    let refusing = Refusing::new();
    let upstream = simulator(&[("record", "0")]);
    let addresses = [refusing.address(), upstream.address()];
    let proxy = Proxy::start(&config(transport, "", &endpoints(&addresses, "", ""))).await;
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    client.answer(get("/plain")).await;
    let Client::Two(sender) = client else {
        panic!("asked for HTTP/2");
    };
    let clients = (0..30).map(|n| {
        let mut client = Client::Two(sender.clone());
        tokio::spawn(async move {
            let sent = json(300_000 + n);
            let framing = FRAMINGS[n % FRAMINGS.len()];
            let request = Request::post("/echo").body(framing.body(&sent)).unwrap();
            check_echo(&client.answer(request).await, &sent, &format!("body {n}"));
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    proxy.forgets_bodies().await;
}
