//! Endpoints are chosen by how they do.

use std::net::SocketAddr;
use std::time::Duration;

use penstock::transport::Transport;
use penstock_plugins::authenticate::hash;

use crate::harness::client::{Answer, BOTH, Client, Http, chat, get, with};
use crate::harness::{Proxy, config, eventually, simulator};
use moody::Moody;

mod checks;
mod moody;
mod name_server;
mod names;
mod slow;

on_both!(
    failures_eject_and_one_success_brings_back,
    an_endpoint_is_paused_as_it_asks,
    an_only_endpoint_is_never_left_alone,
    when_all_are_out_the_client_is_told_at_once,
    a_full_endpoint_takes_no_more,
    the_idle_one_is_preferred,
    the_quick_one_is_preferred,
    a_key_moves_only_with_its_endpoint,
    a_consumer_stays_at_an_endpoint,
    another_zone_takes_what_the_own_cannot,
    a_reload_keeps_health_and_what_is_in_flight,
);

/// An upstream `u` with these endpoints and settings, and a route to it that makes one
/// attempt, so that each request tells of one endpoint.
pub(super) fn fleet(endpoints: &[String], settings: &str) -> String {
    let list = endpoints.join(", ");
    format!(
        "upstreams:\n  u: {{ endpoints: [{list}], {settings} }}\nroutes:\n  - {{ name: all, attempts: 1, split: [{{ upstream: u }}] }}\n"
    )
}

pub(super) fn quoted(address: SocketAddr) -> String {
    format!("\"{address}\"")
}

async fn ask(proxy: &Proxy) -> Answer {
    let mut client = Client::connect(proxy.address(), Http::One).await;
    client.answer(get("/plain")).await
}

/// Whether the metrics call an endpoint up.
pub(super) fn is_up(proxy: &Proxy, address: SocketAddr) -> bool {
    let endpoint = format!("endpoint=\"{address}\"");
    proxy.metric("penstock_endpoint_up", &["upstream=\"u\"", &endpoint]) == 1.0
}

fn in_flight(proxy: &Proxy) -> f64 {
    proxy.metric("penstock_endpoint_requests", &["upstream=\"u\""])
}

async fn pair() -> [Moody; 2] {
    [Moody::start("a").await, Moody::start("b").await]
}

fn of(endpoints: &[Moody]) -> Vec<String> {
    let addresses = endpoints.iter().map(|endpoint| endpoint.address);
    addresses.map(quoted).collect()
}

async fn failures_eject_and_one_success_brings_back(transport: Transport) {
    for (status, failures) in [(500, 3), (502, 1), (503, 2), (504, 1)] {
        let both = pair().await;
        let [a, b] = &both;
        let settings = format!("ejection: {{ failures: {failures}, time: 1h, max_time: 1h }}");
        let text = config(transport, "", &fleet(&of(&both), &settings));
        let proxy = Proxy::start(&text).await;
        a.answers(status);
        for _ in 0..20 {
            ask(&proxy).await;
        }
        assert_eq!(a.requests(), failures, "status {status}");
        assert_eq!(b.requests(), 20 - failures);
        assert!(!is_up(&proxy, a.address) && is_up(&proxy, b.address));
        let ejections = proxy.metric("penstock_endpoint_ejections_total", &[]);
        assert_eq!(ejections, 1.0);
    }
    let both = pair().await;
    let [a, _] = &both;
    let settings = "ejection: { failures: 1, time: 20ms, max_time: 20ms }";
    let text = config(transport, "", &fleet(&of(&both), settings));
    let proxy = Proxy::start(&text).await;
    a.answers(500);
    while is_up(&proxy, a.address) {
        ask(&proxy).await;
    }
    a.answers(200);
    while !is_up(&proxy, a.address) {
        let answer = ask(&proxy).await;
        assert_eq!(answer.status, 200);
    }
}

async fn an_endpoint_is_paused_as_it_asks(transport: Transport) {
    for (status, retry_after) in [(429, "3600"), (503, "Fri, 31 Dec 2199 23:59:59 GMT")] {
        let both = pair().await;
        let [a, b] = &both;
        let proxy = Proxy::start(&config(transport, "", &fleet(&of(&both), ""))).await;
        a.answers(status);
        for _ in 0..6 {
            ask(&proxy).await;
        }
        assert!(is_up(&proxy, a.address), "without a wish there is no pause");
        let before = a.requests();
        a.asks_for(retry_after);
        for _ in 0..20 {
            ask(&proxy).await;
        }
        assert_eq!(a.requests(), before + 1, "{status} {retry_after}");
        assert!(!is_up(&proxy, a.address));
        assert!(b.requests() >= 19);
    }
}

