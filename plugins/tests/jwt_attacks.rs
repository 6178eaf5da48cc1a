//! Attacks on JSON Web Tokens, each under its name, and what is made of it.
//!
//! Three issuers are trusted: one pinned to RS256 and to ES256, one with a key for
//! each other algorithm with public keys, one with a secret. Every attack is a token of
//! one of them that is wrong in one way.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "jwt/attacks.rs"]
mod attacks;
#[path = "jwt/forms.rs"]
mod forms;
#[path = "jwt/signer.rs"]
mod signer;

use std::collections::BTreeSet;
use std::sync::Arc;

use penstock_config::plugin::jwt::Algorithm;
use penstock_plugins::jwt::{KeySet, Keys, Verifier};
use serde_json::{Value, json};

use attacks::{HEADER, attacks};
use signer::{SECRET, Signer, claims, now, rules};

const MAIN: &str = "https://main.example/";
const MANY: &str = "https://many.example/";
const SECRETIVE: &str = "https://secretive.example/";

const MANY_ALGORITHMS: [Algorithm; 8] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

fn trusted(signer: &Signer) -> Verifier {
    let mut enc = signer.jwk(Algorithm::ES256);
    enc["kid"] = "enc".into();
    enc["use"] = "enc".into();
    let mut wrap = signer.jwk(Algorithm::ES256);
    wrap["kid"] = "wrap".into();
    wrap["key_ops"] = json!(["wrapKey"]);
    let main = json!({ "keys": [
        signer.jwk(Algorithm::RS256), signer.jwk(Algorithm::ES256), enc, wrap,
    ] });
    let main = Keys::from_jwks(main.to_string().as_bytes()).unwrap();
    assert_eq!(main.count(), 2, "keys for other uses are skipped");
    let many = MANY_ALGORITHMS.map(|algorithm| signer.jwk(algorithm));
    let many = Keys::from_jwks(json!({ "keys": many }).to_string().as_bytes()).unwrap();
    let secret = Keys::from_secret(SECRET, &[Algorithm::HS256]).unwrap();
    let fixed = |keys| Arc::new(KeySet::fixed(keys));
    let names = MANY_ALGORITHMS.map(Algorithm::as_str);
    Verifier::new([
        (
            rules(MAIN, json!({ "algorithms": ["RS256", "ES256"] })),
            fixed(main),
        ),
        (rules(MANY, json!({ "algorithms": names })), fixed(many)),
        (
            rules(
                SECRETIVE,
                json!({ "algorithms": ["HS256"],
                                     "keys": { "secret": { "env": "SECRET" } } }),
            ),
            fixed(secret),
        ),
    ])
}

#[test]
fn every_attack_is_refused_for_what_is_wrong_with_it() {
    let signer = Signer::default();
    let verifier = trusted(&signer);
    let attacks = attacks(&signer);
    let mut names = BTreeSet::new();
    for (name, token, fault) in &attacks {
        assert!(names.insert(name), "{name} stands twice");
        for again in ["at first", "and again"] {
            let verdict = verifier.verify(token, now());
            assert_eq!(
                verdict.map_err(|fault| fault.reason()),
                Err(fault.reason()),
                "{name}, {again}"
            );
        }
    }
    assert!(names.len() >= 200, "there are {} attacks only", names.len());
    eprintln!("{} attacks refused", names.len());
    // The same issuers still take what they signed.
    for (algorithm, issuer) in [
        (Algorithm::RS256, MAIN),
        (Algorithm::ES256, MAIN),
        (Algorithm::HS256, SECRETIVE),
    ] {
        verifier
            .verify(signer.good(algorithm, issuer).as_bytes(), now())
            .unwrap();
    }
    for algorithm in MANY_ALGORITHMS {
        verifier
            .verify(signer.good(algorithm, MANY).as_bytes(), now())
            .unwrap();
    }
}

/// What a token brings along may come from an issuer in good faith, as SAP's `jku` or
/// Azure's `x5t` do. It makes no token good and none bad.
#[test]
fn what_a_token_brings_along_changes_nothing() {
    let signer = Signer::default();
    let verifier = trusted(&signer);
    for extra in [
        json!({ "jku": "https://attacker.example/" }),
        json!({ "x5t": "abc", "x5c": ["AAAA"], "x5u": "https://attacker.example/" }),
        json!({ "jwk": Signer::default().jwk(Algorithm::RS256) }),
        json!({ "cty": "application/json", "unknown": { "a": [1, 2.5, null] } }),
    ] {
        let mut header: Value = serde_json::from_str(HEADER).unwrap();
        header
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let token = signer.token(
            Algorithm::RS256,
            &header.to_string(),
            &claims(MAIN, json!({})),
        );
        let identity = verifier.verify(token.as_bytes(), now());
        assert_eq!(&*identity.unwrap().consumer, "alice", "{header}");
    }
}

/// Changes of one to three bytes, and pieces of several good tokens put together: none
/// verifies but the good ones themselves.
#[test]
fn nothing_near_a_good_token_verifies() {
    let signer = Signer::default();
    let verifier = trusted(&signer);
    let good: Vec<Vec<u8>> = [
        signer.good(Algorithm::RS256, MAIN),
        signer.good(Algorithm::ES256, MAIN),
        signer.good(Algorithm::EdDSA, MANY),
        signer.good(Algorithm::HS256, SECRETIVE),
    ]
    .map(String::into_bytes)
    .into();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..20_000 {
        let mut token = good[random.below(good.len())].clone();
        match round % 4 {
            0 => {
                for _ in 0..=random.below(3) {
                    let place = random.below(token.len());
                    token[place] ^= 1 << random.below(8);
                }
            }
            1 => {
                let alphabet =
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
                let place = random.below(token.len());
                token[place] = alphabet[random.below(alphabet.len())];
            }
            2 => {
                let (from, to) = (random.below(token.len()), random.below(token.len()));
                token.drain(from.min(to)..from.max(to));
            }
            _ => {
                let other = &good[random.below(good.len())];
                let mut parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
                let others: Vec<&[u8]> = other.split(|byte| *byte == b'.').collect();
                let part = random.below(3);
                parts[part] = others[part];
                token = parts.join(&b'.');
            }
        }
        let verdict = verifier.verify(&token, now());
        assert_eq!(
            verdict.is_ok(),
            good.contains(&token),
            "{}",
            String::from_utf8_lossy(&token)
        );
    }
}

/// A generator of the xorshift family: the same numbers on each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
