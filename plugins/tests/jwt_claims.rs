//! What a good token says, how long it does, and what happens when keys change.
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

use std::sync::Arc;
use std::time::Duration;

use penstock_config::plugin::jwt::Algorithm;
use penstock_plugins::Identity;
use penstock_plugins::jwt::{Fault, KeySet, Keys, Verifier};
use serde_json::{Value, json};

use signer::{NOW, Signer, claims, now, rules, verifier};

const ISSUER: &str = "https://id.example.com/";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What an issuer with these rules makes of a token with these claims.
fn judge(changes: Value, token: Value) -> Result<Arc<Identity>, Fault> {
    let signer = Signer::default();
    let mut all = json!({ "algorithms": ["EdDSA"] });
    all.as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    let jwks = json!({ "keys": [signer.jwk(Algorithm::EdDSA)] });
    let verifier = verifier(rules(ISSUER, all), &jwks);
    let token = signer.token(
        Algorithm::EdDSA,
        r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
        &claims(ISSUER, token),
    );
    let first = verifier.verify(token.as_bytes(), now());
    assert_eq!(
        first,
        verifier.verify(token.as_bytes(), now()),
        "with and without the cache"
    );
    first
}

#[test]
fn claims_become_an_identity() {
    let mapped = json!({ "claims": {
        "consumer": "client_id",
        "tenant": "/org/id",
        "roles": "/realm_access/roles",
        "models": "https://example.com/models",
        "metadata": { "plan": "/org/plan", "region": "region" },
    } });
    let token = json!({
        "client_id": "app-7",
        "org": { "id": 42, "plan": "gold" },
        "realm_access": { "roles": ["reader", "writer"] },
        "https://example.com/models": "gpt-4o* claude-*",
    });
    let identity = judge(mapped.clone(), token.clone()).unwrap();
    assert_eq!(
        (&*identity.consumer, &*identity.tenant, &*identity.key),
        ("app-7", "42", "alice")
    );
    assert!(identity.has_role("reader") && identity.has_role("writer"));
    assert!(identity.may_use_model("gpt-4o-mini") && !identity.may_use_model("gpt-4"));
    assert_eq!(
        identity.metadata.get("plan").map(|plan| &**plan),
        Some("gold")
    );
    assert_eq!(
        identity.metadata.get("region"),
        None,
        "the token does not have it"
    );
    for (broken, fault) in [
        (json!({ "client_id": null }), Fault::Identity),
        (json!({ "org": { "plan": "gold" } }), Fault::Identity),
        (json!({ "org": "42" }), Fault::Identity),
        (json!({ "org": { "id": 4.5 } }), Fault::Identity),
        (json!({ "org": { "id": true } }), Fault::Identity),
        (
            json!({ "realm_access": { "roles": [7.5] } }),
            Fault::Identity,
        ),
        (
            json!({ "realm_access": { "roles": { "a": 1 } } }),
            Fault::Identity,
        ),
        (
            json!({ "realm_access": { "roles": vec!["r"; 257] } }),
            Fault::Identity,
        ),
        (
            json!({ "https://example.com/models": [""] }),
            Fault::Identity,
        ),
        (
            json!({ "https://example.com/models": "a\tb" }),
            Fault::Identity,
        ),
        (json!({ "region": ["a"] }), Fault::Identity),
    ] {
        let mut token = token.clone();
        token
            .as_object_mut()
            .unwrap()
            .extend(broken.as_object().unwrap().clone());
        assert_eq!(judge(mapped.clone(), token), Err(fault), "{broken}");
    }
    let bare = judge(mapped, json!({ "client_id": "a", "org": { "id": "t" } })).unwrap();
    assert!(bare.roles.is_empty());
    assert!(
        !bare.may_use_model("any"),
        "a claim that is mapped and missing opens nothing"
    );
    let default = judge(json!({}), json!({})).unwrap();
    assert_eq!(&*default.consumer, "alice");
    assert_eq!(
        &*default.tenant, "https://id.example.com/ alice",
        "nobody else is in it, whatever another issuer calls its own"
    );
    assert!(default.may_use_model("any") && default.models.is_none());
}

