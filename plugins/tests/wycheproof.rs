//! Project Wycheproof's vectors for JSON Web Signatures and Keys, judged by the code
//! that judges clients' tokens.
//!
//! They are not part of this repository (<https://github.com/C2SP/wycheproof>,
//! `testvectors_v1/json_web_{signature,key}_test.json`). They are looked for where
//! `WYCHEPROOF` points, else beside the workspace in `../shared/corpora/wycheproof`;
//! where there are none the tests say so and pass.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::io::Write;
use std::path::{Path, PathBuf};

use penstock_config::plugin::jwt::Algorithm;
use penstock_plugins::jwt::{Compact, Keys};
use serde_json::{Value, json};

/// Vectors that are judged otherwise than they say, and why.
const EXCEPTIONS: [(u64, &str); 8] = [
    (346, KEY_FOR_PS256),
    (350, KEY_FOR_PS256),
    (347, ES512),
    (351, ES512),
    (367, WITHOUT_PADDING),
    (370, WITHOUT_PADDING),
    (372, OUTSIDE_THE_ALPHABET),
    (373, OUTSIDE_THE_ALPHABET),
];
/// A key for PS256 is not used for PS384 (RFC 7517 section 4.4, RFC 8725 section 3.1).
/// With the `alg` that the token has, the same key accepts it.
const KEY_FOR_PS256: &str = "valid by a key whose `alg` is another";
/// On P-521, which is not offered; and the key's `alg`, `ES521`, is no algorithm.
const ES512: &str = "valid by an algorithm that is not offered";
/// The padding that the vector is about is not in it: it is byte for byte the same as
/// a valid one (C2SP/wycheproof#236), which is 372 without its `?`.
const WITHOUT_PADDING: &str = "invalid, but the same token as a valid one";
/// `?` is not in the alphabet, and other vectors (361, 371) agree that it is wrong.
const OUTSIDE_THE_ALPHABET: &str = "valid with a character that is not base64url";

fn corpus(file: &str) -> Option<Value> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/wycheproof");
    let folder = std::env::var_os("WYCHEPROOF").map_or(beside, PathBuf::from);
    match std::fs::read(folder.join(file)) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(error) => {
            // Straight to the terminal: a skipped test must not look like one that passed.
            let place = folder.display();
            let _ = writeln!(std::io::stderr(), "{file} is skipped: {place}: {error}");
            None
        }
    }
}

/// Whether production accepts a token by the keys of a group, with every algorithm of
/// their family allowed.
fn accepts(group: &Value, token: &str) -> bool {
    let keys = match (&group["public"], &group["private"]) {
        (Value::Null, private) => private,
        (public, _) => public,
    };
    let set = match keys.get("keys") {
        Some(_) => keys.clone(),
        None => json!({ "keys": [keys] }),
    };
    let of_secret = |algorithm: &Algorithm| algorithm.as_str().starts_with("HS");
    let secret = set["keys"][0]["kty"] == "oct";
    let mut algorithms = Algorithm::ALL.to_vec();
    algorithms.retain(|algorithm| of_secret(algorithm) == secret);
    let text = set.to_string();
    let keys = match secret {
        // Secrets are given with the algorithm that they are for: a key of 32 bytes is
        // rightly refused where HS512 is to be served too.
        true => {
            let alg = set["keys"][0]["alg"].as_str().unwrap();
            algorithms.retain(|algorithm| algorithm.as_str() == alg);
            Keys::from_secret(text.as_bytes(), &algorithms)
        }
        false => Keys::from_jwks(text.as_bytes()),
    };
    let Ok(keys) = keys else { return false };
    let compact = Compact::parse(token.as_bytes());
    compact.is_ok_and(|compact| keys.verify(&compact, &algorithms).is_ok())
}

fn run(file: &str, at_least: usize) {
    let Some(corpus) = corpus(file) else { return };
    let mut judged = 0;
    for group in corpus["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            // Some are in JSON serialization, which is not the compact one: as text
            // they must be refused like anything else.
            let token = match &test["jws"] {
                Value::String(token) => token.clone(),
                other => other.to_string(),
            };
            let valid = match test["result"].as_str().unwrap() {
                "valid" => true,
                "invalid" => false,
                other => panic!("{file} {id}: {other} is no verdict that we know"),
            };
            let exception = EXCEPTIONS.iter().find(|(of, _)| *of == id);
            let expected = valid != exception.is_some();
            assert_eq!(
                accepts(group, &token),
                expected,
                "{file} {id} ({}): {token}",
                test["comment"]
            );
            judged += 1;
        }
    }
    assert!(judged >= at_least, "{file} has {judged} vectors only");
    eprintln!("{file}: {judged} vectors judged");
}

#[test]
fn signatures() {
    run("json_web_signature_test.json", 250);
}

#[test]
fn keys() {
    run("json_web_key_test.json", 15);
}

/// The exceptions are what their reasons say.
#[test]
fn exceptions() {
    let Some(corpus) = corpus("json_web_signature_test.json") else {
        return;
    };
    let vector = |wanted: u64| {
        let groups = corpus["testGroups"].as_array().unwrap().iter();
        let mut tests = groups.flat_map(|group| {
            let tests = group["tests"].as_array().unwrap().iter();
            tests.map(move |test| (group, test))
        });
        let found = tests.find(|(_, test)| test["tcId"] == wanted);
        let (group, test) = found.unwrap_or_else(|| panic!("there is no vector {wanted}"));
        (group, test["jws"].as_str().unwrap())
    };
    for (id, why) in EXCEPTIONS {
        let (group, token) = vector(id);
        match why {
            KEY_FOR_PS256 => {
                let mut group = group.clone();
                group["public"]["alg"] = "PS384".into();
                assert!(accepts(&group, token), "{id}: {why}");
            }
            ES512 => assert_eq!(group["public"]["crv"], "P-521", "{id}: {why}"),
            WITHOUT_PADDING => {
                assert_eq!(token, vector(372).1.replace('?', ""), "{id}: {why}");
            }
            _ => {
                assert!(accepts(group, &token.replace('?', "")), "{id}: {why}");
            }
        }
    }
}
