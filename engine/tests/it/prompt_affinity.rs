//! Prompts that open alike go where they were read before.

use std::net::SocketAddr;

use http::Request;
use penstock::transport::Transport;
use penstock_simulator::Simulator;

use crate::harness::client::{BOTH, Body, Client, Http, post};
use crate::harness::{Proxy, config, simulator};

on_both!(
    a_common_system_prompt_keeps_conversations_together,
    each_api_has_a_prompt_and_any_spelling_is_one,
    few_keys_move_when_an_endpoint_goes,
    a_fallback_goes_by_the_prompt_too,
);

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn five() -> [Simulator; 5] {
    NAMES.map(|name| simulator(&[("name", name), ("record", "0")]))
}

fn of(simulators: &[Simulator]) -> Vec<SocketAddr> {
    simulators.iter().map(Simulator::address).collect()
}

/// An upstream with these endpoints, chosen by the first 64 bytes of prompts.
fn site(transport: Transport, endpoints: &[SocketAddr]) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    let rest = format!(
        "upstreams:\n  u: {{ endpoints: [{}], balance: hash, affinity: {{ prompt: {{ bytes: 64 }} }} }}\nroutes:\n  - {{ name: all, split: [{{ upstream: u }}] }}\n",
        endpoints.join(", ")
    );
    config(transport, "", &rest)
}

fn chat(system: &str, user: &str) -> Request<Body> {
    let body = serde_json::json!({
        "model": "simulator-small",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
    });
    post("/v1/chat/completions", body.to_string())
}

/// Longer than the opening.
fn system(of: usize) -> String {
    format!("You answer for company {of:06}, politely and at length, whatever anybody asks.")
}

/// Who answers the conversation of each of these companies.
async fn homes(proxy: &Proxy, companies: usize, user: &str) -> Vec<String> {
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let mut homes = Vec::with_capacity(companies);
    for company in 0..companies {
        let answer = client.answer(chat(&system(company), user)).await;
        assert_eq!(answer.status, 200);
        homes.push(answer.upstream().to_owned());
    }
    homes
}

async fn a_common_system_prompt_keeps_conversations_together(transport: Transport) {
    let five = five();
    let proxy = Proxy::start(&site(transport, &of(&five))).await;
    let homes = homes(&proxy, 200, "Hello").await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for (company, home) in homes.iter().enumerate().take(20) {
            for user in ["Bye", &"x".repeat(100_000)] {
                let answer = client.answer(chat(&system(company), user)).await;
                assert_eq!(answer.upstream(), home, "company {company}");
            }
        }
    }
    for name in NAMES {
        let count = homes.iter().filter(|home| *home == name).count();
        // 40 each, give or take five times the deviation of 5.7.
        assert!((12..=68).contains(&count), "{name} has {count} of 200");
    }
}

async fn each_api_has_a_prompt_and_any_spelling_is_one(transport: Transport) {
    let five = five();
    let proxy = Proxy::start(&site(transport, &of(&five))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    for (path, one, other) in [
        (
            "/v1/chat/completions",
            r#"{"model":"m","messages":[{"role":"system","content":"SYSTEM"},{"role":"user","content":"1"}]}"#,
            r#"{ "messages" : [ { "content" : [{"type":"text","text":"SYSTEM"}], "role" : "system" } ], "stream":false, "model" : "m" }"#,
        ),
        (
            "/v1/completions",
            r#"{"model":"m","prompt":"SYSTEM 1"}"#,
            r#"{ "prompt" : ["SYSTEM 2"], "model" : "m" }"#,
        ),
        (
            "/v1/messages",
            r#"{"model":"m","max_tokens":9,"system":"SYSTEM","messages":[{"role":"user","content":"1"}]}"#,
            r#"{"messages":[{"role":"user","content":"2"}],"system":[{"type":"text","text":"SYSTEM"}],"max_tokens":9,"model":"m"}"#,
        ),
        (
            "/v1/responses",
            r#"{"model":"m","instructions":"SYSTEM","input":"1"}"#,
            r#"{"input":[{"role":"user","content":"2"}],"instructions":"SYSTEM","model":"m"}"#,
        ),
    ] {
        for company in 0..20 {
            let filled = |text: &str| text.replace("SYSTEM", &system(company));
            let mut homes = Vec::new();
            for body in [one, other] {
                // Some of these paths are not the simulator's: it says who it is all the same.
                let answer = client.answer(post(path, filled(body))).await;
                homes.push(answer.upstream().to_owned());
            }
            assert_eq!(homes[0], homes[1], "{path}: company {company}");
        }
    }
}

async fn few_keys_move_when_an_endpoint_goes(transport: Transport) {
    const KEYS: usize = 1_000;
    let five = five();
    let proxy = Proxy::start(&site(transport, &of(&five))).await;
    let before = homes(&proxy, KEYS, "Hello").await;
    proxy
        .reload(&site(transport, &of(&five[1..])))
        .await
        .unwrap();
    let after = homes(&proxy, KEYS, "Hello").await;
    let pairs = || before.iter().zip(&after);
    let moved = pairs().filter(|(was, is)| was != is).count();
    // A fifth, give or take five times the deviation of 13.
    assert!(moved <= 265, "{moved} of {KEYS} moved");
    assert!(
        pairs().all(|(was, is)| was == is || was == "a"),
        "only those that had to"
    );
    // Back in another order, it has its own again and no others.
    let again: Vec<_> = of(&five).into_iter().rev().collect();
    proxy.reload(&site(transport, &again)).await.unwrap();
    assert!(homes(&proxy, KEYS, "Hello").await == before);
}

async fn a_fallback_goes_by_the_prompt_too(transport: Transport) {
    let bad = simulator(&[("faults", "503=1")]);
    let five = five();
    let text = site(transport, &of(&five));
    let fallback = text
        .replace(
            "upstreams:\n",
            &format!(
                "upstreams:\n  bad: {{ endpoints: [\"{}\"], ejection: off }}\n",
                bad.address()
            ),
        )
        .replace(
            "split: [{ upstream: u }]",
            "split: [{ upstream: bad }], fallback: [{ upstream: u }], retry: { statuses: [503] }",
        );
    let direct = Proxy::start(&text).await;
    let proxy = Proxy::start(&fallback).await;
    assert_eq!(
        homes(&proxy, 8, "Hello").await,
        homes(&direct, 8, "Hello").await
    );
    assert!(bad.requests() >= 8);
}