async fn an_only_endpoint_is_never_left_alone(transport: Transport) {
    let only = [Moody::start("a").await];
    let proxy = Proxy::start(&config(transport, "", &fleet(&of(&only), ""))).await;
    for (status, retry_after) in [(500, "1"), (503, "60"), (429, "60")] {
        only[0].answers(status);
        only[0].asks_for(retry_after);
        for _ in 0..10 {
            let answer = ask(&proxy).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.upstream(), "a", "its own answer");
        }
    }
}

async fn when_all_are_out_the_client_is_told_at_once(transport: Transport) {
    let both = pair().await;
    let settings = "ejection: { failures: 1, time: 1h, max_time: 1h, max_percent: 100 }";
    let text = config(transport, "", &fleet(&of(&both), settings));
    let proxy = Proxy::start(&text).await;
    for endpoint in &both {
        endpoint.answers(500);
    }
    for _ in 0..2 {
        assert_eq!(ask(&proxy).await.status, 500);
    }
    let asked = || both.iter().map(Moody::requests).sum::<u64>();
    assert_eq!(asked(), 2);
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(chat()).await;
        assert_eq!(answer.status, 503, "over {http:?}");
        assert_eq!(answer.error_code(), "no_endpoint");
        let told = "2 ejected";
        assert!(answer.text().contains(told), "{}", answer.text());
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=3600).contains(&wait), "{wait}");
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(get("/plain")).await;
        assert!(answer.text().contains(told), "{}", answer.text());
    }
    assert_eq!(asked(), 2, "no upstream is called");
    let refused = proxy.metric("penstock_upstream_unavailable_total", &[]);
    assert_eq!(refused, 4.0);
}

async fn a_full_endpoint_takes_no_more(transport: Transport) {
    let upstream = simulator(&[]);
    let endpoint = format!("{{ address: \"{}\", max_requests: 1 }}", upstream.address());
    let proxy = Proxy::start(&config(transport, "", &fleet(&[endpoint], ""))).await;
    let held = hold(&proxy).await;
    let refused = ask(&proxy).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), "", "nobody knows when");
    assert!(refused.text().contains("1 at their limit"), "{refused:?}");
    held.abort();
    eventually("it is let go", || in_flight(&proxy) == 0.0).await;
    assert_eq!(ask(&proxy).await.status, 200);
}

/// A request that is not answered, and the only one in flight when this returns.
async fn hold(proxy: &Proxy) -> tokio::task::JoinHandle<()> {
    // A client has its answer a little before the proxy is done with the request.
    eventually("no other is in flight", || in_flight(proxy) == 0.0).await;
    let address = proxy.address();
    let held = tokio::spawn(async move {
        let mut client = Client::connect(address, Http::One).await;
        let stalled = with(get("/plain"), "x-simulate", "stall; at=head");
        let _ = client.try_answer(stalled).await;
    });
    eventually("it is in flight", || in_flight(proxy) == 1.0).await;
    held
}

async fn the_idle_one_is_preferred(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let endpoints = [quoted(a.address()), quoted(b.address())];
    let text = config(transport, "", &fleet(&endpoints, "balance: least_busy"));
    let proxy = Proxy::start(&text).await;
    let held = hold(&proxy).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(ask(&proxy).await.upstream().to_owned());
        eventually("only one is held", || in_flight(&proxy) == 1.0).await;
    }
    idle.dedup();
    assert_eq!(idle.len(), 1, "the busy one got requests too");
    held.abort();
}

async fn the_quick_one_is_preferred(transport: Transport) {
    let both = pair().await;
    let [slow, quick] = &both;
    slow.takes(Duration::from_millis(30));
    let text = config(transport, "", &fleet(&of(&both), "balance: latency"));
    let proxy = Proxy::start(&text).await;
    for _ in 0..40 {
        ask(&proxy).await;
    }
    let (slow, quick) = (slow.requests(), quick.requests());
    assert!(slow < quick, "{slow} to the slow one, {quick} to the other");
}

