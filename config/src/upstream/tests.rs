//! What may be written of an upstream.

use super::*;
use crate::parse;

fn refused(upstream: &str) -> String {
    let text = format!("upstreams:\n  a:\n    endpoints: [\"h:1\"]\n{upstream}");
    match parse(&text) {
        Ok(config) => panic!("{upstream} was read as {config:?}"),
        Err(report) => report.render("f", &text),
    }
}

#[test]
fn what_makes_no_sense_of_a_choice_is_refused_at_its_place() {
    for (upstream, wanted) in [
        ("    balance: hash\n", "f:4:14: `hash` needs `affinity`"),
        (
            "    affinity: consumer\n",
            "f:4:5: `affinity` has no effect with `balance: round_robin`",
        ),
        (
            "    balance: latency\n    affinity: { header: x-a }\n",
            "f:5:5: `affinity` has no effect with `balance: latency`",
        ),
        (
            "    balance: hash\n    affinity: { header: x-a, consumer: 1 }\n",
            "f:5:15: exactly one of the keys",
        ),
        ("    balance: hash\n    affinity: address\n", "f:5:15:"),
        (
            "    balance: hash\n    affinity: { prompt: { bytes: 8 } }\n",
            "f:5:34: `8` is out of range",
        ),
        ("    balance: random\n", "f:4:14:"),
        ("    slow_start: 5\n", "f:4:17:"),
    ] {
        let told = refused(upstream);
        assert!(told.contains(wanted), "{upstream}{told}");
    }
    let text = "upstreams:\n  a:\n    endpoints: [{ address: \"h:1\", max_requests: 0 }]\n";
    let told = parse(text).unwrap_err().render("f", text);
    assert!(told.contains("`0` is out of range"), "{told}");
}

#[test]
fn what_makes_no_sense_of_health_is_refused_at_its_place() {
    for (upstream, wanted) in [
        (
            "    ejection: never\n",
            "f:4:15: `never` is neither `off` nor",
        ),
        (
            "    ejection: { failures: 0 }\n",
            "f:4:27: `0` is out of range",
        ),
        (
            "    ejection: { max_percent: 101 }\n",
            "f:4:30: `101` is out of range",
        ),
        (
            "    ejection: { time: 1m, max_time: 30s }\n",
            "f:4:37: an endpoint is left alone for `1m` at first, and for `30s` at most",
        ),
        ("    ejection: { time: 1h }\n", "f:4:23:"),
        (
            "    ejection: { error_rate: { percent: 0 } }\n",
            "f:4:40: `0` is out of range",
        ),
        (
            "    ejection: { latency: { factor: 1 } }\n",
            "f:4:36: `1` is out of range",
        ),
        (
            "    ejection: { latency: { requests: 0 } }\n",
            "f:4:38: `0` is out of range",
        ),
        ("    ejection: { latency: { floor: 0s } }\n", "f:4:35:"),
        (
            "    health_check: { path: health }\n",
            "f:4:27: `health` is not a path",
        ),
        ("    health_check: { path: \"/a?b#c\" }\n", "f:4:27:"),
        ("    health_check: { statuses: [] }\n", "f:4:31:"),
        (
            "    health_check: { statuses: [100] }\n",
            "f:4:32: `100` is out of range",
        ),
        (
            "    health_check: { healthy: 0 }\n",
            "f:4:30: `0` is out of range",
        ),
    ] {
        let told = refused(upstream);
        assert!(told.contains(wanted), "{upstream}{told}");
    }
}

#[test]
fn what_is_said_of_endpoints_reads_back() {
    let text = "server: { zone: a }\nupstreams:\n  a:\n    endpoints: [{ address: \"h:1\", zone: b, max_requests: 7 }]\n    balance: hash\n    affinity: consumer\n    slow_start: 1m\n    ejection: off\n    health_check: { path: \"/a?b=c\" }\n";
    let config = parse(text).unwrap();
    let upstream = &config.upstreams["a"];
    assert_eq!(upstream.ejection, Ejection::Off);
    assert_eq!(upstream.affinity, Some(Affinity::Consumer));
    let check = upstream.health_check.as_ref().unwrap();
    assert_eq!((check.path.as_str(), check.unhealthy), ("/a?b=c", 3));
    let yaml = crate::to_yaml(&config);
    assert_eq!(parse(&yaml).unwrap(), config, "{yaml}");
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(
        serde_json::from_str::<crate::Config>(&json).unwrap(),
        config
    );
    assert_eq!(
        parse("upstreams:\n  a: { endpoints: [\"h:1\"], ejection: false }\n")
            .unwrap()
            .upstreams["a"]
            .ejection,
        Ejection::Off
    );
}

