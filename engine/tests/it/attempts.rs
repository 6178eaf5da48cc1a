//! What came of each attempt is told: to the log always, to clients where the chain says so.

use penstock::transport::Transport;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::client::{Answer, BOTH, Client, Http, chat, get, streamed_chat, with};
use crate::harness::process::ProxyProcess;
use crate::harness::{Proxy, Refusing, config, simulator};

on_both!(
    clients_are_told_nothing_unless_the_chain_says_so,
    clients_are_told_of_each_attempt,
    errors_tell_of_attempts_too,
    a_route_says_more_than_the_others,
    an_only_attempt_is_logged_if_it_failed,
);

const COUNT: &str = "x-penstock-attempt-count";
const LIST: &str = "x-penstock-attempts";

/// An upstream `a` with these endpoints, and a route `chat` to it.
fn site(chain: &str, endpoints: &[String], route: &str) -> String {
    let endpoints = endpoints.join(", ");
    format!(
        "upstreams:\n  a: {{ endpoints: [{endpoints}] }}\nchain: {chain}\nroutes:\n  - {{ name: chat, match: {{ path: {{ prefix: /v1 }} }}, {route} split: [{{ upstream: a }}] }}\n"
    )
}

fn quoted(address: impl std::fmt::Display) -> String {
    format!("\"{address}\"")
}

/// The words of each attempt that a client was told of.
fn told(answer: &Answer) -> Vec<Vec<&str>> {
    let list = answer.header(LIST).split(", ");
    list.map(|attempt| attempt.split(' ').collect()).collect()
}

fn is_time(word: &str) -> bool {
    word.strip_suffix("ms")
        .is_some_and(|number| number.parse::<f64>().is_ok())
}

async fn clients_are_told_nothing_unless_the_chain_says_so(transport: Transport) {
    let bad = simulator(&[("faults", "503=1")]);
    let good = simulator(&[]);
    let endpoints = [quoted(bad.address()), quoted(good.address())];
    let proxy = Proxy::start(&config(transport, "", &site("[]", &endpoints, ""))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for request in [chat(), streamed_chat(), get("/none")] {
            let answer = client.answer(request).await;
            let names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
            assert!(
                !names.contains(&COUNT) && !names.contains(&LIST),
                "{names:?}"
            );
        }
    }
}

async fn clients_are_told_of_each_attempt(transport: Transport) {
    for names in [false, true] {
        let bad = simulator(&[("faults", "503=1")]);
        let good = simulator(&[]);
        let endpoints = [quoted(bad.address()), quoted(good.address())];
        let chain = format!("[{{ attempt_headers: {{ endpoints: {names} }} }}]");
        let proxy = Proxy::start(&config(transport, "", &site(&chain, &endpoints, ""))).await;
        for (http, request) in [(Http::One, chat()), (Http::Two, streamed_chat())] {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(request).await;
            assert_eq!(answer.status, 200);
            let list = told(&answer);
            assert_eq!(answer.header(COUNT), list.len().to_string());
            let times = list.iter().map(|words| *words.last().unwrap());
            assert!(times.clone().all(is_time), "{list:?}");
            let last = list.last().unwrap();
            let address = good.address().to_string();
            match names {
                false => assert_eq!(last[0], "status_200", "{list:?}"),
                true => assert_eq!(last[..3], ["a", &address, "status_200"], "{list:?}"),
            }
            assert_eq!(last.len(), if names { 4 } else { 2 });
            for failed in &list[..list.len() - 1] {
                assert_eq!(failed[failed.len() - 2], "status_503", "{list:?}");
            }
        }
        assert!(bad.requests() > 0, "one of the two goes there first");
    }
}

async fn errors_tell_of_attempts_too(transport: Transport) {
    let refusing = [Refusing::new(), Refusing::new()];
    let endpoints: Vec<_> = refusing.iter().map(|one| quoted(one.address())).collect();
    let text = site("[{ attempt_headers: {} }]", &endpoints, "");
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(get("/none")).await;
        assert_eq!((answer.status.as_u16(), answer.header(COUNT)), (404, "0"));
        assert!(!answer.headers.contains_key(LIST));
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(chat()).await;
        assert_eq!((answer.status.as_u16(), answer.header(COUNT)), (502, "2"));
        let list = told(&answer);
        assert_eq!(list.len(), 2, "{list:?}");
        assert!(
            list.iter().all(|words| words[0] == "ConnectRefused"),
            "{list:?}"
        );
    }
}

async fn a_route_says_more_than_the_others(transport: Transport) {
    let upstream = simulator(&[]);
    let endpoints = [quoted(upstream.address())];
    let route = "chain: [{ attempt_headers: { endpoints: true } }],";
    let mut text = site("[{ attempt_headers: {} }]", &endpoints, route);
    text.push_str("  - { name: rest, split: [{ upstream: a }] }\n");
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.answer(chat()).await;
    let words = &told(&answer)[0];
    assert_eq!(words[..2], ["a", &upstream.address().to_string()]);
    let answer = client.answer(get("/plain")).await;
    assert_eq!(told(&answer)[0].len(), 2, "{}", answer.header(LIST));
}

async fn an_only_attempt_is_logged_if_it_failed(transport: Transport) {
    let upstream = simulator(&[]);
    let text = site("[]", &[quoted(upstream.address())], "attempts: 1,");
    let log = "log: { format: json, access: on }";
    let mut proxy = ProxyProcess::start(transport, log, &text).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    assert_eq!(client.answer(chat()).await.status, 200);
    let refused = with(chat(), "x-simulate", "refuse");
    assert_eq!(client.answer(refused).await.status, 502);
    proxy.process.signal(Signal::TERM);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    let lines = proxy.process.lines();
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> = lines.filter(|line| line["message"] == "request").collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["tried"].is_null(), "{}", lines[0]);
    let tried = lines[1]["tried"].as_str().unwrap();
    let words: Vec<_> = tried.split(' ').collect();
    assert_eq!(
        words[..2],
        ["a", &upstream.address().to_string()],
        "{tried}"
    );
    assert!(words.len() == 4 && is_time(words[3]), "{tried}");
}
