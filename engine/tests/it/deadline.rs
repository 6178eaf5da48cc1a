//! A request whose answer has not begun at its deadline gets an error, however many attempts
//! are left; what has begun goes on.

use std::net::SocketAddr;

use http::Request;
use penstock::transport::Transport;

use crate::harness::client::{BOTH, Body, Client, Http, chat, get, post, streamed_chat, with};
use crate::harness::{Proxy, config, simulator};

on_both!(
    silence_ends_at_the_deadline,
    attempts_end_at_the_deadline,
    an_answer_that_has_begun_goes_on,
    the_error_is_in_the_dialect_of_the_client,
    a_slow_body_of_the_clients_takes_of_the_time,
);

fn routed(addresses: &[SocketAddr], protocol: &str, route: &str) -> String {
    let list: Vec<_> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    format!(
        "upstreams:\n  a: {{ endpoints: [{}], protocol: {protocol} }}\nroutes:\n  - {{ name: all, {route}, split: [{{ upstream: a }}] }}\n",
        list.join(", ")
    )
}

fn large() -> Request<Body> {
    let content = "a".repeat(1 << 20);
    let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}]}}"#);
    post("/v1/chat/completions", body)
}

async fn silence_ends_at_the_deadline(transport: Transport) {
    let requests: [fn() -> Request<Body>; 4] = [chat, streamed_chat, large, || get("/v1/models")];
    for protocol in ["http1", "http2"] {
        for at in ["head", "first", "body"] {
            // It would be silent for longer than the test may take.
            let faults = format!("stall; at={at}=1");
            let upstream = simulator(&[("faults", &faults)]);
            for attempts in [1, 3] {
                let route = format!("deadline: 200ms, attempts: {attempts}");
                let rest = routed(&[upstream.address()], protocol, &route);
                let proxy = Proxy::start(&config(transport, "", &rest)).await;
                for (n, request) in requests.into_iter().enumerate() {
                    let http = BOTH[n % 2];
                    let asked = upstream.requests();
                    let mut client = Client::connect(proxy.address(), http).await;
                    let answer = client.answer(request()).await;
                    let what = format!("{protocol}, at {at}, request {n}, {attempts} attempts");
                    assert_eq!(answer.status, 504, "{what}: {answer:?}");
                    assert_eq!(answer.error_code(), "deadline_exceeded", "{what}");
                    assert!(upstream.requests() <= asked + 1, "{what}");
                }
                proxy.forgets_bodies().await;
            }
        }
    }
}

async fn attempts_end_at_the_deadline(transport: Transport) {
    let upstream = simulator(&[("faults", "stall=1")]);
    let addresses = [upstream.address()];
    for (first_token, least, most) in [("300ms", 1, 2), ("20s", 1, 1)] {
        let route =
            format!("deadline: 400ms, attempts: 10, retry: {{ first_token: {first_token} }}");
        let text = config(transport, "", &routed(&addresses, "http1", &route));
        let proxy = Proxy::start(&text).await;
        for http in BOTH {
            let asked = upstream.requests();
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(chat()).await;
            assert_eq!(answer.status, 504, "{first_token}");
            assert_eq!(answer.error_code(), "deadline_exceeded", "{first_token}");
            let asked = upstream.requests() - asked;
            assert!((least..=most).contains(&asked), "{first_token}: {asked}");
        }
        let ended = ["outcome=\"upstream_timeout\""];
        assert_eq!(proxy.metric("penstock_outcomes_total", &ended), 2.0);
    }
}

async fn an_answer_that_has_begun_goes_on(transport: Transport) {
    // Three times as long as it may take to begin.
    let upstream = simulator(&[("tokens", "30"), ("between-tokens", "50ms")]);
    for protocol in ["http1", "http2"] {
        let rest = routed(&[upstream.address()], protocol, "deadline: 500ms");
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(streamed_chat()).await;
            let what = format!("{http:?} to {protocol}");
            assert_eq!(answer.status, 200, "{what}");
            assert!(answer.text().ends_with("data: [DONE]\n\n"), "{what}");
            assert_eq!(client.answer(get("/plain")).await.status, 200, "{what}");
        }
    }
}

async fn the_error_is_in_the_dialect_of_the_client(transport: Transport) {
    let upstream = simulator(&[("faults", "stall=1")]);
    let rest = routed(&[upstream.address()], "http1", "deadline: 100ms");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    let answer = client.answer(post("/v1/messages", "{}")).await;
    let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 504);
    assert_eq!(error["error"]["type"], "api_error", "{error}");
    let answer = client.answer(with(get("/plain"), "x-a", "b")).await;
    assert_eq!(answer.status, 504);
    assert!(answer.header("content-type").starts_with("text/plain"));
}

async fn a_slow_body_of_the_clients_takes_of_the_time(transport: Transport) {
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;

    let upstream = simulator(&[]);
    let rest = routed(&[upstream.address()], "http1", "deadline: 100ms");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        let pieces = futures::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(80)).await;
            let piece = [r#"{"model":"m","#, r#""messages""#, ":[]}"].get(n)?;
            Some((Ok(Frame::data(Bytes::from_static(piece.as_bytes()))), n + 1))
        });
        let body = BodyExt::boxed(StreamBody::new(Box::pin(pieces)));
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(request).await;
        assert_eq!(answer.status, 504, "{http:?}");
        assert_eq!(answer.error_code(), "deadline_exceeded", "{http:?}");
    }
    assert_eq!(upstream.requests(), 0, "it was too late to ask");
}
