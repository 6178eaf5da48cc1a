//! Connections are kept and used again, on both sides.

use penstock::transport::Transport;

use crate::bodies::json;
use crate::harness::client::{BOTH, Client, Http, chat, get, post, streamed_chat, with};
use crate::harness::{Proxy, all_to, config, simulator};

on_both!(
    requests_in_a_row_share_one_upstream_connection,
    requests_at_once_need_no_more_connections_than_they_are,
    an_http2_upstream_is_shared_by_requests_at_once,
    an_error_of_the_upstream_keeps_the_connections,
);

async fn requests_in_a_row_share_one_upstream_connection(transport: Transport) {
    for http in BOTH {
        let upstream = simulator(&[]);
        let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
        let mut client = Client::connect(proxy.address(), http).await;
        for n in 0..30 {
            let request = match n % 4 {
                0 => get("/plain"),
                1 => streamed_chat(),
                2 => post("/echo", json(100_000)),
                _ => get("/chunked/100000"),
            };
            assert_eq!(client.answer(request).await.status, 200);
        }
        assert_eq!(upstream.connections_accepted(), 1, "over {http:?}");
        assert_eq!(
            proxy.metric("penstock_connections_total", &[]),
            1.0,
            "the client's connection served all of {http:?}"
        );
    }
}

async fn requests_at_once_need_no_more_connections_than_they_are(transport: Transport) {
    let upstream = simulator(&[("tokens", "5"), ("between-tokens", "5ms")]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    let clients = (0..20).map(|_| {
        let address = proxy.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address, Http::One).await;
            for _ in 0..10 {
                assert_eq!(client.answer(streamed_chat()).await.status, 200);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let accepted = upstream.connections_accepted();
    assert!(
        accepted <= 20,
        "20 clients at once made {accepted} connections"
    );
}

async fn an_http2_upstream_is_shared_by_requests_at_once(transport: Transport) {
    let upstream = simulator(&[("tokens", "5"), ("between-tokens", "5ms")]);
    let rest = all_to(upstream.address()).replace("] }\nroutes", "], protocol: http2 }\nroutes");
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut warm = Client::connect(proxy.address(), Http::One).await;
    warm.answer(chat()).await;
    let clients = (0..20).map(|_| {
        let address = proxy.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address, Http::One).await;
            for _ in 0..5 {
                assert_eq!(client.answer(streamed_chat()).await.status, 200);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    let accepted = upstream.connections_accepted();
    assert!(
        accepted < 20,
        "requests share, yet there are {accepted} connections"
    );
}

async fn an_error_of_the_upstream_keeps_the_connections(transport: Transport) {
    for http in BOTH {
        let upstream = simulator(&[]);
        // With another attempt left, the answer's rest would not be waited for.
        let rest = all_to(upstream.address()).replace("name: all,", "name: all, attempts: 1,");
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        let mut client = Client::connect(proxy.address(), http).await;
        for status in ["429", "500", "503"] {
            let answer = client.answer(with(chat(), "x-simulate", status)).await;
            assert_eq!(answer.status.as_str(), status, "passed on as it is");
            assert_eq!(answer.upstream(), "simulator");
        }
        assert_eq!(upstream.connections_accepted(), 1, "over {http:?}");
        assert_eq!(proxy.metric("penstock_connections_total", &[]), 1.0);
    }
}
