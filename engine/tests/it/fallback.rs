//! What fails at the target that was chosen goes on to the route's others, as if it had been
//! sent there at first. The ways of failing are in `failures`.

use std::net::SocketAddr;

use penstock::transport::Transport;
use penstock_plugins::authenticate;
use penstock_simulator::Simulator;

use crate::failover::check_good;
use crate::harness::client::{BOTH, Client, Http, chat, post, streamed_chat, with};
use crate::harness::{Proxy, Refusing, config, eventually, simulator};

on_both!(
    the_last_answer_is_passed_on_when_all_have_failed,
    endpoints_come_before_fallbacks_and_each_target_gets_an_attempt,
    a_target_without_an_endpoint_is_passed_over,
    an_address_that_failed_under_one_name_is_tried_under_another,
    a_spent_budget_does_not_keep_requests_from_another_upstream,
    each_upstream_gets_its_own_credentials_and_name,
    a_path_that_names_a_model_stays,
    tokens_are_charged_once_and_the_stream_is_as_the_client_asked,
    an_answer_of_a_fallback_is_not_stored,
);

/// An entry of `upstreams`.
fn upstream(name: &str, addresses: &[SocketAddr], more: &str) -> String {
    let list: Vec<_> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    format!("  {name}: {{ endpoints: [{}], {more} }}\n", list.join(", "))
}

/// These upstreams, with one route from `a` to its fallbacks.
fn routed(upstreams: &[String], route: &str) -> String {
    format!(
        "upstreams:\n{}routes:\n  - {{ name: all, {route} }}\n",
        upstreams.concat()
    )
}

/// The body that an upstream got last.
fn got(upstream: &Simulator) -> String {
    let last = upstream.recorded().pop().unwrap();
    String::from_utf8(last.body.to_vec()).unwrap()
}

async fn the_last_answer_is_passed_on_when_all_have_failed(transport: Transport) {
    let dead = Refusing::new();
    let busy = simulator(&[("name", "busy"), ("faults", "503=1")]);
    let full = simulator(&[("name", "full"), ("faults", "429; retry-after=7=1")]);
    let upstreams = [
        upstream("a", &[dead.address()], ""),
        upstream("b", &[busy.address()], ""),
        upstream("c", &[full.address()], ""),
    ];
    for (order, last, status) in [
        ("b }, { upstream: c", "full", 429),
        ("c }, { upstream: b", "busy", 503),
    ] {
        let route = format!("split: [{{ upstream: a }}], fallback: [{{ upstream: {order} }}]");
        let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, &route))).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(chat()).await;
            assert_eq!(answer.status, status, "{order}");
            assert_eq!(answer.upstream(), last, "{order}");
        }
    }
    assert_eq!((busy.requests(), full.requests()), (4, 4), "once each time");
}

async fn endpoints_come_before_fallbacks_and_each_target_gets_an_attempt(transport: Transport) {
    for (endpoints, attempts, asked) in [
        (2, 2, [1, 1]),
        (2, 3, [2, 1]),
        (3, 3, [2, 1]),
        // Where there is no other endpoint, the last target gets what is left.
        (1, 4, [1, 3]),
        (2, 4, [2, 2]),
    ] {
        let first: Vec<_> = (0..endpoints)
            .map(|_| simulator(&[("faults", "500=1")]))
            .collect();
        let second = simulator(&[("faults", "502=1")]);
        let addresses: Vec<_> = first.iter().map(Simulator::address).collect();
        let upstreams = [
            upstream("a", &addresses, "ejection: off"),
            upstream("b", &[second.address()], "ejection: off"),
        ];
        let route = format!(
            "split: [{{ upstream: a }}], fallback: [{{ upstream: b }}], attempts: {attempts}"
        );
        let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, &route))).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let what = format!("{endpoints} endpoints, {attempts} attempts");
        assert_eq!(client.answer(chat()).await.status, 502, "{what}");
        let requests = first.iter().map(Simulator::requests).sum();
        assert_eq!([requests, second.requests()], asked, "{what}");
    }
}