async fn a_key_moves_only_with_its_endpoint(transport: Transport) {
    let three = [
        Moody::start("a").await,
        Moody::start("b").await,
        Moody::start("c").await,
    ];
    let settings = "balance: hash, affinity: { header: x-session }, ejection: { failures: 1, time: 1h, max_time: 1h }";
    let text = config(transport, "", &fleet(&of(&three), settings));
    let proxy = Proxy::start(&text).await;
    let goes_to = async |key: usize| {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let request = with(get("/plain"), "x-session", &format!("session {key}"));
        client.answer(request).await.upstream().to_owned()
    };
    let mut homes = Vec::new();
    for key in 0..30 {
        homes.push(goes_to(key).await);
    }
    let lost = &three[0];
    assert!(homes.iter().any(|home| home == "a"), "{homes:?}");
    let before = lost.requests();
    lost.answers(500);
    let key = homes.iter().position(|home| home == "a").unwrap();
    goes_to(key).await;
    assert!(!is_up(&proxy, lost.address));
    for (key, home) in homes.iter().enumerate() {
        let now = goes_to(key).await;
        if home == "a" {
            assert_ne!(now, "a", "key {key}");
        } else {
            assert_eq!(now, *home, "key {key} moved without need");
        }
    }
    assert_eq!(lost.requests(), before + 1);
}

async fn a_consumer_stays_at_an_endpoint(transport: Transport) {
    let three = [
        Moody::start("a").await,
        Moody::start("b").await,
        Moody::start("c").await,
    ];
    const KEYS: [&str; 2] = ["key-of-one-0123456789abcdef", "key-of-two-0123456789abcdef"];
    // Two keys of one consumer.
    let keys = KEYS.map(|key| format!("{{ hash: '{}', consumer: one }}", hash(key.as_bytes())));
    let fleet = fleet(&of(&three), "balance: hash, affinity: consumer");
    let chain = format!(
        "chain: [{{ authenticate: {{ keys: {{ inline: [{}] }} }} }}]\n",
        keys.join(", ")
    );
    let proxy = Proxy::start(&config(transport, "", &(fleet + &chain))).await;
    for n in 0..20 {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let bearer = format!("Bearer {}", KEYS[n % 2]);
        let answer = client
            .answer(with(get("/plain"), "authorization", &bearer))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let homes = three.iter().filter(|endpoint| endpoint.requests() > 0);
    assert_eq!(homes.count(), 1);
}

async fn another_zone_takes_what_the_own_cannot(transport: Transport) {
    let both = pair().await;
    let [near, far] = &both;
    let endpoints = [
        format!("{{ address: \"{}\", zone: here }}", near.address),
        format!("{{ address: \"{}\", zone: there }}", far.address),
    ];
    let settings = "ejection: { failures: 1, time: 1h, max_time: 1h }";
    let text = config(transport, "zone: here", &fleet(&endpoints, settings));
    let proxy = Proxy::start(&text).await;
    for _ in 0..20 {
        assert_eq!(ask(&proxy).await.upstream(), "a");
    }
    near.answers(500);
    ask(&proxy).await;
    for _ in 0..20 {
        assert_eq!(ask(&proxy).await.upstream(), "b");
    }
    assert_eq!((near.requests(), far.requests()), (21, 20));
}

async fn a_reload_keeps_health_and_what_is_in_flight(transport: Transport) {
    let upstream = simulator(&[("name", "b")]);
    let a = Moody::start("a").await;
    let endpoints = [quoted(a.address), quoted(upstream.address())];
    let settings = "ejection: { failures: 1, time: 1h, max_time: 1h }";
    let text = |more: &str| {
        config(
            transport,
            "",
            &fleet(&endpoints, &format!("{settings}{more}")),
        )
    };
    let proxy = Proxy::start(&text("")).await;
    a.answers(500);
    while is_up(&proxy, a.address) {
        ask(&proxy).await;
    }
    let held = hold(&proxy).await;
    proxy.reload(&text(", balance: least_busy")).await.unwrap();
    assert!(!is_up(&proxy, a.address));
    assert_eq!(in_flight(&proxy), 1.0);
    let before = a.requests();
    for _ in 0..10 {
        assert_eq!(ask(&proxy).await.upstream(), "b");
    }
    assert_eq!(a.requests(), before);
    held.abort();
    eventually("it is let go", || in_flight(&proxy) == 0.0).await;
    let without = [quoted(upstream.address())];
    let without = config(transport, "", &fleet(&without, settings));
    for _ in 0..2 {
        // The generation before is kept for a rollback.
        proxy.reload(&without).await.unwrap();
    }
    let gone = a.address.to_string();
    eventually("who is gone is shown no more", || {
        !proxy.metrics().contains(&gone)
    })
    .await;
}
