//! Endpoints are where their names say.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use penstock::transport::Transport;
use tokio::net::TcpListener;

use super::moody::Moody;
use super::name_server::{NAME, NameServer};
use super::{ask, fleet};
use crate::harness::{Proxy, config, eventually};

on_both!(
    all_addresses_of_a_name_are_used,
    addresses_follow_the_name,
    what_is_under_way_at_an_address_that_goes_is_finished,
    a_name_that_nobody_knows_any_more_keeps_its_addresses,
    checks_follow_the_addresses,
);

const HOSTS: [Ipv4Addr; 3] = [
    Ipv4Addr::new(127, 0, 0, 1),
    Ipv4Addr::new(127, 0, 0, 2),
    Ipv4Addr::new(127, 0, 0, 3),
];

/// Endpoints at [`HOSTS`], all on one port.
async fn on_one_port() -> (u16, [Moody; 3]) {
    for _ in 0..100 {
        let first = TcpListener::bind((HOSTS[0], 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        // Somebody may have the port at the other addresses.
        if let (Ok(second), Ok(third)) = (
            TcpListener::bind((HOSTS[1], port)).await,
            TcpListener::bind((HOSTS[2], port)).await,
        ) {
            let all = [
                Moody::on("one", first),
                Moody::on("two", second),
                Moody::on("three", third),
            ];
            return (port, all);
        }
    }
    panic!("no port is free at three addresses");
}

fn named(transport: Transport, names: &NameServer, port: u16, settings: &str) -> String {
    let server = format!("  dns: {{ servers: [\"{}\"] }}\n", names.address);
    let endpoint = format!("\"{NAME}:{port}\"");
    config(transport, &server, &fleet(&[endpoint], settings))
}

/// Who answers a few requests.
async fn who(proxy: &Proxy) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..6 {
        let answer = ask(proxy).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        names.insert(answer.upstream().to_owned());
    }
    names
}

async fn until(proxy: &Proxy, wanted: &[&str]) {
    let wanted: BTreeSet<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
    for _ in 0..200 {
        if who(proxy).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{wanted:?} never answer alone");
}

fn lookups(proxy: &Proxy, result: &str) -> f64 {
    let result = format!("result=\"{result}\"");
    proxy.metric("penstock_name_lookups_total", &[&result])
}

async fn all_addresses_of_a_name_are_used(transport: Transport) {
    let (port, _endpoints) = on_one_port().await;
    // What is good for an hour is not asked for again; what repeats counts once.
    let names = NameServer::start(&[HOSTS[0], HOSTS[1], HOSTS[1]], 3600).await;
    let proxy = Proxy::start(&named(transport, &names, port, "")).await;
    assert_eq!(who(&proxy).await, ["one", "two"].map(str::to_owned).into());
    assert_eq!(names.questions(), 1);
    names.says(&HOSTS);
    proxy
        .reload(&named(transport, &names, port, "balance: least_busy"))
        .await
        .unwrap();
    assert_eq!(names.questions(), 2, "a reload asks anew");
    until(&proxy, &["one", "two", "three"]).await;
}

async fn addresses_follow_the_name(transport: Transport) {
    let (port, endpoints) = on_one_port().await;
    let names = NameServer::start(&HOSTS[..1], 0).await;
    let proxy = Proxy::start(&named(transport, &names, port, "")).await;
    until(&proxy, &["one"]).await;
    names.says(&HOSTS[1..]);
    until(&proxy, &["two", "three"]).await;
    assert_eq!(lookups(&proxy, "changed"), 1.0);
    names.says(&HOSTS[1..2]);
    until(&proxy, &["two"]).await;
    let rest = endpoints[2].requests();
    who(&proxy).await;
    assert_eq!(endpoints[2].requests(), rest);
    eventually("it is asked again and again", || {
        lookups(&proxy, "same") > 1.0
    })
    .await;
    assert_eq!(lookups(&proxy, "changed"), 2.0);
}

async fn what_is_under_way_at_an_address_that_goes_is_finished(transport: Transport) {
    let (port, endpoints) = on_one_port().await;
    let names = NameServer::start(&HOSTS[..1], 0).await;
    let proxy = Proxy::start(&named(transport, &names, port, "")).await;
    endpoints[0].takes(Duration::from_secs(3));
    let slow = ask(&proxy);
    let moved = async {
        eventually("it has begun", || endpoints[0].requests() == 1).await;
        names.says(&HOSTS[1..2]);
        until(&proxy, &["two"]).await;
        lookups(&proxy, "changed")
    };
    let (slow, changed) = tokio::join!(slow, moved);
    assert_eq!((slow.status.as_u16(), slow.upstream()), (200, "one"));
    assert_eq!(changed, 1.0);
}

async fn a_name_that_nobody_knows_any_more_keeps_its_addresses(transport: Transport) {
    let (port, _endpoints) = on_one_port().await;
    let names = NameServer::start(&HOSTS[..2], 0).await;
    let text = named(transport, &names, port, "");
    let proxy = Proxy::start(&text).await;
    names.says(&[]);
    eventually("it is looked for in vain", || {
        lookups(&proxy, "failed") > 0.0
    })
    .await;
    assert_eq!(who(&proxy).await, ["one", "two"].map(str::to_owned).into());
    let refused = proxy
        .reload(&text.replace("attempts: 1", "attempts: 2"))
        .await
        .unwrap_err();
    assert!(refused.contains("there is no such name"), "{refused}");
    assert!(refused.contains(NAME), "{refused}");
    assert_eq!(who(&proxy).await, ["one", "two"].map(str::to_owned).into());
    names.says(&HOSTS[2..]);
    until(&proxy, &["three"]).await;
}

async fn checks_follow_the_addresses(transport: Transport) {
    let (port, endpoints) = on_one_port().await;
    let names = NameServer::start(&HOSTS[..1], 0).await;
    let check = "health_check: { path: /health, interval: 10ms }";
    let _proxy = Proxy::start(&named(transport, &names, port, check)).await;
    eventually("the one that is there is checked", || {
        endpoints[0].checks() > 0
    })
    .await;
    assert_eq!(endpoints[1].checks(), 0);
    names.says(&HOSTS[1..2]);
    eventually("the new one is checked", || endpoints[1].checks() > 0).await;
    let old = endpoints[0].checks();
    eventually("and again", || endpoints[1].checks() > 10).await;
    assert!(
        endpoints[0].checks() <= old + 1,
        "what is gone is left alone"
    );
}
