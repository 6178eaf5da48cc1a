//! Which rules may be written.

use super::*;
use crate::{Plugin, parse};

fn read(text: &str) -> Result<Headers, String> {
    let text = format!("chain:\n  - headers: {text}\n");
    let config = parse(&text).map_err(|report| report.render("f", &text))?;
    match config.chain.into_iter().next() {
        Some(Plugin::Headers(headers)) => Ok(headers),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rules_are_read_in_order() {
    let headers = read(
        r#"{ request: [{ set: { X-Team: "{tenant}", x-b: b } }, { remove: x-debug }, { add: { via: "1.1 p" } }],
             response: [{ remove: server }, { add: { x-who: "{consumer}" } }] }"#,
    )
    .unwrap();
    let [
        HeaderRule::Set(set),
        HeaderRule::Remove(name),
        HeaderRule::Add(_),
    ] = headers.request.as_slice()
    else {
        panic!("{headers:?}")
    };
    let names: Vec<_> = set.keys().map(HeaderName::as_str).collect();
    assert_eq!((names, name.as_str()), (vec!["x-b", "x-team"], "x-debug"));
    assert_eq!(
        headers.response.len(),
        2,
        "an answer's header cannot be forged by a client"
    );
}

#[test]
fn templates_come_back_as_they_were_written() {
    for text in [
        "plain",
        "{tenant}",
        "a {consumer}/{tenant} {{literal}} {claim:https://x/y}!",
        "{roles}{key}{route}{model}{request_id}{client_address}",
        "}}{{",
    ] {
        let template: Template = text.parse().unwrap();
        assert_eq!(template.to_string(), text);
    }
    let template: Template = "a{{b{tenant}".parse().unwrap();
    assert_eq!(
        template.pieces(),
        [
            Piece::Text("a{b".to_owned()),
            Piece::Variable(Variable::Tenant)
        ]
    );
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    for (text, wanted) in [
        (
            r#"{ request: [{ set: { x-a: "{tennant}" } }] }"#,
            "f:2:40: `{tennant}` is not a header's value: `{tennant}` is not known: there are",
        ),
        (
            r#"{ request: [{ set: { x-a: "{tenant" } }] }"#,
            "is not closed",
        ),
        (
            r#"{ request: [{ set: { x-a: "tenant}" } }] }"#,
            "closes nothing",
        ),
        (
            r#"{ request: [{ set: { x-a: "{claim:}" } }] }"#,
            "names no claim",
        ),
        (
            r#"{ request: [{ set: { x-a: "a\r\nb: c" } }] }"#,
            "a header cannot hold '\\r'",
        ),
        (
            r#"{ request: [{ set: { x-a: "é" } }] }"#,
            "a header cannot hold 'é'",
        ),
        (r#"{ request: [{ set: { x-a: "" } }] }"#, "write `remove`"),
        (
            r#"{ request: [{ set: { x-a: " a" } }] }"#,
            "would not arrive",
        ),
        (r#"{ request: [{ set: {} }] }"#, "no header is named"),
        (
            r#"{ request: [{ set: { x-a: a, X-A: b } }] }"#,
            "`x-a` stands here twice",
        ),
        (
            r#"{ request: [{ set: { content-length: "1" } }] }"#,
            "f:2:35: `content-length` is set by the proxy itself",
        ),
        (
            r#"{ response: [{ remove: transfer-encoding }] }"#,
            "set by the proxy itself",
        ),
        (
            r#"{ request: [{ add: { host: a } }] }"#,
            "set by the proxy itself",
        ),
        (
            r#"{ request: [{ set: { authorization: "Bearer x" } }] }"#,
            "under `credentials` of the upstream",
        ),
        (
            r#"{ request: [{ add: { x-a: "{tenant}" } }] }"#,
            "use `set`",
        ),
        (
            r#"{ request: [{ replace: { x-a: b } }] }"#,
            "`replace` is not one of the choices",
        ),
        (r#"{ requests: [] }"#, "unknown key `requests`"),
    ] {
        let refused = read(text).expect_err(text);
        assert!(refused.contains(wanted), "{text}: {refused}");
    }
}
