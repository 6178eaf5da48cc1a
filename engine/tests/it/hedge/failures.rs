//! One of two attempts fails, or neither says anything.

use std::net::SocketAddr;
use std::time::Duration;

use penstock::transport::Transport;

use super::{SOON, failed, hedges, left, two};
use crate::failover::check_good;
use crate::harness::client::{BOTH, Client, Http, chat, streamed_chat};
use crate::harness::{Proxy, Refusing, config, simulator};

on_both!(
    what_fails_is_replaced_by_what_is_under_way,
    a_second_attempt_that_fails_changes_nothing,
    two_silent_endpoints_are_an_error,
);

/// An upstream that takes a request, and closes after a while.
async fn closing(after: Duration) -> SocketAddr {
    use tokio::io::AsyncReadExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let _ = socket.read(&mut request).await;
            tokio::time::sleep(after).await;
        }
    });
    address
}

async fn what_fails_is_replaced_by_what_is_under_way(transport: Transport) {
    for (http, streamed) in [(Http::One, true), (Http::Two, false)] {
        let bad = closing(Duration::from_millis(1200)).await;
        let good = simulator(&[("name", "good"), ("first-token", "3s")]);
        let route = format!("{SOON}, attempts: 3");
        let rest = two(bad, good.address(), "", &route);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), http).await;
        let request = if streamed { streamed_chat() } else { chat() };
        let answer = client.answer(request).await;
        check_good(&answer, streamed, "after a failure");
        assert_eq!(good.requests(), 1, "there is no third attempt");
        let results = ["started", "won", "took_over"].map(|result| hedges(&proxy, result));
        assert_eq!(results, [1.0, 0.0, 1.0]);
        assert_eq!(failed(&proxy), 1.0, "the first one");
        let retries = proxy.metric("penstock_upstream_retries_total", &[]);
        assert_eq!(retries, 0.0, "it was paid for already");
    }
}

async fn a_second_attempt_that_fails_changes_nothing(transport: Transport) {
    let refusing = Refusing::new();
    for fault in ["refuse", "500", "429", "malformed", "reset; after=0", ""] {
        let faults = format!("{fault}=1");
        let settings: &[(&str, &str)] = match fault {
            "" => &[],
            _ => &[("faults", &faults)],
        };
        let bad = simulator(settings);
        let address = match fault {
            "" => refusing.address(),
            _ => bad.address(),
        };
        let good = simulator(&[("name", "good"), ("first-token", "2s")]);
        let rest = two(good.address(), address, "", SOON);
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        check_good(&client.answer(streamed_chat()).await, true, fault);
        assert_eq!(good.requests(), 1, "{fault}");
        let results = ["started", "won", "lost", "failed"].map(|result| hedges(&proxy, result));
        assert_eq!(results, [1.0, 0.0, 0.0, 1.0], "{fault}");
        assert_eq!(failed(&proxy), 1.0, "{fault}");
    }
}

async fn two_silent_endpoints_are_an_error(transport: Transport) {
    for (upstream, route, code) in [
        ("", ", deadline: 2s", "deadline_exceeded"),
        (", timeouts: { read: 1s }", "", "upstream_timeout"),
    ] {
        for http in BOTH {
            let one = simulator(&[("faults", "stall=1")]);
            let other = simulator(&[("faults", "stall=1")]);
            let route = format!("{SOON}{route}");
            let rest = two(one.address(), other.address(), upstream, &route);
            let proxy = Proxy::start(&config(transport, "", &rest)).await;
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(streamed_chat()).await;
            assert_eq!(answer.status, 504, "{code}");
            assert_eq!(answer.error_code(), code);
            left(&one, code).await;
            left(&other, code).await;
            assert_eq!((one.requests(), other.requests()), (1, 1), "{code}");
            let ended = hedges(&proxy, "cancelled")
                + hedges(&proxy, "took_over")
                + hedges(&proxy, "failed");
            assert_eq!(ended, 1.0, "{code}");
            proxy.forgets_bodies().await;
        }
    }
}
