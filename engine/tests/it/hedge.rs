//! A request whose endpoint is slow is sent to a second one: the first to produce output is
//! the answer, the other one is left at once, and nobody pays for both.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use penstock::transport::Transport;
use penstock_simulator::Simulator;

use crate::failover::check_good;
use crate::harness::certificates::Authority;
use crate::harness::client::{
    BOTH, Client, Http, chat, get, pieces, post, streamed_chat, whole, with,
};
use crate::harness::process::ProxyProcess;
use crate::harness::{Proxy, all_to, config, eventually, pattern, simulator};

mod failures;

on_both!(
    a_slow_endpoint_is_outrun,
    over_tls_as_well,
    an_endpoint_that_does_not_read_is_outrun,
    an_endpoint_that_does_not_accept_is_outrun,
    requests_without_a_body_are_sent_twice_too,
    the_second_attempt_is_made_like_the_first,
    without_another_endpoint_it_goes_to_the_fallback,
    a_fast_endpoint_is_asked_alone,
    the_first_one_may_still_be_sooner,
    the_budget_is_kept,
    only_the_answer_is_charged,
    a_client_that_leaves_frees_both,
    an_answer_that_is_read_on_is_that_of_the_first,
    what_does_harm_twice_is_sent_once,
    a_percentile_is_learned,
    what_became_of_it_is_told,
);

/// Two endpoints that take turns, the first one first.
fn two(first: SocketAddr, second: SocketAddr, upstream: &str, route: &str) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{first}\", \"{second}\"]{upstream} }}\nroutes:\n  - {{ name: all, {route}, split: [{{ upstream: a }}] }}\n"
    )
}

const SOON: &str = "hedge: { after: 100ms }";

fn hedges(proxy: &Proxy, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    proxy.metric("penstock_hedges_total", &[&label, "route=\"all\""])
}

fn failed(proxy: &Proxy) -> f64 {
    let attempts = |result: &str| {
        let label = format!("result=\"{result}\"");
        proxy.metric("penstock_upstream_attempts_total", &[&label])
    };
    let results = ["connect_failed", "failed", "bad_answer", "late"];
    results.map(attempts).iter().sum()
}

async fn left(upstream: &Simulator, what: &str) {
    eventually(&format!("{what}: it is left"), || upstream.abandoned() == 1).await;
}

async fn a_slow_endpoint_is_outrun(transport: Transport) {
    for protocol in ["http1", "http2"] {
        for stall in ["stall; at=head=1", "stall; at=first=1"] {
            for http in BOTH {
                outrun(transport, protocol, stall, http, true).await;
                if stall.contains("head") {
                    outrun(transport, protocol, stall, http, false).await;
                }
            }
        }
    }
}

async fn outrun(transport: Transport, protocol: &str, stall: &str, http: Http, streamed: bool) {
    let what = format!("{stall}, streamed: {streamed}, {http:?} to {protocol}");
    let slow = simulator(&[("name", "bad"), ("faults", stall)]);
    let good = simulator(&[("name", "good"), ("created", "1"), ("tokens", "40")]);
    let request = || if streamed { streamed_chat() } else { chat() };
    let mut direct = Client::connect(good.address(), Http::One).await;
    let wanted = direct.answer(request()).await;
    let upstream = format!(", protocol: {protocol}");
    let rest = two(slow.address(), good.address(), &upstream, SOON);
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), http).await;
    let answer = client.answer(request()).await;
    check_good(&answer, streamed, &what);
    assert_eq!(answer.body, wanted.body, "{what}: to the byte");
    left(&slow, &what).await;
    assert_eq!((slow.requests(), good.requests()), (1, 2), "{what}");
    let results = ["started", "won", "lost", "failed"].map(|result| hedges(&proxy, result));
    assert_eq!(results, [1.0, 1.0, 0.0, 0.0], "{what}");
    assert_eq!(failed(&proxy), 0.0, "{what}: nobody has failed");
    proxy.forgets_bodies().await;
    // The client's connection goes on, and so does the upstream's.
    let answer = client.answer(request()).await;
    check_good(&answer, streamed, &what);
    assert_eq!(good.requests(), 3, "{what}");
}

