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
