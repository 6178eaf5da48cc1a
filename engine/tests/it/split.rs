//! Shares of requests.

use penstock::transport::Transport;

use crate::harness::client::{Client, Http, get};
use crate::harness::{Proxy, config, simulator};

on_both!(
    targets_get_their_shares,
    endpoints_get_their_shares,
    a_weight_of_zero_means_none,
);

const REQUESTS: usize = 2000;

/// How many of the requests each upstream of `text` answered, `a` first.
async fn shares(transport: Transport, text: &str) -> (usize, usize) {
    let proxy = Proxy::start(&config(transport, "", text)).await;
    let clients = (0..4).map(|_| {
        let address = proxy.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address, Http::One).await;
            let mut to_a = 0;
            for _ in 0..REQUESTS / 4 {
                to_a += usize::from(client.answer(get("/plain")).await.upstream() == "a");
            }
            to_a
        })
    });
    let mut to_a = 0;
    for client in clients.collect::<Vec<_>>() {
        to_a += client.await.unwrap();
    }
    (to_a, REQUESTS - to_a)
}

async fn targets_get_their_shares(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let text = targets(&a.address().to_string(), &b.address().to_string(), (95, 5));
    let (to_a, to_b) = shares(transport, &text).await;
    // Drawn at random, 100 would vary by 10 either way; 60 is four times that.
    assert!((60..=140).contains(&to_b), "{to_a} to {to_b}, not 95 to 5");
}

async fn endpoints_get_their_shares(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let text = format!(
        "upstreams:\n  u: {{ endpoints: [{{ address: \"{}\", weight: 3 }}, \"{}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: u }}] }}\n",
        a.address(),
        b.address()
    );
    let (to_a, to_b) = shares(transport, &text).await;
    assert!((400..=600).contains(&to_b), "{to_a} to {to_b}, not 3 to 1");
}

async fn a_weight_of_zero_means_none(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let text = targets(&a.address().to_string(), &b.address().to_string(), (1, 0));
    assert_eq!(shares(transport, &text).await, (REQUESTS, 0));
}

fn targets(a: &str, b: &str, weights: (u32, u32)) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{a}\"] }}\n  b: {{ endpoints: [\"{b}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a, weight: {} }}, {{ upstream: b, weight: {} }}] }}\n",
        weights.0, weights.1
    )
}
