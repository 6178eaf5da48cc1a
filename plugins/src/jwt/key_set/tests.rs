//! When keys are fetched, with a clock in hand.

use serde_json::json;

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fetched every ten minutes, at most twice a minute.
fn key_set() -> KeySet {
    let url = "https://id.example.com/jwks".parse().unwrap();
    KeySet::remote(url, None, at(600), at(30))
}

fn jwks(kids: &[&str]) -> Vec<u8> {
    let key = |kid: &&str| {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid,
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" })
    };
    let keys: Vec<_> = kids.iter().map(key).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

fn ids(set: &KeySet) -> String {
    format!("{:?}", set.snapshot().keys)
}

#[test]
fn keys_are_fetched_at_once_and_then_as_often_as_configured() {
    let set = key_set();
    assert!(!set.is_ready());
    assert!(set.is_due(at(1_000)));
    assert!(!set.is_due(at(1_001)), "one fetch at a time");
    set.fetched(&jwks(&["a"]), at(1_002)).unwrap();
    assert!(set.is_ready());
    assert!(!set.is_due(at(1_601)));
    assert!(set.is_due(at(1_602)));
    set.fetched(&jwks(&["a"]), at(1_603)).unwrap();
    let status = set.status().unwrap();
    assert_eq!((status.fetched, status.keys), (2, 1));
    assert_eq!(status.fetched_at, Some(at(1_603)));
}

#[test]
fn a_fetch_that_nobody_reports_on_is_taken_for_lost() {
    let set = key_set();
    assert!(set.is_due(at(1_000)));
    assert!(!set.is_due(at(1_059)));
    assert!(set.is_due(at(1_060)));
}

#[test]
fn a_thousand_unknown_keys_ask_for_one_fetch_per_cooldown() {
    let set = key_set();
    assert!(set.is_due(at(0)));
    set.fetched(&jwks(&["a"]), at(1)).unwrap();
    for second in 2..30 {
        assert!(!set.want(at(second)), "the last fetch was just now");
        assert!(!set.is_due(at(second)));
    }
    for _ in 0..1_000 {
        assert!(set.want(at(30)), "it is worth to ask again");
    }
    assert!(set.is_due(at(30)));
    for _ in 0..1_000 {
        assert!(set.want(at(31)), "a fetch is going on");
        assert!(!set.is_due(at(31)));
    }
    set.fetched(&jwks(&["a", "b"]), at(32)).unwrap();
    for second in 32..60 {
        assert!(!set.want(at(second)) && !set.is_due(at(second)));
    }
    assert!(set.want(at(60)) && set.is_due(at(60)));
}

#[test]
fn old_keys_serve_while_the_url_does_not_answer() {
    let set = key_set();
    assert!(set.is_due(at(0)));
    set.fetched(&jwks(&["a"]), at(0)).unwrap();
    let before = ids(&set);
    let mut now = 600;
    // From the cooldown up to the refresh, doubled each time.
    for pause in [30, 60, 120, 240, 480, 600, 600] {
        assert!(set.is_due(at(now)), "at {now}");
        set.failed(at(now));
        assert!(!set.is_due(at(now + pause - 1)), "before {now} and {pause}");
        assert_eq!(ids(&set), before);
        now += pause;
    }
    assert!(set.is_due(at(now)));
    assert!(set.fetched(b"<html>", at(now)).is_err());
    assert_eq!(ids(&set), before, "garbage replaces nothing");
    now += 600;
    assert!(set.is_due(at(now)));
    set.fetched(&jwks(&["b"]), at(now)).unwrap();
    assert_ne!(ids(&set), before);
    assert!(set.is_due(at(now + 600)), "all is as it was");
    let status = set.status().unwrap();
    assert_eq!((status.fetched, status.failed, status.unusable), (2, 7, 1));
}

#[test]
fn without_any_keys_it_is_tried_sooner() {
    let set = key_set();
    let mut now = 0;
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        assert!(set.is_due(at(now)), "at {now}");
        set.failed(at(now));
        assert!(!set.is_ready() && !set.is_due(at(now + pause - 1)));
        now += pause;
    }
}

#[test]
fn a_changed_pace_holds_from_the_last_fetch() {
    let set = key_set();
    assert!(set.is_due(at(0)));
    set.fetched(&jwks(&["a"]), at(0)).unwrap();
    set.set_pace(at(60), at(10));
    assert!(!set.is_due(at(59)));
    assert!(set.is_due(at(60)));
}

#[test]
fn only_another_set_makes_another_generation() {
    let set = key_set();
    let generation = || set.snapshot().generation;
    assert_eq!(generation(), 0);
    for (kids, expected) in [
        (["a", "b"], 1),
        (["a", "b"], 1),
        (["a", "c"], 2),
        (["c", "a"], 3),
    ] {
        set.fetched(&jwks(&kids), at(1)).unwrap();
        assert_eq!(generation(), expected, "{kids:?}");
    }
}

#[test]
fn keys_of_a_file_are_never_due() {
    let set = KeySet::fixed(Keys::from_jwks(&jwks(&["a"])).unwrap());
    assert!(set.is_ready() && !set.is_due(at(0)) && !set.want(at(0)));
    assert_eq!((set.source(), set.status()), (None, None));
    set.fetched(&jwks(&["b"]), at(1)).unwrap();
    set.failed(at(1));
    assert!(ids(&set).contains("\"a\""));
}