#[test]
fn required_claims() {
    let rule = |value: Value| json!({ "required_claims": { "c": value } });
    let scope = |value: Value| json!({ "required_claims": { "scope": value } });
    for (rules, token, good) in [
        (rule(json!("any")), json!({ "c": false }), true),
        (rule(json!("any")), json!({}), false),
        (rule(json!(true)), json!({ "c": true }), true),
        (rule(json!(true)), json!({ "c": false }), false),
        (rule(json!(7)), json!({ "c": 7 }), true),
        (rule(json!(["a", "b"])), json!({ "c": "b" }), true),
        (rule(json!(["a", "b"])), json!({ "c": ["x", "a"] }), true),
        (rule(json!(["a", "b"])), json!({ "c": ["x", ["a"]] }), false),
        (rule(json!("a")), json!({ "c": "a b" }), false),
        (rule(json!("a")), json!({ "c": "A" }), false),
        (rule(json!("a")), json!({ "c": { "a": true } }), false),
        (
            scope(json!("chat")),
            json!({ "scope": "openid chat" }),
            true,
        ),
        (
            scope(json!("chat")),
            json!({ "scope": "chatter openid" }),
            false,
        ),
        (scope(json!("chat")), json!({ "scope": ["chat"] }), true),
    ] {
        let verdict = judge(rules.clone(), token.clone());
        let expected = if good { None } else { Some(Fault::Required) };
        assert_eq!(verdict.err(), expected, "{rules} {token}");
    }
}

#[test]
fn types_and_audiences() {
    assert!(judge(json!({ "types": ["AT+JWT"] }), json!({})).is_ok());
    assert!(judge(json!({ "types": ["application/at+jwt"] }), json!({})).is_ok());
    assert_eq!(
        judge(json!({ "types": ["JWT"] }), json!({})),
        Err(Fault::Type)
    );
    assert!(judge(json!({ "audiences": "any" }), json!({ "aud": null })).is_ok());
    assert!(judge(json!({}), json!({ "aud": "penstock" })).is_ok());
}

/// A token is good for as long as it says, give or take the leeway, and not for longer
/// because it was found good before.
#[test]
fn dates_hold_with_and_without_the_cache() {
    let signer = Signer::default();
    let jwks = json!({ "keys": [signer.jwk(Algorithm::EdDSA)] });
    let rules = rules(ISSUER, json!({ "algorithms": ["EdDSA"], "leeway": "10s" }));
    let verifier = verifier(rules, &jwks);
    let token = |changes: Value| {
        signer.token(
            Algorithm::EdDSA,
            r#"{"alg":"EdDSA"}"#,
            &claims(ISSUER, changes),
        )
    };
    let good = token(json!({ "exp": NOW as f64 + 100.5, "nbf": NOW, "iat": null }));
    let at = |seconds: u64| verifier.verify(good.as_bytes(), secs(seconds)).err();
    assert_eq!(at(NOW - 11), Some(Fault::Premature));
    for good in [NOW - 10, NOW, NOW + 100, NOW + 110] {
        assert_eq!(at(good), None, "at {good}");
    }
    assert_eq!(at(NOW + 111), Some(Fault::Expired));
    assert_eq!(at(NOW + 500), Some(Fault::Expired));
    let long = token(json!({ "exp": NOW + 86_400 }));
    for seconds in [0, 299, 300, 600, 86_400, 86_409] {
        let verdict = verifier.verify(long.as_bytes(), secs(NOW + seconds));
        assert!(verdict.is_ok(), "after {seconds}");
    }
    let verdict = verifier.verify(long.as_bytes(), secs(NOW + 86_410));
    assert_eq!(verdict, Err(Fault::Expired));
}

#[test]
fn a_token_without_kid_is_tried_with_the_keys_that_fit_and_no_more_than_eight() {
    let signer = Signer::default();
    let mut own = signer.jwk(Algorithm::ES256);
    let stranger = |n: usize| {
        let mut jwk = Signer::default().jwk(Algorithm::ES256);
        jwk["kid"] = format!("stranger {n}").into();
        jwk
    };
    let strangers: Vec<Value> = (0..8).map(stranger).collect();
    let with = |strangers: &[Value], own: &Value| {
        let mut keys = vec![signer.jwk(Algorithm::RS256)];
        keys.extend_from_slice(strangers);
        keys.push(own.clone());
        let rules = rules(ISSUER, json!({ "algorithms": ["RS256", "ES256"] }));
        verifier(rules, &json!({ "keys": keys }))
    };
    let bare = signer.token(
        Algorithm::ES256,
        r#"{"alg":"ES256"}"#,
        &claims(ISSUER, json!({})),
    );
    assert!(
        with(&strangers[..7], &own)
            .verify(bare.as_bytes(), now())
            .is_ok()
    );
    let ninth = with(&strangers, &own).verify(bare.as_bytes(), now());
    assert_eq!(ninth, Err(Fault::Signature));
    // Two keys of one name are both tried.
    own["kid"] = "stranger 0".into();
    let named = signer.token(
        Algorithm::ES256,
        r#"{"alg":"ES256","kid":"stranger 0"}"#,
        &claims(ISSUER, json!({})),
    );
    assert!(
        with(&strangers, &own)
            .verify(named.as_bytes(), now())
            .is_ok()
    );
}

