//! An endpoint that fails before its client has seen anything is replaced by another one;
//! what fails later ends visibly. The ways of failing are in `failures`.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use penstock::transport::Transport;
use rustix::process::Signal;

use crate::harness::client::{Answer, BOTH, Client, Http, chat, pieces, post, streamed_chat, with};
use crate::harness::process::ProxyProcess;
use crate::harness::{Proxy, Refusing, all_to, config, eventually, pattern, simulator};

on_both!(
    an_upstream_that_does_not_read_is_left_in_time,
    a_dead_fleet_is_not_stormed,
    what_became_of_earlier_attempts_is_told,
    what_may_not_be_tried_again_is_passed_on,
    a_stream_that_breaks_off_ends_with_an_error_event,
    a_compressed_stream_is_passed_on_as_it_is,
    a_stream_of_messages_that_breaks_off_ends_as_anthropic_says,
    statuses_are_those_of_the_route,
    what_models_are_not_asked_is_repeated_only_if_that_is_harmless,
    nothing_of_a_failed_answer_is_left,
    the_answer_after_a_failed_one_is_settled_like_a_first,
);

const LOG: &str = "log: { format: json, access: on }";

fn two(bad: SocketAddr, good: SocketAddr, route: &str) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{bad}\", \"{good}\"] }}\nroutes:\n  - {{ name: all, {route} split: [{{ upstream: a }}] }}\n"
    )
}

/// A whole answer of the good upstream, and nothing of another one.
pub(crate) fn check_good(answer: &Answer, streamed: bool, what: &str) {
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
    assert_eq!(answer.upstream(), "good", "{what}");
    let whole = match streamed {
        true => answer.text().ends_with("data: [DONE]\n\n"),
        false => serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok(),
    };
    assert!(whole, "{what}: {}", answer.text());
    let roles = answer.text().matches(r#""role""#).count();
    assert_eq!(roles, 1, "{what}: two beginnings: {}", answer.text());
}

async fn an_upstream_that_does_not_read_is_left_in_time(transport: Transport) {
    // More than the kernel takes, and HTTP/2 opens a window for, in many pieces.
    let sent = Bytes::from(pattern(16 << 20));
    for (protocol, timeouts, retry) in [
        ("http1", "", "retry: { first_token: 500ms },"),
        ("http2", "", "retry: { first_token: 500ms },"),
        ("http2", "timeouts: { write: 300ms }", ""),
    ] {
        let bad = simulator(&[("name", "bad"), ("faults", "stall; at=body=1")]);
        let good = simulator(&[("name", "good"), ("record", "0")]);
        let more = format!("], protocol: {protocol}, {timeouts} }}\nroutes");
        let rest = two(bad.address(), good.address(), retry).replace("] }\nroutes", &more);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let body = pieces(&sent, &[16 * 1024]);
        let answer = client
            .answer(Request::put("/echo").body(body).unwrap())
            .await;
        let what = format!("{protocol}, {timeouts}");
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(answer.upstream(), "good", "{what}");
        assert!(answer.body == sent, "{what}: it came back otherwise");
        proxy.forgets_bodies().await;
    }
}

async fn a_dead_fleet_is_not_stormed(transport: Transport) {
    let one = simulator(&[("faults", "500=1")]);
    let other = simulator(&[("faults", "500=1")]);
    let rest = two(one.address(), other.address(), "");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let clients = (0..20).map(|_| {
        let address = proxy.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address, Http::One).await;
            for _ in 0..20 {
                let answer = client.answer(chat()).await;
                assert_eq!(answer.status, 500, "the upstream's own answer");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let retries = |result: &str| {
        let label = format!("result=\"{result}\"");
        proxy.metric("penstock_upstream_retries_total", &[&label])
    };
    let (made, refused) = (retries("made"), retries("over_budget"));
    assert!(refused > 0.0, "{made} retries were made, and none refused");
    assert_eq!(made + refused, 400.0, "one for each request, made or not");
    let asked = one.requests() + other.requests();
    assert_eq!(asked as f64, 400.0 + made);
}

async fn what_became_of_earlier_attempts_is_told(transport: Transport) {
    for (fault, reason) in [
        ("503", "status_503"),
        ("malformed", "malformed_event"),
        ("stall; at=first", "FirstTokenTimedout"),
        // What the kernel says of it differs.
        ("refuse", ""),
    ] {
        let faults = format!("{fault}=1");
        let bad = simulator(&[("faults", &faults)]);
        let good = simulator(&[]);
        let rest = two(
            bad.address(),
            good.address(),
            "retry: { first_token: 200ms },",
        );
        let mut proxy = ProxyProcess::start(transport, LOG, &rest).await;
        let mut client = Client::connect(proxy.address, Http::One).await;
        assert_eq!(client.answer(streamed_chat()).await.status, 200, "{fault}");
        proxy.process.signal(Signal::TERM);
        assert_eq!(proxy.process.exit_code().await, Some(0));
        let lines = proxy.process.lines();
        let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let mut lines = lines.filter(|line: &serde_json::Value| line["message"] == "request");
        let line = lines.next().unwrap();
        assert_eq!(line["attempts"], 2, "{line}");
        let told = line["tried"].as_str().unwrap();
        let wanted = format!("a {} {reason}", bad.address());
        assert!(told.starts_with(&wanted), "{fault}: {told}");
        let last = format!(", a {} status_200 ", good.address());
        assert!(
            told.contains(&last) && told.ends_with("ms"),
            "{fault}: {told}"
        );
    }
}

async fn what_may_not_be_tried_again_is_passed_on(transport: Transport) {
    let bad = simulator(&[("name", "bad"), ("faults", "500=1")]);
    let good = simulator(&[("name", "good")]);
    let rest = two(bad.address(), good.address(), "attempts: 1,");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let (one, other) = (client.answer(chat()).await, client.answer(chat()).await);
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 500]);
    }
}