fn credentials(text: &str) -> Result<Vec<Credential>, String> {
    let text = format!("upstreams:\n  a:\n    endpoints: [\"h:1\"]\n    credentials: {text}\n");
    match parse(&text) {
        Ok(config) => Ok(config.upstreams["a"].credentials.clone()),
        Err(report) => Err(report.render("f", &text)),
    }
}

#[test]
fn a_credential_says_which_header_carries_it() {
    let read = credentials(
        "[{ bearer: { env: A }, name: main, weight: 3 }, { azure: { file: /a } }, \
         { google: { env: A } }, { anthropic: { env: A } }, \
         { header: { name: X-Key, value: { env: A } }, weight: 0 }]",
    )
    .unwrap();
    let told: Vec<_> = read
        .iter()
        .map(|c| (c.kind.scheme(), c.to_string(), c.weight.get()))
        .collect();
    let env = "environment variable A";
    assert_eq!(
        told,
        [
            ("Bearer ", format!("authorization from {env}"), 3),
            ("", "api-key from file /a".to_owned(), 1),
            ("", format!("x-goog-api-key from {env}"), 1),
            ("", format!("x-api-key from {env}"), 1),
            ("", format!("x-key from {env}"), 0),
        ]
    );
    assert_eq!(
        read[0].name.as_ref().map(|name| name.as_str()),
        Some("main")
    );
}

#[test]
fn a_credential_that_makes_no_sense_is_refused_at_its_place() {
    for (text, wanted) in [
        ("[{ weight: 1 }]", "f:4:19: a credential is one of"),
        (
            "[{ bearer: { env: A }, azure: { env: A } }]",
            "f:4:19: a credential is one of",
        ),
        ("[{ baerer: { env: A } }]", "f:4:21: unknown key `baerer`"),
        (
            "[{ header: { name: host, value: { env: A } } }]",
            "set by the proxy itself",
        ),
        (
            "[{ header: { name: content-length, value: { env: A } } }]",
            "set by the proxy itself",
        ),
        ("[]", "at least one"),
        (
            "[{ bearer: { env: A }, weight: 0 }]",
            "every credential has the weight 0",
        ),
        (
            "[{ bearer: { env: A }, name: x }, { bearer: { env: B }, name: x }]",
            "two credentials are named `x`",
        ),
    ] {
        let refused = credentials(text).expect_err(text);
        assert!(refused.contains(wanted), "{text}: {refused}");
    }
    let many = vec!["{ bearer: { env: A } }"; 65].join(", ");
    assert!(
        credentials(&format!("[{many}]"))
            .unwrap_err()
            .contains("too many")
    );
}

#[test]
fn a_literal_credential_is_refused_without_repeating_it() {
    const LITERAL: &str = "sk-very-secret-0123456789";
    for text in [
        format!("[{{ bearer: {LITERAL} }}]"),
        format!("[{{ header: {{ name: x-key, value: {LITERAL} }} }}]"),
        format!("[{{ azure: {{ value: {LITERAL} }} }}]"),
        format!("[{{ google: {{ env: {LITERAL} }} }}]"),
    ] {
        let refused = credentials(&text).expect_err(&text);
        assert!(!refused.contains(LITERAL), "{refused}");
    }
}

#[test]
fn a_fifth_of_the_requests_may_be_tried_again_unless_told_otherwise() {
    let config = parse("upstreams: { a: { endpoints: [\"h:1\"] } }").unwrap();
    let budgets = config.upstreams.values().map(|a| a.retry_budget.get());
    assert!(budgets.eq([20]));
}