async fn over_tls_as_well(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let ca = authority.write(folder.path());
    for (offered, protocol) in [(&["h2"][..], "auto"), (&[], "http1")] {
        let slow = simulator(&[("name", "bad"), ("faults", "stall=1")]);
        let good = simulator(&[("name", "good")]);
        let mut fronts = Vec::new();
        for upstream in [&slow, &good] {
            let issued = authority.issue("model.test");
            fronts.push(issued.in_front_of(upstream.address(), offered).await);
        }
        let upstream = format!(
            ", protocol: {protocol}, tls: {{ ca: \"{}\", server_name: model.test }}",
            ca.display()
        );
        let rest = two(fronts[0], fronts[1], &upstream, SOON);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            for _ in 0..2 {
                let answer = client.answer(streamed_chat()).await;
                check_good(&answer, true, protocol);
            }
        }
        let asked = slow.requests();
        assert!(asked > 0, "{protocol}: it has its turn");
        assert_eq!(hedges(&proxy, "won"), asked as f64, "{protocol}");
        assert_eq!(good.requests(), 4, "{protocol}");
        eventually("each is left", || slow.abandoned() == asked).await;
    }
}

async fn an_endpoint_that_does_not_read_is_outrun(transport: Transport) {
    // More than the kernel takes, and in many pieces; over HTTP/2 what fits its window.
    for (protocol, size) in [("http1", 16 << 20), ("http2", 60_000)] {
        let sent = Bytes::from(pattern(size));
        let slow = simulator(&[("name", "bad"), ("faults", "stall; at=body=1")]);
        let good = simulator(&[("name", "good")]);
        let upstream = format!(", protocol: {protocol}");
        let rest = two(slow.address(), good.address(), &upstream, SOON);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let request = Request::put("/echo").body(pieces(&sent, &[16 * 1024]));
        let answer = client.answer(request.unwrap()).await;
        assert_eq!(answer.upstream(), "good", "{protocol}");
        assert!(answer.body == sent, "{protocol}: it came back otherwise");
        proxy.forgets_bodies().await;
    }
}

/// A listener whose queue of connections is full, so that no other one comes about.
fn full() -> (socket2::Socket, Vec<std::net::TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let wait = Duration::from_millis(200);
    let connect = |_| std::net::TcpStream::connect_timeout(&address, wait).ok();
    (socket, (0..16).map_while(connect).collect())
}

async fn an_endpoint_that_does_not_accept_is_outrun(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let (socket, _queue) = full();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let good = simulator(&[("name", "good")]);
        // It would be waited for longer than the test may take.
        let upstream = format!(", protocol: {protocol}, timeouts: {{ connect: 1h }}");
        let rest = two(address, good.address(), &upstream, SOON);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            for _ in 0..2 {
                let mut client = Client::connect(proxy.address(), http).await;
                check_good(&client.answer(streamed_chat()).await, true, protocol);
            }
        }
        assert!(hedges(&proxy, "won") > 0.0, "{protocol}: it has its turn");
        assert_eq!(failed(&proxy), 0.0, "{protocol}");
    }
}

async fn requests_without_a_body_are_sent_twice_too(transport: Transport) {
    for protocol in ["http1", "http2"] {
        let slow = simulator(&[("name", "bad"), ("faults", "stall=1")]);
        let good = simulator(&[("name", "good")]);
        let upstream = format!(", protocol: {protocol}");
        let rest = two(slow.address(), good.address(), &upstream, SOON);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            let requests = [get("/bytes/5000"), get("/chunked/5000"), get("/v1/models")];
            let head = Request::head("/bytes/5000").body(whole("")).unwrap();
            for request in requests.into_iter().chain([head]) {
                let what = format!("{} {} to {protocol}", request.method(), request.uri());
                let is_head = request.method() == "HEAD";
                let is_bytes = request.uri().path().ends_with("/5000");
                let answer = client.answer(request).await;
                assert_eq!((answer.status.as_u16(), answer.upstream()), (200, "good"));
                if is_bytes {
                    let length = if is_head { 0 } else { 5000 };
                    assert_eq!(answer.body.len(), length, "{what}");
                }
                let answer = client.answer(get("/plain")).await;
                assert_eq!(answer.text(), "ok", "after {what}");
            }
        }
        let asked = slow.requests();
        assert!(asked > 0, "{protocol}: it has its turn");
        assert_eq!(hedges(&proxy, "won"), asked as f64, "{protocol}");
        assert_eq!(good.requests(), 16, "{protocol}");
    }
}

