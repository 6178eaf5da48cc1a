//! Endpoints are asked how they do.

use penstock::transport::Transport;

use super::moody::Moody;
use super::{ask, fleet, is_up, of, pair, quoted};
use crate::harness::{Proxy, config, eventually, simulator};

on_both!(
    a_check_takes_out_and_brings_back,
    checks_follow_the_configuration,
    checks_speak_what_the_upstream_speaks,
);

const CHECK: &str =
    "health_check: { path: \"/health?from=test\", interval: 10ms, healthy: 2, unhealthy: 2 }";

async fn a_check_takes_out_and_brings_back(transport: Transport) {
    let both = pair().await;
    let [a, b] = &both;
    let proxy = Proxy::start(&config(transport, "", &fleet(&of(&both), CHECK))).await;
    for endpoint in &both {
        eventually("each is checked", || endpoint.checks() > 0).await;
    }
    assert!(is_up(&proxy, a.address) && is_up(&proxy, b.address));
    a.answers_checks(503);
    eventually("the unwell one is out", || !is_up(&proxy, a.address)).await;
    let before = a.requests();
    for _ in 0..10 {
        assert_eq!(ask(&proxy).await.upstream(), "b");
    }
    assert_eq!(a.requests(), before);
    b.answers_checks(404);
    eventually("both are out", || !is_up(&proxy, b.address)).await;
    let refused = ask(&proxy).await;
    assert_eq!(refused.status, 503);
    let told = "2 failing their health checks";
    assert!(refused.text().contains(told), "{refused:?}");
    a.answers_checks(200);
    eventually("it is well again", || is_up(&proxy, a.address)).await;
    assert_eq!(ask(&proxy).await.upstream(), "a");
}

async fn checks_follow_the_configuration(transport: Transport) {
    let only = [Moody::start("a").await];
    let with = config(transport, "", &fleet(&of(&only), CHECK));
    let without = config(transport, "", &fleet(&of(&only), ""));
    let proxy = Proxy::start(&without).await;
    assert_eq!(ask(&proxy).await.status, 200);
    assert_eq!(only[0].checks(), 0, "nobody wants it checked");
    only[0].answers_checks(500);
    proxy.reload(&with).await.unwrap();
    let address = only[0].address;
    eventually("a reload begins to check", || !is_up(&proxy, address)).await;
    proxy.reload(&without).await.unwrap();
    eventually("what checks found is over with them", || {
        is_up(&proxy, address)
    })
    .await;
    assert_eq!(ask(&proxy).await.status, 200);
    let rollback = proxy.server().live.clone();
    tokio::task::spawn_blocking(move || rollback.rollback().map(|_| ()))
        .await
        .unwrap()
        .unwrap();
    eventually("so does a rollback", || !is_up(&proxy, address)).await;
}

async fn checks_speak_what_the_upstream_speaks(transport: Transport) {
    let upstream = simulator(&[("record", "0")]);
    let endpoints = [quoted(upstream.address())];
    for protocol in ["http1", "http2"] {
        let text = |status: u16| {
            let settings = format!(
                "protocol: {protocol}, health_check: {{ path: /plain, interval: 10ms, healthy: 1, unhealthy: 1, statuses: [204, {status}] }}"
            );
            config(transport, "", &fleet(&endpoints, &settings))
        };
        let proxy = Proxy::start(&text(404)).await;
        let is_up = || is_up(&proxy, upstream.address());
        eventually("200 is no good answer here", || !is_up()).await;
        proxy.reload(&text(200)).await.unwrap();
        eventually("200 is a good answer", is_up).await;
        assert_eq!(ask(&proxy).await.status, 200, "{protocol}");
    }
}