async fn a_target_without_an_endpoint_is_passed_over(transport: Transport) {
    let bad = [(); 2].map(|()| simulator(&[("faults", "503=1")]));
    let addresses: Vec<_> = bad.iter().map(Simulator::address).collect();
    let good = simulator(&[("name", "good")]);
    let ejection = "ejection: { failures: 1, time: 1h, max_time: 1h, max_percent: 100 }";
    let route = "split: [{ upstream: a }], fallback: [{ upstream: b }]";
    let upstreams = [
        upstream("a", &addresses, ejection),
        upstream("b", &[good.address()], ""),
    ];
    let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, route))).await;
    for http in BOTH {
        for _ in 0..5 {
            let mut client = Client::connect(proxy.address(), http).await;
            check_good(&client.answer(chat()).await, false, "while a is ejected");
        }
    }
    let asked: u64 = bad.iter().map(Simulator::requests).sum();
    assert_eq!(asked, 2, "each was ejected by its failure");

    let good = simulator(&[("name", "good"), ("faults", "503=1")]);
    let upstreams = [
        upstream("a", &addresses, ejection),
        upstream("b", &[good.address(), Refusing::new().address()], ejection),
    ];
    let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, route))).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        answers.push(client.answer(chat()).await);
    }
    let last = answers.pop().unwrap();
    assert_eq!(last.status, 503, "nobody is left");
    assert_eq!(last.error_code(), "no_endpoint");
    assert!(last.text().contains("4 ejected"), "{}", last.text());
}

async fn an_address_that_failed_under_one_name_is_tried_under_another(transport: Transport) {
    let server = simulator(&[("name", "good")]);
    let upstreams = [upstream("a", &[server.address()], "")];
    let route = "split: [{ upstream: a, model: large }], fallback: [{ upstream: a, model: small }, { upstream: a }]";
    let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, route))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let request = post("/v1/chat/completions", r#"{"model":"client's"}"#);
    let answer = client.answer(with(request, "x-simulate", "500")).await;
    assert_eq!(answer.status, 500);
    let models = server.recorded().into_iter().map(|request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        body["model"].as_str().unwrap().to_owned()
    });
    assert_eq!(models.collect::<Vec<_>>(), ["large", "small", "client's"]);
}

async fn a_spent_budget_does_not_keep_requests_from_another_upstream(transport: Transport) {
    let bad = [(); 2].map(|()| simulator(&[("faults", "500=1")]));
    let addresses: Vec<_> = bad.iter().map(Simulator::address).collect();
    let good = simulator(&[("name", "good")]);
    let upstreams = [
        upstream("a", &addresses, "ejection: off, retry_budget: 0"),
        upstream("b", &[good.address()], "retry_budget: 0"),
    ];
    let route = "split: [{ upstream: a }], fallback: [{ upstream: b }], attempts: 3";
    let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, route))).await;
    let clients = (0..20).map(|_| {
        let address = proxy.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address, Http::One).await;
            for _ in 0..10 {
                check_good(&client.answer(chat()).await, false, "with a spent budget");
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let retries = |result: &str| {
        let label = format!("result=\"{result}\"");
        proxy.metric(
            "penstock_upstream_retries_total",
            &["upstream=\"a\"", &label],
        )
    };
    let asked: u64 = bad.iter().map(Simulator::requests).sum();
    assert_eq!(retries("made") + retries("over_budget"), 200.0);
    assert_eq!(asked as f64, 200.0 + retries("made"));
    assert!(retries("over_budget") > 0.0, "the budget holds");
    assert_eq!((retries("fallback"), good.requests()), (200.0, 200));
}

async fn each_upstream_gets_its_own_credentials_and_name(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, format!("secret-of-{name}")).unwrap();
        format!("{{ file: \"{}\" }}", file.display())
    };
    let bad = simulator(&[("name", "bad"), ("faults", "500=1")]);
    let good = simulator(&[("name", "good")]);
    let ours = format!("credentials: [{{ azure: {} }}], host: a.test", file("a"));
    let theirs = format!("credentials: [{{ bearer: {} }}], host: b.test", file("b"));
    for (second, host, authorization) in [
        (theirs.as_str(), "b.test", "Bearer secret-of-b"),
        // Nothing stands in the way of the client's, as if it had been sent there at first.
        ("", "penstock.test", "Bearer client"),
    ] {
        let upstreams = [
            upstream("a", &[bad.address()], &ours),
            upstream("b", &[good.address()], second),
        ];
        let route = "chain: [{ headers: { request: [{ add: { x-once: yes } }] } }], split: [{ upstream: a }], fallback: [{ upstream: b }]";
        let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, route))).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            let request = with(chat(), "authorization", "Bearer client");
            check_good(&client.answer(request).await, false, host);
            let sent = good.recorded().pop().unwrap().headers;
            assert_eq!(sent["host"], host);
            assert_eq!(sent["authorization"], authorization);
            assert!(!sent.contains_key("api-key"), "{sent:?}");
            assert_eq!(sent.get_all("x-once").iter().count(), 1);
            let sent = bad.recorded().pop().unwrap().headers;
            assert_eq!(
                (&sent["api-key"], &sent["host"]),
                (&"secret-of-a".parse().unwrap(), &"a.test".parse().unwrap())
            );
            assert!(!sent.contains_key("authorization"), "{sent:?}");
        }
    }
}