async fn the_second_attempt_is_made_like_the_first(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "sk-hedge-0123456789").unwrap();
    for protocol in ["http1", "http2"] {
        let slow = simulator(&[("faults", "stall=1"), ("record", "1")]);
        let good = simulator(&[("name", "good"), ("record", "1")]);
        let upstream = format!(
            ", protocol: {protocol}, host: models.test, credentials: [{{ bearer: {{ file: \"{}\" }} }}]",
            secret.display()
        );
        let chain =
            "chain: [{ headers: { request: [{ set: { x-set: \"1\" } }, { remove: x-gone }] } }]\n";
        let rest = two(slow.address(), good.address(), &upstream, SOON);
        let rest = rest.replace("[{ upstream: a }]", "[{ upstream: a, model: new }]");
        let text = config(transport, "", &format!("{chain}{rest}"));
        let proxy = Proxy::start(&text).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let request = with(streamed_chat(), "authorization", "Bearer mine");
        let request = with(with(request, "x-gone", "1"), "x-kept", "1");
        let request = with(request, "connection", "x-hop");
        let request = with(request, "x-hop", "1");
        check_good(&client.answer(request).await, true, protocol);
        let (one, other) = (slow.recorded(), good.recorded());
        let (one, other) = (&one[0], &other[0]);
        assert_eq!(other.headers["authorization"], "Bearer sk-hedge-0123456789");
        assert_eq!(other.headers["x-set"], "1");
        assert_eq!(one.body, other.body, "{protocol}");
        assert!(other.body.starts_with(br#"{"model":"new""#), "{other:?}");
        assert_eq!(one.method, other.method);
        assert_eq!(one.version, other.version);
        assert_eq!(one.path_and_query, other.path_and_query);
        let sorted = |headers: &http::HeaderMap| {
            let mut all: Vec<_> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value:?}"))
                .collect();
            all.sort_unstable();
            all
        };
        assert_eq!(sorted(&one.headers), sorted(&other.headers), "{protocol}");
    }
}

