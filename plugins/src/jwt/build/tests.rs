//! Issuers as the operator writes them, and the files that they name.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::build::Given;
use crate::jwt::Fault;

const RSA: &str = include_str!("../../../tests/jwt/rsa.pem");
const RSA_1024: &str = include_str!("../../../tests/jwt/rsa1024.pem");
const RSA_KEY: &str = include_str!("../../../tests/jwt/rsa.key.pem");
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6Nj6895elfF5dRTcSqsv652kXP/U
N9/KAzLoAuzeKyObwMyTjgabw8OA0b7Qx9ri80mZ1Z3L2W6xCPsi0LJU+Q==
-----END PUBLIC KEY-----
";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
";

fn build(issuers: Value, files: &[(&str, &str)]) -> Result<Verifier, String> {
    let issuers: Vec<JwtIssuer> = serde_json::from_value(issuers).unwrap();
    let mut given = Given::default();
    for (path, text) in files {
        given
            .files
            .insert(PathBuf::from(path), text.as_bytes().to_vec());
    }
    given.environment.insert("SECRET".into(), "s".repeat(48));
    Verifier::build(&issuers, &Shared::default(), &given).map_err(|error| error.to_string())
}

fn one(algorithms: &[&str], keys: Value) -> Value {
    json!([{ "issuer": "i", "audiences": "any", "algorithms": algorithms, "keys": keys }])
}

fn pem(algorithms: &[&str], text: &str) -> Result<Verifier, String> {
    build(
        one(algorithms, json!({ "pem": "key.pem" })),
        &[("key.pem", text)],
    )
}

fn jwks(algorithms: &[&str], keys: Value) -> Result<Verifier, String> {
    let set = json!({ "keys": keys }).to_string();
    build(
        one(algorithms, json!({ "jwks": "set.json" })),
        &[("set.json", &set)],
    )
}

fn secret(algorithms: &[&str], text: &str) -> Result<Verifier, String> {
    let keys = json!({ "secret": { "file": "secret" } });
    build(one(algorithms, keys), &[("secret", text)])
}

fn refused(verdict: Result<Verifier, String>, part: &str) {
    let message = verdict.expect_err(part);
    assert!(message.contains(part), "{message:?} should say {part:?}");
    assert!(message.starts_with("issuer `i`: ") || message.contains("stands here twice"));
}

#[test]
fn keys_of_pem_files() {
    pem(&["RS256", "RS512"], RSA).unwrap();
    pem(&["PS384"], &format!("{RSA}\n{RSA}")).unwrap();
    pem(&["ES256", "ES384"], P256).unwrap();
    pem(&["EdDSA"], ED25519).unwrap();
    refused(pem(&["RS256"], P256), "it is for another use or algorithm");
    refused(pem(&["ES384"], P256), "it is for another use or algorithm");
    refused(
        pem(&["RS256"], &format!("{RSA}{ED25519}")),
        "key 2 cannot be used",
    );
    refused(pem(&["RS256"], RSA_1024), "shorter than 2048 bits");
    refused(pem(&["RS256"], RSA_KEY), "a private key");
    refused(pem(&["RS256"], ""), "it holds no key");
    refused(pem(&["RS256"], "hello"), "it holds no key");
    refused(
        pem(&["RS256"], &RSA.replace("-----END", "-----")),
        "it is not PEM",
    );
    // Every way to cut the key short or to change its first bytes.
    let body: String = ED25519.lines().nth(1).unwrap().into();
    for cut in (4..body.len()).step_by(4) {
        let text = ED25519.replace(&body, &body[..cut]);
        refused(pem(&["EdDSA"], &text), "cannot be used: ");
    }
}