async fn a_path_that_names_a_model_stays(transport: Transport) {
    let bad = simulator(&[("faults", "429=1")]);
    let good = simulator(&[("name", "good")]);
    let upstreams = [
        upstream("a", &[bad.address()], ""),
        upstream("b", &[good.address()], ""),
    ];
    let route = "split: [{ upstream: a }], fallback: [{ upstream: b, model: other }]";
    let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, route))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let path = "/openai/deployments/mine/chat/completions?api-version=1";
    for (sent, wanted) in [
        (r#"{"messages":[]}"#, r#"{"messages":[]}"#),
        (r#"{"model":"x"}"#, r#"{"model":"other"}"#),
    ] {
        let answer = client.answer(post(path, sent)).await;
        assert_eq!(answer.upstream(), "good");
        assert_eq!(good.recorded().pop().unwrap().path_and_query, path);
        assert_eq!(got(&good), wanted);
    }
}

async fn tokens_are_charged_once_and_the_stream_is_as_the_client_asked(transport: Transport) {
    let good = simulator(&[("name", "good"), ("tokens", "12")]);
    let hash = authenticate::hash(b"psk_of_nobody");
    for fault in ["500", "stall; at=first", "reset; after=0", "malformed"] {
        let faults = format!("{fault}=1");
        let bad = simulator(&[("faults", &faults)]);
        let upstreams = [
            upstream("a", &[bad.address()], ""),
            upstream("b", &[good.address()], ""),
        ];
        let route = "split: [{ upstream: a }], fallback: [{ upstream: b, model: a-much-longer-name }], retry: { first_token: 200ms }";
        let chain = format!(
            "chain:\n- authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: c }}] }} }}\n- limits: [{{ name: tokens, tokens: 100000, per: 1h, by: [key] }}]\n"
        );
        let text = format!("{chain}{}", routed(&upstreams, route));
        let proxy = Proxy::start(&config(transport, "", &text)).await;
        let metric = |name| proxy.metric(name, &["limit=\"tokens\""]);
        for http in BOTH {
            let before = metric("penstock_limit_spent");
            let mut client = Client::connect(proxy.address(), http).await;
            let request = with(streamed_chat(), "authorization", "Bearer psk_of_nobody");
            let answer = client.answer(request).await;
            check_good(&answer, true, fault);
            assert!(
                !answer.text().contains("usage"),
                "{fault}: {}",
                answer.text()
            );
            assert_eq!(
                answer.header("x-ratelimit-limit-tokens"),
                "100000",
                "{fault}"
            );
            let asked = got(&good);
            assert!(
                asked.contains(r#""include_usage":true"#),
                "{fault}: {asked}"
            );
            assert!(asked.contains(r#""model":"a-much-longer-name""#), "{asked}");
            eventually("it is settled", || metric("penstock_limit_reserved") == 0.0).await;
            let spent = metric("penstock_limit_spent") - before;
            assert!((13.0..20.0).contains(&spent), "{fault}: {spent}");
        }
    }
}

async fn an_answer_of_a_fallback_is_not_stored(transport: Transport) {
    for fault in ["500=1", "malformed=1"] {
        let bad = simulator(&[("faults", fault)]);
        let good = simulator(&[("name", "good")]);
        let upstreams = [
            upstream("a", &[bad.address()], "ejection: off"),
            upstream("b", &[good.address()], ""),
        ];
        let route = "chain: [{ cache: {} }], split: [{ upstream: a }], fallback: [{ upstream: b }]";
        let proxy = Proxy::start(&config(transport, "", &routed(&upstreams, route))).await;
        for round in 1..=3 {
            let mut client = Client::connect(proxy.address(), Http::One).await;
            let answer = client.answer(streamed_chat()).await;
            check_good(&answer, true, fault);
            assert_eq!(answer.header("x-cache"), "miss", "{fault}");
            assert_eq!((bad.requests(), good.requests()), (round, round), "{fault}");
        }
    }
}
