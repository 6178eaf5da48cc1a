//! The admin listener's pages.

use std::time::Instant;

use http::Request;
use http_body_util::BodyExt;
use penstock::transport::Transport;
use rustix::process::Signal;

use crate::harness::client::{Answer, Client, Http, chat, get, streamed_chat, whole};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::WAIT;
use crate::harness::{all_to, simulator, sum};

on_both!(
    health_is_told,
    a_draining_process_is_not_ready,
    metrics_are_for_prometheus,
    the_configuration_in_force_is_shown_without_secrets,
    a_reload_can_be_asked_for,
    other_pages_and_methods_are_refused,
);

const ADMIN: &str = "admin: \"127.0.0.1:0\"\ndrain_timeout: 20s";

async fn ask(proxy: &mut ProxyProcess, method: &str, path: &str) -> Answer {
    let address = proxy.admin().await;
    let request = Request::builder().method(method).uri(path).body(whole(""));
    Client::connect(address, Http::One)
        .await
        .answer(request.unwrap())
        .await
}

async fn health_is_told(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = ProxyProcess::start(transport, ADMIN, &all_to(upstream.address())).await;
    for path in [
        "/healthz",
        "/readyz",
        "/",
        "/metrics",
        "/config",
        "/config.json",
        "/generations",
    ] {
        assert_eq!(proxy.page(path).await.status, 200, "{path}");
        assert_eq!(ask(&mut proxy, "HEAD", path).await.status, 200, "{path}");
    }
}

async fn a_draining_process_is_not_ready(transport: Transport) {
    let upstream = simulator(&[("tokens", "10000"), ("between-tokens", "20ms")]);
    let mut proxy = ProxyProcess::start(transport, ADMIN, &all_to(upstream.address())).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    let mut body = client.send(streamed_chat()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    proxy.process.signal(Signal::TERM);
    proxy.process.line("draining").await;
    assert_eq!(proxy.page("/readyz").await.status, 503);
    assert_eq!(proxy.page("/healthz").await.status, 200, "it lives");
}

async fn metrics_are_for_prometheus(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = ProxyProcess::start(transport, ADMIN, &all_to(upstream.address())).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    for _ in 0..3 {
        client.answer(chat()).await;
    }
    let counted = ["route=\"all\"", "code=\"2xx\""];
    let deadline = Instant::now() + WAIT;
    // A request is counted when it has ended, which the client may see a moment before.
    let answer = loop {
        let answer = proxy.page("/metrics").await;
        let requests = sum(answer.text(), "penstock_requests_total", &counted);
        if requests == 3.0 {
            break answer;
        }
        assert!(
            Instant::now() < deadline,
            "{requests} requests: {}",
            answer.text()
        );
    };
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("penstock_"), "whose is {name}?");
        value
            .parse::<f64>()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let rings = text
        .lines()
        .any(|line| line.starts_with("penstock_uring_connections"));
    assert_eq!(
        rings,
        transport == Transport::IoUring,
        "rings' metrics: {text}"
    );
}

async fn the_configuration_in_force_is_shown_without_secrets(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = crate::harness::certificates::Authority::new();
    let issued = authority.issue("a.test");
    issued.write(folder.path());
    let server = format!("{ADMIN}\n{}", crate::reload::tls_listener(folder.path()));
    let mut proxy = ProxyProcess::start(transport, &server, &all_to(upstream.address())).await;
    let answer = proxy.page("/config").await;
    let shown = penstock_config::parse(answer.text()).expect("what is shown can be read");
    let written = std::fs::read_to_string(proxy.file()).unwrap();
    assert_eq!(shown, penstock_config::parse(&written).unwrap());
    assert!(answer.text().starts_with("# generation 1\n"));
    let secret = issued.key.lines().nth(1).unwrap();
    assert!(!answer.text().contains(secret), "the key itself is shown");
}

async fn a_reload_can_be_asked_for(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = ProxyProcess::start(transport, ADMIN, &all_to(upstream.address())).await;
    let answer = ask(&mut proxy, "POST", "/reload").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (200, "generation 2 is in force: no change\n")
    );
    crate::harness::replace(&proxy.file(), "upstreams: 7\n");
    let answer = ask(&mut proxy, "POST", "/reload").await;
    assert_eq!(answer.status, 409);
    assert!(
        answer.text().contains("penstock.yaml:1:"),
        "{}",
        answer.text()
    );
    let shown = proxy.page("/config").await;
    assert!(
        shown.text().contains("# last reload refused"),
        "{}",
        shown.text()
    );
    penstock_config::parse(shown.text()).expect("the refusal is a comment");
}

async fn other_pages_and_methods_are_refused(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = ProxyProcess::start(transport, ADMIN, &all_to(upstream.address())).await;
    assert_eq!(proxy.page("/nothing").await.status, 404);
    for (method, path, allowed) in [
        ("GET", "/reload", "POST"),
        ("GET", "/rollback", "POST"),
        ("POST", "/generations", "GET, HEAD"),
        ("DELETE", "/reload", "POST"),
        ("POST", "/metrics", "GET, HEAD"),
        ("PUT", "/config", "GET, HEAD"),
    ] {
        let answer = ask(&mut proxy, method, path).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
    let mut client = Client::connect(proxy.address, Http::One).await;
    let answer = client.answer(get("/metrics")).await;
    assert_eq!(
        answer.upstream(),
        "simulator",
        "clients see none of these pages"
    );
}
