//! Rules for headers.

use penstock::transport::Transport;
use penstock_simulator::Simulator;

use crate::harness::client::{BOTH, Client, Http, chat, get, with};
use crate::harness::{Proxy, config, simulator};

on_both!(
    requests_and_answers_are_changed,
    a_refusal_is_changed_too,
    the_model_is_told_when_it_is_known,
    nobody_forges_what_is_not_known,
    a_client_cannot_have_a_header_dropped,
);

fn chain(upstream: &Simulator, rules: &str) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{}\"] }}\nchain:\n  - headers: {rules}\nroutes:\n  - {{ name: chat, match: {{ path: {{ prefix: /v1 }} }}, split: [{{ upstream: a }}] }}\n  - {{ name: plain, match: {{ path: {{ exact: /plain }} }}, split: [{{ upstream: a }}] }}\n",
        upstream.address()
    )
}

/// A header of the last request that the upstream got, with its values.
fn sent(upstream: &Simulator, name: &str) -> Vec<String> {
    let recorded = upstream.recorded();
    let values = recorded.last().unwrap().headers.get_all(name).iter();
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

async fn requests_and_answers_are_changed(transport: Transport) {
    let upstream = simulator(&[]);
    let rules = "{ request: [{ set: { x-route: \"to {route}\" } }, { add: { x-list: b } }, { remove: x-debug }], response: [{ remove: x-upstream-name }, { set: { x-answered: \"{route}\" } }] }";
    let proxy = Proxy::start(&config(transport, "", &chain(&upstream, rules))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let request = with(with(chat(), "x-debug", "1"), "x-list", "a");
        let answer = client.answer(with(request, "x-route", "mine")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(sent(&upstream, "x-route"), ["to chat"]);
        assert_eq!(sent(&upstream, "x-list"), ["a", "b"]);
        assert!(sent(&upstream, "x-debug").is_empty());
        assert_eq!(answer.header("x-answered"), "chat");
        assert!(!answer.headers.contains_key("x-upstream-name"));
    }
}

async fn a_refusal_is_changed_too(transport: Transport) {
    let upstream = simulator(&[]);
    let rules = "{ response: [{ set: { x-content-type-options: nosniff } }] }";
    let proxy = Proxy::start(&config(transport, "", &chain(&upstream, rules))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.answer(get("/nowhere")).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

async fn the_model_is_told_when_it_is_known(transport: Transport) {
    let upstream = simulator(&[]);
    let rules = "{ request: [{ set: { x-model: \"{model}\" } }] }";
    let proxy = Proxy::start(&config(transport, "", &chain(&upstream, rules))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        assert_eq!(client.answer(chat()).await.status, 200);
        assert_eq!(sent(&upstream, "x-model"), ["simulator-small"]);
        client
            .answer(with(get("/plain"), "x-model", "forged"))
            .await;
        assert!(sent(&upstream, "x-model").is_empty(), "there is no body");
    }
}

async fn nobody_forges_what_is_not_known(transport: Transport) {
    let upstream = simulator(&[]);
    let rules =
        "{ request: [{ set: { x-tenant: \"{tenant}\", x-who: \"{consumer} ({claim:plan})\" } }] }";
    let proxy = Proxy::start(&config(transport, "", &chain(&upstream, rules))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let request = with(with(chat(), "x-tenant", "other"), "x-who", "admin");
        client.answer(with(request, "x_tenant", "other")).await;
        for name in ["x-tenant", "x-who", "x_tenant"] {
            assert!(sent(&upstream, name).is_empty(), "{name}");
        }
    }
}

async fn a_client_cannot_have_a_header_dropped(transport: Transport) {
    let upstream = simulator(&[]);
    let rules = "{ request: [{ set: { x-route: \"{route}\" } }] }";
    let proxy = Proxy::start(&config(transport, "", &chain(&upstream, rules))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    // A proxy behind this one would take out what `connection` names (RFC 9110 section
    // 7.6.1).
    client
        .answer(with(chat(), "connection", "x-route, keep-alive"))
        .await;
    assert_eq!(sent(&upstream, "x-route"), ["chat"]);
    let connection = sent(&upstream, "connection").join(",");
    assert!(!connection.contains("x-route"), "{connection}");
}
