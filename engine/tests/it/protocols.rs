//! Versions of HTTP and the corners of each.

use http::Request;
use http_body_util::BodyExt;
use penstock::transport::Transport;
use tokio::net::TcpStream;

use crate::harness::client::{BOTH, Client, Http, get, streamed_chat, whole};
use crate::harness::raw::{Raw, ask};
use crate::harness::{Proxy, all_to, config, eventually, pattern, simulator};

on_both!(
    a_short_request_is_answered_without_waiting_for_more,
    http_1_0_is_answered,
    connections_are_kept_or_closed_as_asked,
    head_has_no_body,
    cleartext_http2_is_refused_where_it_is_off,
    a_head_that_comes_in_pieces_is_read,
    malformed_requests_are_refused,
    connect_is_refused,
    a_stream_that_is_reset_leaves_its_neighbours_alone,
    each_listener_has_its_own_address,
);

async fn proxy(transport: Transport, http2: bool) -> (Proxy, penstock_simulator::Simulator) {
    let upstream = simulator(&[]);
    let listen = format!("listen: [{{ address: \"127.0.0.1:0\", http2: {http2} }}]");
    let text = config(transport, &listen, &all_to(upstream.address()));
    (Proxy::start(&text).await, upstream)
}

async fn a_short_request_is_answered_without_waiting_for_more(transport: Transport) {
    for http2 in [true, false] {
        let (proxy, _upstream) = proxy(transport, http2).await;
        // 18 bytes, fewer than the preface of HTTP/2 has.
        let answer = ask(proxy.address(), "GET / HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"),
            "{answer}"
        );
        assert!(answer.ends_with("ok"), "{answer}");
        let answer = ask(proxy.address(), "PRI / HTTP/1.0\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1."),
            "it only begins like the preface: {answer}"
        );
    }
}

async fn http_1_0_is_answered(transport: Transport) {
    let (proxy, _upstream) = proxy(transport, true).await;
    let body = "x".repeat(100_000);
    let request = format!(
        "POST /echo HTTP/1.0\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(proxy.address(), &request).await;
    assert!(answer.ends_with(&body), "the body came back otherwise");
    assert!(!answer.contains("chunked"), "HTTP/1.0 knows no chunks");
    for asked in ["", "connection: keep-alive\r\n"] {
        let mut raw = Raw::connect(proxy.address()).await;
        raw.send(format!(
            "GET /chunked/100000 HTTP/1.0\r\nhost: a\r\n{asked}\r\n"
        ))
        .await;
        let head = raw.read_until("\r\n\r\n").await.to_ascii_lowercase();
        assert!(
            !head.contains("chunked"),
            "HTTP/1.0 knows no chunks: {head}"
        );
        let (body, _) = raw.read_to_end().await;
        assert!(body == pattern(100_000), "closing ends the body: {head}");
    }
}

async fn connections_are_kept_or_closed_as_asked(transport: Transport) {
    let (proxy, upstream) = proxy(transport, true).await;
    let mut raw = Raw::connect(proxy.address()).await;
    for _ in 0..3 {
        raw.send("GET /plain HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = raw.read_until("\r\n\r\nok").await;
        assert!(
            !head.to_ascii_lowercase().contains("connection: close"),
            "{head}"
        );
    }
    raw.send("GET /plain HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    let last = raw.text_to_end().await.to_ascii_lowercase();
    assert!(last.ends_with("\r\n\r\nok"), "{last}");
    assert!(last.contains("connection: close"), "{last}");

    let mut raw = Raw::connect(proxy.address()).await;
    for _ in 0..3 {
        raw.send("GET /plain HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n")
            .await;
        let head = raw.read_until("\r\n\r\nok").await;
        assert!(
            head.to_ascii_lowercase().contains("connection: keep-alive"),
            "{head}"
        );
    }
    assert!(
        upstream.connections_accepted() <= 2,
        "upstream connections are kept"
    );
}

async fn head_has_no_body(transport: Transport) {
    let (proxy, _upstream) = proxy(transport, true).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for path in ["/plain", "/bytes/5000", "/v1/models"] {
            let head = Request::head(path).body(whole("")).unwrap();
            let answer = client.answer(head).await;
            assert_eq!(answer.body.len(), 0, "{path} over {http:?}");
            let answer = client.answer(get("/plain")).await;
            assert_eq!(answer.text(), "ok", "after HEAD {path} over {http:?}");
        }
    }
}

async fn cleartext_http2_is_refused_where_it_is_off(transport: Transport) {
    let (proxy, upstream) = proxy(transport, false).await;
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let answered = match Client::over(stream, Http::Two).await {
        Ok(mut client) => client.try_answer(get("/plain")).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "HTTP/2 was spoken");
    let mut client = Client::connect(proxy.address(), Http::One).await;
    assert_eq!(client.answer(get("/plain")).await.text(), "ok");
    assert_eq!(upstream.requests(), 1);
}

async fn a_head_that_comes_in_pieces_is_read(transport: Transport) {
    let (proxy, _upstream) = proxy(transport, true).await;
    let mut raw = Raw::connect(proxy.address()).await;
    for byte in b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello" {
        raw.send([*byte]).await;
        tokio::task::yield_now().await;
    }
    let answer = raw.read_until("hello").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

async fn malformed_requests_are_refused(transport: Transport) {
    let (proxy, upstream) = proxy(transport, true).await;
    for request in [
        "GET / HTTP/1.1\r\nhost\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        let answer = ask(proxy.address(), request).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 505"),
            "{request:?}: {answer}"
        );
    }
    let served = upstream.requests();
    assert_eq!(served, 0, "none of them went on");
}

async fn connect_is_refused(transport: Transport) {
    let (proxy, upstream) = proxy(transport, true).await;
    let answer = ask(
        proxy.address(),
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("\r\nallow: GET"), "{answer}");
    assert_eq!(upstream.requests(), 0);
}

async fn a_stream_that_is_reset_leaves_its_neighbours_alone(transport: Transport) {
    let upstream = simulator(&[("tokens", "30"), ("between-tokens", "10ms")]);
    let text = config(transport, "", &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    let whole = client.answer(streamed_chat()).await;
    let leaving = client.send(streamed_chat()).await.unwrap();
    let staying = client.send(streamed_chat()).await.unwrap();
    drop(leaving);
    let stayed = staying.into_body().collect().await.unwrap().to_bytes();
    assert!(
        stayed == whole.body,
        "the stream beside the one that was reset differs"
    );
    eventually("the upstream hears of the reset", || {
        upstream.abandoned() == 1
    })
    .await;
}

async fn each_listener_has_its_own_address(transport: Transport) {
    let upstream = simulator(&[]);
    let listen =
        "listen: [{ address: \"127.0.0.1:0\" }, { address: \"127.0.0.1:0\", http2: true }]";
    let text = config(transport, listen, &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    let addresses = proxy.server().addresses();
    assert_eq!(addresses.len(), 2);
    for (address, http) in addresses.into_iter().zip(BOTH) {
        let mut client = Client::connect(address, http).await;
        assert_eq!(
            client.answer(get("/plain")).await.text(),
            "ok",
            "over {http:?}"
        );
    }
}
