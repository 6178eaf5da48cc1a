//! A token that was found good before allocates nothing.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "jwt/signer.rs"]
mod signer;

use std::hint::black_box;

use allocation_counter::measure;
use penstock_config::plugin::jwt::Algorithm;
use penstock_plugins::build::Given;
use penstock_plugins::{Arrival, Dialect, Exchange, RouteTable, Shared};
use serde_json::json;

use signer::{Signer, now, rules, verifier};

#[test]
fn a_known_token_allocates_nothing() {
    let signer = Signer::default();
    let jwks = json!({ "keys": [signer.jwk(Algorithm::RS256)] });
    let verifier = verifier(rules("https://id.example.com/", json!({})), &jwks);
    let token = signer.good(Algorithm::RS256, "https://id.example.com/");
    let first = measure(|| {
        verifier.verify(token.as_bytes(), now()).unwrap();
    });
    assert!(first.count_total > 0, "the counter counts");
    let again = measure(|| {
        for _ in 0..100 {
            black_box(verifier.verify(black_box(token.as_bytes()), now())).unwrap();
        }
    });
    assert_eq!(again.count_total, 0, "{again:?}");
}

#[test]
fn a_request_with_a_known_token_allocates_nothing() {
    let signer = Signer::default();
    let config = penstock_config::parse(
        "upstreams: { u: { endpoints: [u:1] } }
chain:
- authenticate:
    jwt:
    - { issuer: idp, audiences: [penstock], algorithms: [RS256], keys: { jwks: keys.json } }
routes: [{ name: chat, split: [{ upstream: u }] }]",
    );
    let jwks = json!({ "keys": [signer.jwk(Algorithm::RS256)] }).to_string();
    let mut given = Given::default();
    given.files.insert("keys.json".into(), jwks.into_bytes());
    let table = RouteTable::new(&config.unwrap(), &Shared::default(), &given)
        .unwrap_or_else(|errors| panic!("{errors:?}"));
    let token = signer.good(Algorithm::RS256, "idp");
    let request = http::Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {token}"));
    let head = request.body(()).unwrap().into_parts().0;
    let route = table.get(0).unwrap();
    // The first one verifies the signature.
    for (round, allowed) in [u64::MAX, 0, 0].into_iter().enumerate() {
        let mut exchange = Exchange::new(Arrival {
            id: 1,
            client: None,
            generation: 1,
            at: now(),
            dialect: Dialect::OpenAi,
        });
        let mut passed = false;
        let counted = measure(|| {
            passed = table.global().authenticate(&mut exchange, &head).is_ok();
            exchange.enter(route);
        });
        assert!(passed && exchange.identity().is_some());
        assert!(
            counted.count_total <= allowed,
            "request {round}: {counted:?}"
        );
    }
}
