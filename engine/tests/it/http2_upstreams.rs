//! Upstreams that speak HTTP/2, and clients that know less of it.

use http::Request;
use penstock::transport::Transport;
use penstock_simulator::Simulator;

use crate::harness::client::{BOTH, Client, STREAMED_CHAT, get, whole};
use crate::harness::raw::{Raw, ask};
use crate::harness::{Proxy, all_to, config, pattern, simulator};

on_both!(
    an_old_client_gets_no_chunks,
    an_old_client_keeps_its_connection_where_a_length_is_known,
    head_is_answered_with_a_head,
);

async fn proxy(transport: Transport) -> (Proxy, Simulator) {
    let upstream = simulator(&[]);
    let rest = all_to(upstream.address()).replace("] }\nroutes", "], protocol: http2 }\nroutes");
    (Proxy::start(&config(transport, "", &rest)).await, upstream)
}

async fn an_old_client_gets_no_chunks(transport: Transport) {
    let (proxy, _upstream) = proxy(transport).await;
    for asked in ["", "connection: keep-alive\r\n"] {
        let get = format!("GET /chunked/100000 HTTP/1.0\r\nhost: a\r\n{asked}\r\n");
        let (body, whole) = answer(&proxy, &get).await;
        assert!(whole && body == pattern(100_000), "closing ends the body");
        let length = STREAMED_CHAT.len();
        let post = format!(
            "POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\n{asked}content-length: {length}\r\n\r\n{STREAMED_CHAT}"
        );
        let (body, whole) = answer(&proxy, &post).await;
        assert!(
            whole && body.ends_with(b"data: [DONE]\n\n"),
            "closing ends the stream"
        );
    }
}

/// The body that ends with the connection, and whether that was closed properly.
async fn answer(proxy: &Proxy, request: &str) -> (Vec<u8>, bool) {
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send(request).await;
    let head = raw.read_until("\r\n\r\n").await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{request}: {head}");
    assert!(!head.contains("transfer-encoding"), "{request}: {head}");
    let (body, error) = raw.read_to_end().await;
    (body, error.is_none())
}

async fn an_old_client_keeps_its_connection_where_a_length_is_known(transport: Transport) {
    let (proxy, _upstream) = proxy(transport).await;
    let mut raw = Raw::connect(proxy.address()).await;
    for _ in 0..2 {
        raw.send("GET /plain HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
            .await;
        raw.read_until("\r\n\r\nok").await;
        raw.send(
            "POST /echo HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
        )
        .await;
        raw.read_until("\r\n\r\nhello").await;
    }
    let closed = ask(proxy.address(), "GET /plain HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(closed.ends_with("\r\n\r\nok"), "{closed}");
}

async fn head_is_answered_with_a_head(transport: Transport) {
    let (proxy, upstream) = proxy(transport).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for path in ["/plain", "/bytes/5000", "/chunked/5000", "/v1/models"] {
            let head = Request::head(path).body(whole("")).unwrap();
            let answer = client.answer(head).await;
            assert_eq!(answer.status, 200, "{path} over {http:?}: {answer:?}");
            assert_eq!(answer.body.len(), 0, "{path} over {http:?}");
            if path.starts_with("/bytes") {
                assert_eq!(answer.header("content-length"), "5000");
            }
            let answer = client.answer(get("/plain")).await;
            assert_eq!(answer.text(), "ok", "after HEAD {path} over {http:?}");
        }
    }
    let old = ask(
        proxy.address(),
        "HEAD /chunked/50 HTTP/1.0\r\nhost: a\r\n\r\n",
    )
    .await;
    assert!(old.starts_with("HTTP/1.1 200"), "{old}");
    assert!(old.ends_with("\r\n\r\n"), "{old}");
    assert_eq!(upstream.requests(), 17);
    assert_eq!(
        proxy.metric("penstock_upstream_attempts_total", &["result=\"failed\""]),
        0.0
    );
}
