//! What may be written of an upstream.

use super::*;
use crate::parse;

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