#[test]
fn keys_of_jwk_sets() {
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed",
                     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let with = |changes: Value| {
        let mut key = ed.clone();
        key.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        jwks(&["EdDSA"], json!([key]))
    };
    let rsa = |n: &str, e: &str| jwks(&["RS256"], json!([{ "kty": "RSA", "n": n, "e": e }]));
    let (long, short) = (
        format!("w{}Q", "A".repeat(340)),
        format!("w{}Q", "A".repeat(169)),
    );
    jwks(
        &["EdDSA"],
        json!([ed.clone(), { "kty": "X" }, 7, ed.clone()]),
    )
    .unwrap();
    with(json!({ "use": "sig", "key_ops": ["verify"], "alg": "EdDSA", "x5t": 1 })).unwrap();
    for other in [
        json!({ "use": "enc" }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": [] }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "none" }),
    ] {
        refused(with(other), "it is for another use or algorithm");
    }
    refused(with(json!({ "x": "AAAA" })), "it is malformed");
    refused(
        with(json!({ "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp" })),
        "it is malformed",
    );
    refused(with(json!({ "d": "AAAA" })), "a private key");
    refused(with(json!({ "crv": "Ed448" })), "not supported");
    refused(with(json!({ "kty": 7 })), "it is malformed");
    refused(with(json!({ "kid": 7 })), "it is malformed");
    refused(rsa(&short, "AQAB"), "shorter than 2048 bits");
    refused(
        rsa(&format!("AAAA{short}"), "AQAB"),
        "shorter than 2048 bits",
    );
    for exponent in ["AQ", "AA", "Ag", "AQAA", "", "AQAAAAE"] {
        refused(rsa(&long, exponent), "RSA exponent");
    }
    let secret = json!({ "kty": "oct", "k": "A".repeat(64) });
    refused(jwks(&["RS256"], json!([secret])), "cannot stand in one set");
    refused(jwks(&["RS256"], json!([])), "it holds no key");
    let many: Vec<_> = (0..257).map(|_| ed.clone()).collect();
    refused(jwks(&["EdDSA"], json!(many)), "more than 256 keys");
    refused(
        jwks(&["ES256"], json!([ed])),
        "none of the keys in set.json",
    );
    let file = |text: &str| {
        build(
            one(&["EdDSA"], json!({ "jwks": "set.json" })),
            &[("set.json", text)],
        )
    };
    refused(file("{}"), "no list of `keys`");
    refused(file(r#"{"keys":[],"keys":[]}"#), "each member once");
    refused(file("<html>"), "each member once");
}

#[test]
fn secrets() {
    secret(&["HS256"], &"s".repeat(32)).unwrap();
    secret(&["HS256", "HS512"], &format!("{}\n", "s".repeat(64))).unwrap();
    refused(secret(&["HS256"], &"s".repeat(31)), "at least 32 bytes");
    refused(
        secret(&["HS256"], &format!("{}\n", "s".repeat(31))),
        "at least 32 bytes",
    );
    refused(secret(&["HS384"], &"s".repeat(47)), "at least 32 bytes");
    refused(
        secret(&["HS256", "HS512"], &"s".repeat(63)),
        "no shorter than the hash",
    );
    refused(secret(&["HS256"], &"s".repeat(4097)), "it is malformed");
    let set = |keys: Value| secret(&["HS256"], &json!({ "keys": keys }).to_string());
    let key = |kid: &str| json!({ "kty": "oct", "kid": kid, "k": "A".repeat(64) });
    set(json!([key("a"), key("b")])).unwrap();
    refused(set(json!([key("a"), key("a")])), "the same `kid`");
    refused(
        set(json!([{ "kty": "oct", "k": "AAAA" }])),
        "at least 32 bytes",
    );
    refused(
        set(json!([key("a"), { "kty": "EC" }])),
        "key 2 cannot be used",
    );
    let verifier = secret(&["HS256"], &"hunter2.".repeat(4)).unwrap();
    assert!(!format!("{verifier:?}").contains("hunter2"), "{verifier:?}");
}

#[test]
fn issuers_have_one_name_each() {
    let keys = json!({ "secret": { "env": "SECRET" } });
    let issuer = one(&["HS256"], keys)[0].clone();
    refused(
        build(json!([issuer, issuer]), &[]),
        "the issuer `i` stands here twice",
    );
}

#[test]
fn keys_of_a_url_are_kept_from_generation_to_generation() {
    let shared = Shared::default();
    let given = Given::default();
    let build = |keys: Value| {
        let issuers: Vec<JwtIssuer> = serde_json::from_value(one(&["EdDSA"], keys)).unwrap();
        Verifier::build(&issuers, &shared, &given).unwrap()
    };
    let url = "https://id.example.com/jwks";
    let first = build(json!({ "jwks_url": url }));
    let sets = shared.alive::<KeySet>();
    assert_eq!(sets.len(), 1);
    sets[0].fetched(
        br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
        Duration::from_secs(1),
    )
    .unwrap();
    drop(sets);
    let second = build(json!({ "jwks_url": url, "refresh": "1m" }));
    drop(first);
    let sets = shared.alive::<KeySet>();
    assert!(
        sets.len() == 1 && sets[0].is_ready(),
        "the keys are still there"
    );
    assert!(sets[0].is_due(Duration::from_secs(61)), "at the new pace");
    drop(sets);
    let third = build(json!({ "jwks_url": url, "ca": "ca.pem" }));
    assert_eq!(
        shared.alive::<KeySet>().len(),
        2,
        "other authorities are other keys"
    );
    drop((second, third));
    assert!(shared.alive::<KeySet>().is_empty(), "nobody names them");
}

#[test]
fn without_keys_the_token_is_not_at_fault() {
    let issuers = one(
        &["EdDSA"],
        json!({ "jwks_url": "https://id.example.com/jwks" }),
    );
    let verifier = build(issuers, &[]).unwrap();
    // {"alg":"EdDSA"}.{"iss":"i"}
    let token = b"eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJpIn0.AAAA";
    let fault = verifier.verify(token, Duration::from_secs(1)).unwrap_err();
    assert_eq!(fault, Fault::KeysPending);
    assert!(fault.is_passing());
}
