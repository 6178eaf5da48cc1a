//! One line for each request, with what an operator asks about and nothing secret.

use penstock::transport::Transport;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::client::{BOTH, Client, chat, get, post, streamed_chat, with};
use crate::harness::process::ProxyProcess;
use crate::harness::{all_to, simulator};

on_both!(each_request_has_one_line, nothing_secret_is_logged);

const LOG: &str = "log: { format: json, access: on }";

/// Ends the proxy, and returns its lines on requests.
async fn lines(mut proxy: ProxyProcess) -> Vec<Value> {
    proxy.process.signal(Signal::TERM);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    let lines = proxy.process.lines();
    lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["message"] == "request")
        .collect()
}

async fn each_request_has_one_line(transport: Transport) {
    let upstream = simulator(&[]);
    let rest = all_to(upstream.address())
        .replace("name: all,", "name: all, match: { path: { prefix: /v1 } },");
    let proxy = ProxyProcess::start(transport, LOG, &rest).await;
    let mut wanted = Vec::new();
    for http in BOTH {
        let mut client = Client::connect(proxy.address, http).await;
        client.answer(chat()).await;
        client.answer(with(chat(), "x-simulate", "429")).await;
        client.answer(get("/elsewhere")).await;
        let cut = with(streamed_chat(), "x-simulate", "cut; after=2");
        let cut = with(cut, "x-simulate-pace", "20ms");
        let broken = client.answer(cut).await;
        assert_eq!(broken.break_code(), "upstream_failed");
        wanted.extend([
            ("/v1/chat/completions", 200, "completed"),
            ("/v1/chat/completions", 429, "completed"),
            ("/elsewhere", 404, "refused"),
            ("/v1/chat/completions", 200, "upstream_failed"),
        ]);
    }
    let lines = lines(proxy).await;
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["path"].as_str().unwrap(),
                line["status"].as_i64().unwrap(),
                line["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, wanted);
    let first = &lines[0];
    assert_eq!(first["client"], "127.0.0.1", "{first}");
    assert_eq!(first["method"], "POST");
    assert_eq!(first["route"], "all");
    assert_eq!(first["upstream"], "a");
    assert_eq!(first["attempts"], 1);
    assert!(first["duration_ms"].is_number(), "{first}");
}

async fn nothing_secret_is_logged(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = ProxyProcess::start(transport, LOG, &all_to(upstream.address())).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address, http).await;
        let body = r#"{"model":"m","messages":[{"role":"user","content":"a-secret prompt"}]}"#;
        let request = post("/v1/chat/completions?key=a-secret", body);
        let request = with(request, "authorization", "Bearer a-secret");
        client.answer(request).await;
        let request = with(get("/bytes/x?key=a-secret"), "x-simulate", "refuse");
        let request = with(request, "authorization", "Bearer a-secret");
        client.answer(request).await;
    }
    let lines = lines(proxy).await;
    assert_eq!(lines.len(), 4);
    for line in lines {
        assert!(!line.to_string().contains("a-secret"), "{line}");
    }
}