/// Keys come, serve, and go while the verifier stays.
#[test]
fn rotation() {
    let (old, new) = (Signer::default(), Signer::default());
    let jwk = |signer: &Signer, kid: &str| {
        let mut jwk = signer.jwk(Algorithm::ES256);
        jwk["kid"] = kid.into();
        jwk
    };
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string().into_bytes();
    let token = |signer: &Signer, kid: &str| {
        let header = json!({ "alg": "ES256", "kid": kid }).to_string();
        signer.token(Algorithm::ES256, &header, &claims(ISSUER, json!({})))
    };
    let url = "https://id.example.com/jwks".parse().unwrap();
    let keys = Arc::new(KeySet::remote(url, None, secs(600), secs(30)));
    let rules = rules(
        ISSUER,
        json!({ "algorithms": ["ES256"],
                                      "keys": { "jwks_url": "https://id.example.com/jwks" } }),
    );
    let verifier = Verifier::new([(rules, Arc::clone(&keys))]);
    let (first, second) = (token(&old, "1"), token(&new, "2"));
    let judge = |token: &str, after: u64| {
        let verdict = verifier.verify(token.as_bytes(), secs(NOW + after));
        verdict.err()
    };
    assert_eq!(
        judge(&first, 0),
        Some(Fault::KeysPending),
        "nothing is known yet"
    );
    assert!(keys.is_due(now()));
    keys.fetched(&set(&[jwk(&old, "1")]), now()).unwrap();
    assert_eq!(judge(&first, 1), None);
    assert_eq!(
        judge(&second, 1),
        Some(Fault::UnknownKey),
        "the last fetch was just now"
    );
    assert_eq!(
        judge(&second, 30),
        Some(Fault::KeysPending),
        "now it is asked for"
    );
    assert_eq!(judge(&token(&old, "3"), 30), Some(Fault::KeysPending));
    assert!(keys.is_due(secs(NOW + 30)));
    keys.fetched(&set(&[jwk(&old, "1"), jwk(&new, "2")]), secs(NOW + 31))
        .unwrap();
    assert_eq!((judge(&first, 32), judge(&second, 32)), (None, None));
    assert_eq!(judge(&token(&old, "3"), 32), Some(Fault::UnknownKey));
    // A wrong signature by a known key is no reason to fetch.
    assert_eq!(judge(&token(&new, "1"), 100), Some(Fault::Signature));
    assert!(!keys.is_due(secs(NOW + 100)));
    // The endpoint goes down: what is known serves on.
    assert!(keys.is_due(secs(NOW + 631)));
    keys.failed(secs(NOW + 631));
    assert_eq!((judge(&first, 640), judge(&second, 640)), (None, None));
    // The old key is taken out: its tokens are refused at once, cached or not.
    keys.fetched(&set(&[jwk(&new, "2")]), secs(NOW + 650))
        .unwrap();
    assert_eq!(judge(&second, 651), None);
    assert_ne!(judge(&first, 651), None);
}

#[test]
fn a_key_of_a_file_needs_no_kid() {
    let signer = Signer::default();
    let keys = Keys::from_pem(signer::RSA_PEM.as_bytes(), &[Algorithm::RS256]).unwrap();
    let rules = rules(ISSUER, json!({ "keys": { "pem": "key.pem" } }));
    let verifier = Verifier::new([(rules, Arc::new(KeySet::fixed(keys)))]);
    let good = signer.good(Algorithm::RS256, ISSUER);
    assert!(verifier.verify(good.as_bytes(), now()).is_ok());
}
