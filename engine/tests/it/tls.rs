//! TLS on either side.

use std::net::SocketAddr;

use penstock::transport::Transport;

use crate::harness::certificates::Authority;
use crate::harness::client::{Answer, Client, Http, chat, post, streamed_chat};
use crate::harness::{Proxy, all_to, config, simulator};

on_both!(
    clients_choose_their_protocol,
    upstreams_are_verified,
    unverified_upstreams_are_a_choice,
    upstreams_are_spoken_to_in_their_protocol,
);

async fn clients_choose_their_protocol(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("penstock.test").write(folder.path());
    let listener = crate::reload::tls_listener(folder.path());
    let proxy = Proxy::start(&config(transport, &listener, &all_to(upstream.address()))).await;
    let offers: [(&[&str], Http); 4] = [
        (&["h2"], Http::Two),
        (&["h2", "http/1.1"], Http::Two),
        (&["http/1.1"], Http::One),
        (&[], Http::One),
    ];
    let body = "x".repeat(1 << 20);
    for (offered, http) in offers {
        let stream = authority
            .connect(proxy.address(), "penstock.test", offered)
            .await;
        let stream = stream.unwrap();
        let chosen = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        assert_eq!(chosen, http == Http::Two, "{offered:?}");
        let mut client = Client::over(stream, http).await.unwrap();
        for _ in 0..3 {
            let answer = client.answer(post("/echo", body.clone())).await;
            assert!(answer.body == body, "{offered:?}");
            let answer = client.answer(streamed_chat()).await;
            assert!(answer.text().ends_with("data: [DONE]\n\n"), "{offered:?}");
        }
    }
}

/// What a client gets from an upstream with these lines in its configuration.
async fn through(transport: Transport, upstream: SocketAddr, lines: &str) -> Answer {
    let rest = all_to(upstream).replace("] }\nroutes", &format!("], {lines} }}\nroutes"));
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    Client::connect(proxy.address(), Http::One)
        .await
        .answer(chat())
        .await
}

async fn upstreams_are_verified(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let other_folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let address = authority
        .issue("model.test")
        .in_front_of(upstream.address(), &[])
        .await;
    let ca = authority.write(folder.path());
    let ca = ca.display();
    let other = Authority::new().write(other_folder.path());
    let other = other.display();
    for (tls, status) in [
        (format!("ca: \"{ca}\", server_name: model.test"), 200),
        (format!("ca: \"{ca}\", server_name: other.test"), 502),
        (
            format!("ca: \"{ca}\", server_name: other.test, verify: chain"),
            200,
        ),
        (format!("ca: \"{other}\", server_name: model.test"), 502),
        (
            format!("ca: \"{other}\", server_name: model.test, verify: chain"),
            502,
        ),
        ("server_name: model.test".to_owned(), 502),
    ] {
        let answer = through(transport, address, &format!("tls: {{ {tls} }}")).await;
        assert_eq!(answer.status, status, "{tls}: {answer:?}");
        if status == 502 {
            assert_eq!(answer.error_code(), "upstream_failed", "{tls}");
        }
    }
}

async fn unverified_upstreams_are_a_choice(transport: Transport) {
    let upstream = simulator(&[]);
    let issued = Authority::new().issue("model.test");
    let address = issued.in_front_of(upstream.address(), &[]).await;
    let answer = through(transport, address, "tls: { verify: none }").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn upstreams_are_spoken_to_in_their_protocol(transport: Transport) {
    let issued = Authority::new().issue("model.test");
    for (protocol, offered, version) in [
        (
            "http2",
            ["h2", "http/1.1"].as_slice(),
            http::Version::HTTP_2,
        ),
        ("auto", &["h2", "http/1.1"], http::Version::HTTP_2),
        ("auto", &["http/1.1"], http::Version::HTTP_11),
        ("http1", &["h2", "http/1.1"], http::Version::HTTP_11),
    ] {
        let upstream = simulator(&[]);
        let address = issued.in_front_of(upstream.address(), offered).await;
        let lines = format!("protocol: {protocol}, tls: {{ verify: none }}");
        let answer = through(transport, address, &lines).await;
        assert_eq!(answer.status, 200, "{protocol}: {answer:?}");
        assert_eq!(
            upstream.recorded()[0].version,
            version,
            "{protocol}, {offered:?}"
        );
    }
}
