//! An endpoint that answers much later than the others is left alone.

use std::time::Duration;

use penstock::transport::Transport;

use super::moody::Moody;
use super::{ask, fleet, is_up, of};
use crate::harness::{Proxy, config};

on_both!(
    the_slow_one_is_left_alone_and_the_others_take_over,
    it_comes_back_when_it_is_quick_again,
    when_all_are_slow_all_go_on,
);

const LATENCY: &str = "latency: { factor: 3, floor: 100ms, requests: 4, window: 20s }";

/// Ten times what the others take, a machine's own delays included.
const SLOW: Duration = Duration::from_millis(500);

async fn three() -> [Moody; 3] {
    let names = ["a", "b", "c"];
    let [a, b, c] = names.map(Moody::start);
    [a.await, b.await, c.await]
}

/// Asks until the first endpoint is out. Each has its turn.
async fn until_out(proxy: &Proxy, slow: &Moody) {
    for _ in 0..40 {
        if !is_up(proxy, slow.address) {
            return;
        }
        assert_eq!(ask(proxy).await.status, 200);
    }
    panic!("it is still there after {} requests", slow.requests());
}

async fn the_slow_one_is_left_alone_and_the_others_take_over(transport: Transport) {
    let all = three().await;
    let [slow, others @ ..] = &all;
    slow.takes(SLOW);
    let settings = format!("ejection: {{ {LATENCY}, time: 1h, max_time: 1h }}");
    let proxy = Proxy::start(&config(transport, "", &fleet(&of(&all), &settings))).await;
    until_out(&proxy, slow).await;
    assert!(slow.requests() >= 4, "fewer answers say nothing");
    let ejections = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        proxy.metric("penstock_endpoint_ejections_total", &[&reason])
    };
    assert_eq!((ejections("latency"), ejections("failures")), (1.0, 0.0));
    let before = slow.requests();
    for _ in 0..20 {
        assert_eq!(ask(&proxy).await.status, 200);
    }
    assert_eq!(slow.requests(), before);
    assert!(others.iter().all(|other| is_up(&proxy, other.address)));
}

async fn it_comes_back_when_it_is_quick_again(transport: Transport) {
    let all = three().await;
    let [slow, ..] = &all;
    slow.takes(SLOW);
    let settings = format!("ejection: {{ {LATENCY}, time: 50ms, max_time: 50ms }}");
    let proxy = Proxy::start(&config(transport, "", &fleet(&of(&all), &settings))).await;
    until_out(&proxy, slow).await;
    slow.takes(Duration::ZERO);
    for _ in 0..1_000 {
        if is_up(&proxy, slow.address) {
            let before = slow.requests();
            for _ in 0..9 {
                ask(&proxy).await;
            }
            assert!(slow.requests() > before, "it gets its share again");
            return;
        }
        assert_eq!(ask(&proxy).await.status, 200);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come back");
}

async fn when_all_are_slow_all_go_on(transport: Transport) {
    let all = three().await;
    for endpoint in &all {
        endpoint.takes(Duration::from_millis(150));
    }
    let settings = format!("ejection: {{ {LATENCY}, max_percent: 100 }}");
    let proxy = Proxy::start(&config(transport, "", &fleet(&of(&all), &settings))).await;
    for _ in 0..30 {
        assert_eq!(ask(&proxy).await.status, 200);
    }
    assert!(all.iter().all(|endpoint| is_up(&proxy, endpoint.address)));
    assert_eq!(proxy.metric("penstock_endpoint_ejections_total", &[]), 0.0);
}