/// An upstream that answers every request with this stream, and then closes.
async fn scripted(stream: &'static str) -> SocketAddr {
    answering("connection: close", stream).await
}

/// The same with another header.
async fn answering(header: &'static str, stream: &'static str) -> SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 64 * 1024];
                let _ = socket.read(&mut request).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-upstream-name: bad\r\n{header}\r\n\r\n"
                );
                let _ = socket.write_all(head.as_bytes()).await;
                let _ = socket.write_all(stream.as_bytes()).await;
                // Closing with bytes unread would take back what was sent.
                let _ = socket.shutdown().await;
                while socket.read(&mut request).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    address
}

const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";

async fn a_stream_that_breaks_off_ends_with_an_error_event(transport: Transport) {
    let upstream = simulator(&[("between-tokens", "20ms")]);
    let rest = all_to(upstream.address());
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        for fault in ["reset; after=3", "cut; after=3"] {
            let mut client = Client::connect(proxy.address(), http).await;
            let broken = with(streamed_chat(), "x-simulate", fault);
            let answer = client.answer(broken).await;
            assert_eq!(answer.break_code(), "upstream_failed");
        }
    }
    assert_eq!(upstream.requests(), 4, "each was asked for once");
}

async fn a_compressed_stream_is_passed_on_as_it_is(transport: Transport) {
    // Not compressed really: what it says must not be read.
    let upstream = answering("content-encoding: zstd\r\nconnection: close", ROLE).await;
    let other = Refusing::new();
    let rest = two(upstream, other.address(), "");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        assert_eq!(client.answer(streamed_chat()).await.text(), ROLE);
    }
    let upstream = answering(
        "content-encoding: zstd\r\ntransfer-encoding: chunked",
        "2\r\n\n\n\r\n",
    )
    .await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.try_answer(streamed_chat()).await;
        assert!(answer.is_err(), "nothing can be added to it: {answer:?}");
    }
}

