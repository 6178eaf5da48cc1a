//! An upstream that fails is told apart from one that answers.

use std::net::SocketAddr;

use bytes::Bytes;
use penstock::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::client::{BOTH, Client, Http, STREAMED_CHAT, chat, get, streamed_chat, with};
use crate::harness::raw::{Raw, ask};
use crate::harness::{Proxy, all_to, config, eventually, simulator};

on_both!(
    a_stream_that_is_cut_does_not_look_complete,
    a_cut_http1_stream_ends_with_an_error_and_its_last_chunk,
    a_stream_that_is_cut_within_an_event_is_cut,
    an_answer_of_known_length_that_is_cut_is_short,
    a_json_answer_that_is_cut_is_a_bad_gateway,
    no_answer_at_all_is_a_bad_gateway,
    silence_is_a_gateway_timeout,
    silence_in_a_stream_ends_it_with_an_error,
    nonsense_is_a_bad_gateway,
    an_upstream_that_answers_early_is_heard,
);

async fn a_stream_that_is_cut_does_not_look_complete(transport: Transport) {
    let upstream = simulator(&[]);
    for protocol in ["http1", "http2"] {
        let with_protocol = format!("], protocol: {protocol} }}\nroutes");
        let rest = all_to(upstream.address()).replace("] }\nroutes", &with_protocol);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            for fault in ["cut; after=3", "reset; after=3"] {
                let mut client = Client::connect(proxy.address(), http).await;
                let request = with(streamed_chat(), "x-simulate", fault);
                // Time between tokens, so that a reset does not overtake those before it.
                let request = with(request, "x-simulate-pace", "20ms");
                let answer = client.answer(request).await;
                let what = format!("{fault}, {http:?} to {protocol}");
                assert_eq!(answer.break_code(), "upstream_failed", "{what}");
                let seen = answer.text();
                let tokens = seen.matches("data: ").count() - 1;
                assert!(
                    tokens >= 2,
                    "{what}: tokens before the cut are lost: {seen:?}"
                );
            }
        }
        eventually("all are counted as what they were", || {
            proxy.metric("penstock_outcomes_total", &["outcome=\"upstream_failed\""]) == 4.0
        })
        .await;
    }
}

async fn a_cut_http1_stream_ends_with_an_error_and_its_last_chunk(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-simulate: cut; after=3\r\ncontent-length: {}\r\n\r\n{STREAMED_CHAT}",
        STREAMED_CHAT.len()
    ))
    .await;
    let answer = raw.text_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, last) = answer.rsplit_once("data: ").unwrap();
    assert!(last.starts_with("{\"error\":"), "{answer}");
    assert!(
        last.ends_with("\n\n\r\n0\r\n\r\n"),
        "no proper end: {answer}"
    );
}

async fn a_stream_that_is_cut_within_an_event_is_cut(transport: Transport) {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"cho";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n",
        event.len()
    );
    let upstream = says(answer.leak(), true).await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.try_answer(streamed_chat()).await;
        assert!(answer.is_err(), "half an event looked whole: {answer:?}");
    }
}

async fn an_answer_of_known_length_that_is_cut_is_short(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let cut = with(get("/bytes/100000"), "x-simulate", "cut");
        let answer = client.try_answer(cut).await;
        assert!(answer.is_err(), "half an answer looked whole over {http:?}");
    }
    assert_eq!(upstream.requests(), 2, "each was asked for once");
}

async fn a_json_answer_that_is_cut_is_a_bad_gateway(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(with(chat(), "x-simulate", "cut")).await;
        assert_eq!(answer.status, 502, "over {http:?}");
        assert_eq!(answer.error_code(), "upstream_failed");
    }
    assert_eq!(upstream.requests(), 4, "two attempts each");
}

async fn no_answer_at_all_is_a_bad_gateway(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(with(chat(), "x-simulate", "refuse")).await;
        assert_eq!(answer.status, 502, "over {http:?}");
        assert_eq!(answer.error_code(), "upstream_failed");
    }
    eventually("both are counted as what they were", || {
        proxy.metric("penstock_outcomes_total", &["outcome=\"upstream_failed\""]) == 2.0
    })
    .await;
}

/// A proxy whose upstream may be silent for a short time only.
async fn impatient(transport: Transport, upstream: SocketAddr) -> Proxy {
    let rest = all_to(upstream).replace("] }\nroutes", "], timeouts: { read: 300ms } }\nroutes");
    Proxy::start(&config(transport, "", &rest)).await
}

async fn silence_is_a_gateway_timeout(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = impatient(transport, upstream.address()).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let request = with(streamed_chat(), "x-simulate", "stall; at=head");
        let answer = client.answer(request).await;
        assert_eq!(answer.status, 504, "over {http:?}");
        assert_eq!(answer.error_code(), "upstream_timeout");
    }
}

async fn silence_in_a_stream_ends_it_with_an_error(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = impatient(transport, upstream.address()).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let request = with(streamed_chat(), "x-simulate", "stall; at=2");
        let answer = client.answer(request).await;
        assert_eq!(answer.break_code(), "upstream_timeout", "over {http:?}");
    }
    eventually("both are counted as what they were", || {
        proxy.metric("penstock_outcomes_total", &["outcome=\"upstream_timeout\""]) == 2.0
    })
    .await;
}

/// An upstream that answers every connection with these bytes, and closes it if asked to.
async fn says(answer: &'static str, closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                while !closes && stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    address
}

async fn nonsense_is_a_bad_gateway(transport: Transport) {
    for answer in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 two hundred\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "",
    ] {
        let upstream = says(answer, true).await;
        let proxy = Proxy::start(&config(transport, "", &all_to(upstream))).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let got = client.answer(get("/v1/models")).await;
        assert_eq!(got.status, 502, "{answer:?} became {got:?}");
        assert_eq!(got.error_code(), "upstream_failed");
    }
}

async fn an_upstream_that_answers_early_is_heard(transport: Transport) {
    let refusal =
        "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
    for attempts in [1, 2] {
        let upstream = says(refusal, false).await;
        let rest =
            all_to(upstream).replace("name: all,", &format!("name: all, attempts: {attempts},"));
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let body = Bytes::from("x".repeat(200_000));
        let text = String::from_utf8_lossy(&body);
        let request = format!(
            "POST /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
            body.len()
        );
        let answer = ask(proxy.address(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer:?}");
        assert!(answer.ends_with("big"), "{answer:?}");
    }
}
