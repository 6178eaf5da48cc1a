//! An upstream that fails is told apart from one that answers.

use std::net::SocketAddr;

use bytes::Bytes;
use penstock::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::client::{BOTH, Client, STREAMED_CHAT, get, streamed_chat, with};
use crate::harness::raw::{Raw, ask};
use crate::harness::{Proxy, all_to, config, eventually, simulator};

on_both!(
    a_stream_that_is_cut_does_not_look_complete,
    a_cut_http1_stream_ends_with_an_error_and_its_last_chunk,
    an_answer_of_known_length_that_is_cut_is_short,
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

/// An upstream that answers every connection with these bytes.
async fn says(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                while stream.read(&mut request).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    address
}

async fn an_upstream_that_answers_early_is_heard(transport: Transport) {
    let refusal =
        "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig";
    for attempts in [1, 2] {
        let upstream = says(refusal).await;
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
