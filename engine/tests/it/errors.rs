//! Errors of the proxy's own come in the shape that the caller's SDK reads.

use http::Request;
use penstock::transport::Transport;
use penstock_simulator::Simulator;
use serde_json::Value;

use crate::harness::client::{Answer, BOTH, Body, Client, Http, get, post, with};
use crate::harness::{Proxy, Refusing, config, simulator};

on_both!(
    anthropic_s_messages_get_anthropic_s_shape,
    azure_s_paths_get_openai_s_shape,
    an_error_names_the_request,
    every_refusal_names_the_request,
);

/// A proxy with an upstream and one that refuses connections.
struct Fleet {
    proxy: Proxy,
    up: Simulator,
    _down: Refusing,
}

impl Fleet {
    async fn start(transport: Transport, plugins: &str) -> Fleet {
        let (up, down) = (simulator(&[]), Refusing::new());
        let text = format!(
            "chain: [{plugins}]\nupstreams:\n  up: {{ endpoints: [\"{}\"] }}\n  down: {{ endpoints: [\"{}\"] }}\nroutes:
  - {{ name: model, match: {{ path: {{ prefix: /v1 }}, models: [m] }}, split: [{{ upstream: up }}] }}
  - {{ name: down, match: {{ headers: {{ x-to: down }} }}, split: [{{ upstream: down }}] }}\n",
            up.address(),
            down.address()
        );
        let limits = "limits: { request_body: 1KiB }";
        Fleet {
            proxy: Proxy::start(&config(transport, limits, &text)).await,
            up,
            _down: down,
        }
    }

    /// Each over a connection of its own: after some errors the proxy closes it.
    async fn answer(&self, http: Http, request: Request<Body>) -> Answer {
        let mut client = Client::connect(self.proxy.address(), http).await;
        client.answer(request).await
    }
}

/// The error's class, after a look at all else in Anthropic's shape.
fn anthropic(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), "application/json");
    let value: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(value["type"], "error", "{value}");
    let message = value["error"]["message"].as_str().unwrap();
    assert!(!message.is_empty(), "{value}");
    let class = value["error"]["type"].as_str().unwrap();
    (answer.status.as_u16(), class.to_owned())
}

async fn anthropic_s_messages_get_anthropic_s_shape(transport: Transport) {
    let fleet = Fleet::start(transport, "").await;
    for http in BOTH {
        for path in ["/v1/messages", "/v1/messages/count_tokens?beta=true"] {
            for (request, status, class) in [
                (post(path, r#"{"model":"other"}"#), 404, "not_found_error"),
                (post(path, r#"{"model":5}"#), 400, "invalid_request_error"),
                (post(path, "x".repeat(1025)), 413, "request_too_large"),
                (with(post(path, "{}"), "x-to", "down"), 502, "api_error"),
            ] {
                let answer = fleet.answer(http, request).await;
                assert_eq!(anthropic(&answer), (status, class.to_owned()));
            }
        }
    }
    assert_eq!(fleet.up.requests(), 0);
}

async fn azure_s_paths_get_openai_s_shape(transport: Transport) {
    let fleet = Fleet::start(transport, "").await;
    let azure = "/openai/deployments/gpt/chat/completions?api-version=2024-10-21";
    for http in BOTH {
        let answer = fleet.answer(http, post(azure, "{}")).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.error_code(), "no_route");
        let answer = fleet.answer(http, with(get(azure), "x-to", "down")).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.error_code(), "upstream_failed");
        let elsewhere = with(get("/elsewhere"), "x-to", "down");
        let answer = fleet.answer(http, elsewhere).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
}

async fn an_error_names_the_request(transport: Transport) {
    let fleet = Fleet::start(transport, "request_id: {}").await;
    for http in BOTH {
        let request = with(post("/v1/messages", "{}"), "x-request-id", "mine-1");
        let answer = fleet.answer(http, request).await;
        assert_eq!(answer.header("x-request-id"), "mine-1");
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(value["request_id"], "mine-1");
    }
}

async fn every_refusal_names_the_request(transport: Transport) {
    let hash = penstock_plugins::authenticate::hash(b"key");
    let keys =
        format!("authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: a }}] }} }}");
    let long = "x".repeat(2000);
    for plugins in [
        format!("{keys}, request_id: {{}}"),
        format!("request_id: {{}}, {keys}"),
    ] {
        let fleet = Fleet::start(transport, &plugins).await;
        for http in BOTH {
            for (path, body, key, status) in [
                ("/v1/messages", "{}", "", 401),
                ("/v1/messages", "{}", "Bearer other", 401),
                ("/v1/messages", long.as_str(), "Bearer key", 413),
                ("/elsewhere", "{}", "Bearer key", 404),
            ] {
                let mut request = with(post(path, body.to_owned()), "x-request-id", "mine-1");
                if !key.is_empty() {
                    request = with(request, "authorization", key);
                }
                let answer = fleet.answer(http, request).await;
                assert_eq!(answer.status, status, "{plugins} {path}");
                assert_eq!(answer.header("x-request-id"), "mine-1", "{plugins} {path}");
            }
        }
    }
}