async fn a_stream_of_messages_that_breaks_off_ends_as_anthropic_says(transport: Transport) {
    let events = "event: message_start\ndata: {\"type\":\"message_start\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n";
    let chunk = format!("{:x}\r\n{events}\r\n", events.len());
    let upstream = answering("transfer-encoding: chunked", chunk.leak()).await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(post("/v1/messages", "{}")).await;
        let error = answer.text().strip_prefix(events).unwrap();
        let error = error.strip_prefix("event: error\ndata: ").unwrap();
        let error: serde_json::Value = serde_json::from_str(error).unwrap();
        assert_eq!(error["type"], "error");
        assert_eq!(error["error"]["type"], "api_error");
    }
}

async fn statuses_are_those_of_the_route(transport: Transport) {
    for (statuses, expected) in [("[418]", (418, 200)), ("[]", (500, 500))] {
        let fault = if expected.0 == 418 { "418=1" } else { "500=1" };
        let bad = simulator(&[("name", "bad"), ("faults", fault)]);
        let good = simulator(&[("name", "good")]);
        let route = format!("retry: {{ statuses: {statuses} }},");
        let rest = two(bad.address(), good.address(), &route);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        assert_eq!(client.answer(chat()).await.status, expected.1, "{statuses}");
    }
}

async fn what_models_are_not_asked_is_repeated_only_if_that_is_harmless(transport: Transport) {
    let bad = simulator(&[("name", "bad"), ("faults", "refuse=1")]);
    let refusing = Refusing::new();
    for (bad, method, expected) in [
        (bad.address(), "POST", 502),
        (bad.address(), "PUT", 200),
        // Nobody can have worked on it.
        (refusing.address(), "POST", 200),
    ] {
        let good = simulator(&[("name", "good")]);
        let proxy = Proxy::start(&config(transport, "", &two(bad, good.address(), ""))).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let mut request = post("/echo", "{}");
        *request.method_mut() = method.parse().unwrap();
        assert_eq!(client.answer(request).await.status, expected, "{method}");
    }
}

async fn nothing_of_a_failed_answer_is_left(transport: Transport) {
    let bad = scripted(ROLE).await;
    let good = simulator(&[("name", "good")]);
    let chain =
        "chain:\n  - headers: { response: [{ add: { x-once: \"yes\" } }] }\n  - request_id: {}\n";
    let rest = format!("{chain}{}", two(bad, good.address(), ""));
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        for _ in 0..2 {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(streamed_chat()).await;
            check_good(&answer, true, "with rules");
            assert_eq!(answer.headers.get_all("x-once").iter().count(), 1);
            assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
        }
    }
}

async fn the_answer_after_a_failed_one_is_settled_like_a_first(transport: Transport) {
    let bad = scripted(ROLE).await;
    let good = simulator(&[("name", "good"), ("tokens", "12")]);
    let hash = penstock_plugins::authenticate::hash(b"psk_of_nobody");
    let chain = format!(
        "chain:\n- authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: c }}] }} }}\n- limits: [{{ name: t, tokens: 100000, per: 1h, by: [key] }}]\n"
    );
    let rest = format!("{chain}{}", two(bad, good.address(), ""));
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let metric = |name| proxy.metric(name, &["limit=\"t\""]);
    for http in BOTH {
        for _ in 0..2 {
            let before = metric("penstock_limit_spent");
            let mut client = Client::connect(proxy.address(), http).await;
            let request = with(streamed_chat(), "authorization", "Bearer psk_of_nobody");
            let answer = client.answer(request).await;
            check_good(&answer, true, "with a limit");
            let text = answer.text();
            assert!(!text.contains("usage"), "nobody asked for it: {text}");
            assert_eq!(answer.header("x-ratelimit-limit-tokens"), "100000");
            eventually("it is settled", || metric("penstock_limit_reserved") == 0.0).await;
            let spent = metric("penstock_limit_spent") - before;
            assert!((13.0..20.0).contains(&spent), "{spent} by {http:?}");
        }
    }
}
