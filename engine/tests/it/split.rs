//! Shares of requests.

use penstock::transport::Transport;

use crate::harness::client::{BOTH, Client, Http, get, with};
use crate::harness::{Proxy, config, simulator};

on_both!(
    targets_get_their_shares,
    endpoints_get_their_shares,
    a_weight_of_zero_means_none,
    reloads_do_not_shift_shares,
    reloads_do_not_shift_shares_of_endpoints,
    users_stay_where_they_are_while_a_canary_grows,
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

async fn b_gets_a_tenth_over_reloads(transport: Transport, rest: &str) {
    let text = config(transport, "", rest);
    let proxy = Proxy::start(&text).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let mut to_b = 0;
    for _ in 0..50 {
        for _ in 0..4 {
            to_b += usize::from(client.answer(get("/plain")).await.upstream() == "b");
        }
        proxy.reload(&text).await.unwrap();
    }
    // Of four requests that begin anew with each generation, none is for `b`.
    assert!((17..=23).contains(&to_b), "{to_b} of 200, not 1 in 10");
}

async fn reloads_do_not_shift_shares(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let text = targets(&a.address().to_string(), &b.address().to_string(), (9, 1));
    b_gets_a_tenth_over_reloads(transport, &text).await;
}

async fn reloads_do_not_shift_shares_of_endpoints(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let text = format!(
        "upstreams:\n  u: {{ endpoints: [{{ address: \"{}\", weight: 9 }}, \"{}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: u }}] }}\n",
        a.address(),
        b.address()
    );
    b_gets_a_tenth_over_reloads(transport, &text).await;
}

async fn users_stay_where_they_are_while_a_canary_grows(transport: Transport) {
    const USERS: usize = 200;
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let text = |canary| {
        let (a, b) = (a.address().to_string(), b.address().to_string());
        let rest = targets(&a, &b, (100 - canary, canary));
        let sticky = "name: all, sticky: { header: x-user-id }";
        config(transport, "", &rest.replace("name: all", sticky))
    };
    let proxy = Proxy::start(&text(5)).await;
    let mut before = [false; USERS];
    for canary in [5, 10, 40] {
        if canary > 5 {
            proxy.reload(&text(canary)).await.unwrap();
        }
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            for (user, was_in) in before.iter_mut().enumerate() {
                let request = with(get("/plain"), "x-user-id", &format!("user-{user}"));
                let is_in = client.answer(request).await.upstream() == "b";
                let first = (canary, http) == (5, Http::One);
                assert!(is_in || !*was_in, "{canary} %: user {user} was sent back");
                let joins = first || http == Http::One;
                assert!(joins || is_in == *was_in, "{canary} %: user {user} moved");
                *was_in = is_in;
            }
        }
        let count = before.iter().filter(|is_in| **is_in).count();
        let wanted = USERS * canary as usize / 100;
        let spread = 4.0 * (wanted as f64).sqrt();
        let off = (count as f64 - wanted as f64).abs();
        assert!(off <= spread, "{count} users of {USERS} at {canary} %");
    }
}

fn targets(a: &str, b: &str, weights: (u32, u32)) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{a}\"] }}\n  b: {{ endpoints: [\"{b}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a, weight: {} }}, {{ upstream: b, weight: {} }}] }}\n",
        weights.0, weights.1
    )
}