async fn without_another_endpoint_it_goes_to_the_fallback(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "sk-hedge-0123456789").unwrap();
    for protocol in ["http1", "http2"] {
        for stall in ["stall=1", "stall; at=first=1"] {
            let slow = simulator(&[("name", "bad"), ("faults", stall)]);
            let good = simulator(&[("name", "good"), ("record", "1")]);
            let rest = format!(
                "upstreams:
  a: {{ endpoints: [\"{}\"] }}
  b: {{ endpoints: [\"{}\"], protocol: {protocol}, credentials: [{{ bearer: {{ file: \"{}\" }} }}] }}
routes:
  - {{ name: all, {SOON}, split: [{{ upstream: a, model: a-long-name }}], fallback: [{{ upstream: b, model: other }}] }}
",
                slow.address(),
                good.address(),
                secret.display()
            );
            let proxy = Proxy::start(&config(transport, "", &rest)).await;
            for http in BOTH {
                let mut client = Client::connect(proxy.address(), http).await;
                let request = with(streamed_chat(), "authorization", "Bearer mine");
                check_good(&client.answer(request).await, true, protocol);
                let sent = good.recorded().pop().unwrap();
                assert_eq!(sent.headers["authorization"], "Bearer sk-hedge-0123456789");
                let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
                assert_eq!(body["model"], "other", "{protocol}");
            }
            assert_eq!((slow.requests(), good.requests()), (2, 2), "{protocol}");
            assert_eq!(hedges(&proxy, "won"), 2.0, "{protocol}");
            eventually("both are left", || slow.abandoned() == 2).await;
            proxy.forgets_bodies().await;
        }
    }
}

async fn a_fast_endpoint_is_asked_alone(transport: Transport) {
    let (one, other) = (simulator(&[]), simulator(&[]));
    let rest = two(one.address(), other.address(), "", "hedge: { after: 20s }");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for _ in 0..10 {
            assert_eq!(client.answer(chat()).await.status, 200);
            assert_eq!(client.answer(streamed_chat()).await.status, 200);
        }
    }
    assert_eq!(one.requests() + other.requests(), 40);
    assert_eq!(proxy.metric("penstock_hedges_total", &[]), 0.0);
}

async fn the_first_one_may_still_be_sooner(transport: Transport) {
    for protocol in ["http1", "http2"] {
        for stall in ["stall; at=head=1", "stall; at=first=1"] {
            let good = simulator(&[("name", "good"), ("first-token", "2s")]);
            let slow = simulator(&[("name", "bad"), ("faults", stall)]);
            let upstream = format!(", protocol: {protocol}");
            let rest = two(good.address(), slow.address(), &upstream, SOON);
            let proxy = Proxy::start(&config(transport, "", &rest)).await;
            let what = format!("{stall} by {protocol}");
            let mut client = Client::connect(proxy.address(), Http::Two).await;
            check_good(&client.answer(streamed_chat()).await, true, &what);
            left(&slow, &what).await;
            assert_eq!((good.requests(), slow.requests()), (1, 1), "{what}");
            let results = ["started", "won", "lost"].map(|result| hedges(&proxy, result));
            assert_eq!(results, [1.0, 0.0, 1.0], "{what}");
            assert_eq!(failed(&proxy), 0.0, "{what}");
        }
    }
}

async fn the_budget_is_kept(transport: Transport) {
    let one = simulator(&[("faults", "stall=1")]);
    let other = simulator(&[("faults", "stall=1")]);
    let rest = two(
        one.address(),
        other.address(),
        "",
        "hedge: { after: 50ms, max_percent: 10 }, deadline: 3s",
    );
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let clients = (0..40).map(|_| {
        let address = proxy.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address, Http::One).await;
            assert_eq!(client.answer(chat()).await.status, 504);
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let (started, refused) = (hedges(&proxy, "started"), hedges(&proxy, "over_budget"));
    assert_eq!(started + refused, 40.0, "each was slow");
    // Ten that were saved up, and a tenth of 40.
    assert!((10.0..=14.0).contains(&started), "{started} were sent");
    assert_eq!((one.requests() + other.requests()) as f64, 40.0 + started);
}

async fn only_the_answer_is_charged(transport: Transport) {
    let hash = penstock_plugins::authenticate::hash(b"psk_of_nobody");
    let chain = format!(
        "chain:\n- authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: c }}] }} }}\n- limits: [{{ name: t, tokens: 100000, per: 1h, by: [key] }}]\n"
    );
    for (stall, streamed) in [("stall; at=first=1", true), ("stall=1", false)] {
        let slow = simulator(&[("name", "bad"), ("faults", stall), ("tokens", "3000")]);
        let good = simulator(&[("name", "good"), ("tokens", "12")]);
        let request = || {
            let request = if streamed { streamed_chat() } else { chat() };
            with(request, "authorization", "Bearer psk_of_nobody")
        };
        let mut spent = Vec::new();
        let alone = all_to(good.address());
        for rest in [alone, two(slow.address(), good.address(), "", SOON)] {
            let proxy = Proxy::start(&config(transport, "", &format!("{chain}{rest}"))).await;
            let metric = |name| proxy.metric(name, &["limit=\"t\""]);
            let mut client = Client::connect(proxy.address(), Http::One).await;
            check_good(&client.answer(request()).await, streamed, "with a limit");
            eventually("it is settled", || metric("penstock_limit_reserved") == 0.0).await;
            spent.push(metric("penstock_limit_spent"));
        }
        assert!(spent[0] > 0.0 && spent[0] == spent[1], "{spent:?}");
    }
}

async fn a_client_that_leaves_frees_both(transport: Transport) {
    for protocol in ["http1", "http2"] {
        for http in BOTH {
            for stall in ["stall; at=head=1", "stall; at=first=1"] {
                let one = simulator(&[("faults", stall)]);
                let other = simulator(&[("faults", stall)]);
                let upstream = format!(", protocol: {protocol}");
                let rest = two(one.address(), other.address(), &upstream, SOON);
                let proxy = Proxy::start(&config(transport, "", &rest)).await;
                let client = Client::connect(proxy.address(), http).await;
                leave_both(client, &one, &other).await;
                let what = format!("{stall}, {http:?} to {protocol}");
                left(&one, &what).await;
                left(&other, &what).await;
                eventually(&format!("{what}: counted as what it was"), || {
                    hedges(&proxy, "cancelled") == 1.0
                        && proxy.metric("penstock_outcomes_total", &["outcome=\"client_gone\""])
                            == 1.0
                })
                .await;
                proxy.forgets_bodies().await;
            }
        }
    }
}

/// A client that asks, and leaves when both endpoints have its request.
async fn leave_both(mut client: Client, one: &Simulator, other: &Simulator) {
    let waiting = tokio::spawn(async move { client.answer(streamed_chat()).await });
    eventually("both have it", || {
        (one.requests(), other.requests()) == (1, 1)
    })
    .await;
    waiting.abort();
    let _ = waiting.await;
}

async fn an_answer_that_is_read_on_is_that_of_the_first(transport: Transport) {
    let one = simulator(&[("first-token", "3s")]);
    let other = simulator(&[("faults", "stall=1")]);
    let route = format!("{SOON}, on_disconnect: drain");
    let rest = two(one.address(), other.address(), "", &route);
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let client = Client::connect(proxy.address(), Http::One).await;
    leave_both(client, &one, &other).await;
    left(&other, "the second one").await;
    eventually("the first one is read to its end", || {
        proxy.metric("penstock_drains_total", &["result=\"whole\""]) == 1.0
    })
    .await;
    assert_eq!(one.abandoned(), 0);
    assert_eq!(hedges(&proxy, "cancelled"), 1.0);
}

async fn what_does_harm_twice_is_sent_once(transport: Transport) {
    let slow = simulator(&[("name", "bad"), ("faults", "stall; at=head; for=500ms=1")]);
    let good = simulator(&[("name", "good")]);
    let rest = two(slow.address(), good.address(), "", SOON);
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.answer(post("/echo", "{}")).await;
    assert_eq!((answer.status.as_u16(), answer.upstream()), (200, "bad"));
    assert_eq!((slow.requests(), good.requests()), (1, 0));
    assert_eq!(proxy.metric("penstock_hedges_total", &[]), 0.0);
}

async fn a_percentile_is_learned(transport: Transport) {
    let slow = simulator(&[("name", "bad"), ("faults", "stall=1")]);
    let good = simulator(&[("name", "good")]);
    let other = simulator(&[]);
    let route = "hedge: { after: p90, max_percent: 100 }, deadline: 5s";
    let text = |first: SocketAddr| config(transport, "", &two(first, good.address(), "", route));
    let proxy = Proxy::start(&text(slow.address())).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    assert_eq!(client.answer(streamed_chat()).await.status, 504);
    assert_eq!(
        proxy.metric("penstock_hedges_total", &[]),
        0.0,
        "nothing is known"
    );
    proxy.reload(&text(other.address())).await.unwrap();
    let mut client = Client::connect(proxy.address(), Http::One).await;
    for _ in 0..110 {
        assert_eq!(client.answer(streamed_chat()).await.status, 200);
    }
    let before = hedges(&proxy, "won");
    proxy.reload(&text(slow.address())).await.unwrap();
    let asked = slow.requests();
    for _ in 0..4 {
        check_good(&client.answer(streamed_chat()).await, true, "learned");
    }
    assert!(slow.requests() > asked, "it has its turn");
    assert!(hedges(&proxy, "won") > before);
}

async fn what_became_of_it_is_told(transport: Transport) {
    let good = simulator(&[("name", "good"), ("first-token", "2s")]);
    for (fault, note, attempts) in [
        ("stall", "hedge=won", "Outrun"),
        ("", "hedge=lost", ""),
        ("500", "hedge=failed", "status_500"),
    ] {
        let faults = match fault {
            "" => "stall=1".to_owned(),
            fault => format!("{fault}=1"),
        };
        let bad = simulator(&[("faults", &faults)]);
        let (first, second) = match fault {
            "stall" => (bad.address(), good.address()),
            _ => (good.address(), bad.address()),
        };
        let rest = two(first, second, "", SOON);
        let log = "log: { format: json, access: on }";
        let mut proxy = ProxyProcess::start(transport, log, &rest).await;
        let mut client = Client::connect(proxy.address, Http::One).await;
        check_good(&client.answer(streamed_chat()).await, true, note);
        let line = proxy.process.line("\"request\"").await;
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(line["notes"].as_str().unwrap().contains(note), "{line}");
        assert_eq!(line["attempts"], 2, "{line}");
        assert_eq!(line["endpoint"], good.address().to_string(), "{line}");
        let told = line["tried"].as_str().unwrap_or_default();
        match attempts {
            "" => assert_eq!(told, "", "{line}"),
            why => {
                let wanted = format!("a {} {why} ", bad.address());
                assert!(told.contains(&wanted), "{line}");
            }
        }
    }
}
