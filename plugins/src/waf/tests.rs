//! What the plugin does with what it finds.

use std::time::Duration;

use http::{Request, StatusCode};
use penstock_config::Plugin;

use super::*;
use crate::build::Given;
use crate::chain::{Chain, ChainBuilder};
use crate::dialect::Dialect;
use crate::exchange::Arrival;
use crate::facts::Facts;
use crate::refusal::{Kind, Refusal};

/// The chain of a route: `global` plugins, then `own` ones.
fn chain_of(global: &str, own: &str, shared: &Shared) -> Chain {
    let parse = |text: &str| -> Vec<Plugin> { serde_json::from_str(text).unwrap() };
    let given = Given::default();
    let builder = ChainBuilder::default();
    let builder = builder.plugins(&parse(global), shared, &given).unwrap();
    let builder = builder.for_route().plugins(&parse(own), shared, &given);
    builder.unwrap().build()
}

fn chain(settings: &str) -> Chain {
    chain_of(
        &format!(r#"[{{ "waf": {settings} }}]"#),
        "[]",
        &Shared::default(),
    )
}

fn exchange(client: Option<&str>) -> Exchange {
    Exchange::new(Arrival {
        id: 1,
        client: client.map(|client| client.parse().unwrap()),
        generation: 1,
        at: Duration::ZERO,
        dialect: Dialect::OpenAi,
    })
}

fn post(headers: &[(&str, &str)]) -> request::Parts {
    let request = Request::post("/v1/chat/completions");
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.body(()).unwrap().into_parts().0
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Passes a request as the engine does.
fn pass(chain: &Chain, exchange: &mut Exchange, head: &request::Parts, body: &str) -> Verdict {
    chain.request(exchange, head)?;
    exchange.learn(Facts::of(body.as_bytes()).unwrap_or_default());
    chain.body(exchange, head, &Bytes::from(body.to_owned()))
}

fn refused(settings: &str, head: &request::Parts, body: &str) -> Box<Refusal> {
    let verdict = pass(&chain(settings), &mut exchange(None), head, body);
    verdict.expect_err("it should be refused")
}

fn passes(settings: &str, head: &request::Parts, body: &str) -> bool {
    pass(&chain(settings), &mut exchange(None), head, body).is_ok()
}

fn notes(exchange: &Exchange) -> Vec<(&'static str, &str)> {
    exchange
        .notes()
        .iter()
        .map(|note| (note.name, &*note.value))
        .collect()
}

const ATTACK: &str = r#"{"model":"m","user":"x' or a = b","metadata":{"a":"<script>secret"}}"#;

#[test]
fn an_attack_is_refused_and_told_by_its_rule() {
    let refusal = refused("{}", &post(&[JSON]), ATTACK);
    assert_eq!(refusal.status, StatusCode::FORBIDDEN);
    assert_eq!(
        (refusal.kind, refusal.code),
        (Kind::Permission, "request_blocked")
    );
    assert_eq!(
        refusal.message,
        "This request was blocked by rule PEN-100301."
    );
    assert_eq!(
        refusal.reason,
        "rule PEN-100301 (SQL injection: a condition after a quote) matched body:user"
    );
}

#[test]
fn detection_logs_all_and_lets_pass() {
    let shared = Shared::default();
    let chain = chain_of(r#"[{ "waf": { "mode": "detect" } }]"#, "[]", &shared);
    let mut exchange = exchange(None);
    let head = post(&[
        JSON,
        ("x-tag", "${jndi:ldap://x}"),
        ("user-agent", "sqlmap/1.8"),
    ]);
    pass(&chain, &mut exchange, &head, ATTACK).unwrap();
    let wanted = [
        ("waf_rule", "PEN-100601,PEN-100201,PEN-100301,PEN-100501"),
        (
            "waf_target",
            "header:x-tag,header:user-agent,body:user,body:metadata?a",
        ),
        ("waf_mode", "detect"),
    ];
    assert_eq!(notes(&exchange)[0], wanted[0]);
    assert_eq!(
        notes(&exchange)[1].1.replace("metadata.a", "metadata?a"),
        wanted[1].1
    );
    assert_eq!(notes(&exchange)[2], wanted[2]);
    let counts = shared.alive::<Counts>();
    let counts: Vec<_> = counts[0]
        .iter()
        .map(|(rule, action, count)| (rule.number(), action, count))
        .collect();
    let detected = |rule| (rule, Action::Detect, 1);
    assert_eq!(
        counts,
        [100_201, 100_301, 100_501, 100_601].map(detected),
        "each is counted once"
    );
}

#[test]
fn nothing_that_was_sent_is_logged() {
    let chain = chain(r#"{ "mode": "detect" }"#);
    let mut exchange = exchange(None);
    let request = Request::post("/a?%3Cscript%3Esecret&secret%27--x=secret%27+or+1=1")
        .header("authorization", "Bearer ${jndi:secret}")
        .header("cookie", "se<cret=' or 1=1--secret")
        .header("x-a", "secret' or 1=1");
    let (head, ()) = request.body(()).unwrap().into_parts();
    let body = r#"{"__proto__":{"secret' or 1=1":"x"},"user":"secret<script>"}"#;
    pass(&chain, &mut exchange, &head, body).unwrap();
    let notes = notes(&exchange);
    assert!(notes[0].1.split(',').count() >= 4, "{notes:?}");
    let texts = notes[1].1.replace("secret???x", "");
    for part in ["or 1", "script", "jndi", "'", "<", "%"] {
        assert!(!texts.contains(part), "{part} in {notes:?}");
    }
}

#[test]
fn a_sql_statement_in_a_field_is_noted_and_passes() {
    let shared = Shared::default();
    let chain = chain_of(r#"[{ "waf": {} }]"#, "[]", &shared);
    let mut exchange = exchange(None);
    let body = r#"{"metadata":{"sql":"SELECT a FROM b"}}"#;
    pass(&chain, &mut exchange, &post(&[JSON]), body).unwrap();
    assert_eq!(notes(&exchange)[0], ("waf_rule", "PEN-100390"));
    let counts = shared.alive::<Counts>();
    assert!(
        counts[0]
            .iter()
            .all(|(_, action, _)| action == Action::Detect)
    );
}

#[test]
fn a_route_replaces_the_global_one() {
    let shared = Shared::default();
    let head = post(&[JSON]);
    for (own, lets_pass) in [
        ("[]", false),
        (r#"[{ "waf": { "mode": "off" } }]"#, true),
        (r#"[{ "waf": { "mode": "detect" } }]"#, true),
        (
            r#"[{ "waf": { "rules": { "off": ["PEN-100301", "PEN-100302", "PEN-100501"] } } }]"#,
            true,
        ),
        (
            r#"[{ "request_id": {} }, { "waf": { "mode": "block" } }]"#,
            false,
        ),
    ] {
        let chain = chain_of(r#"[{ "waf": {} }, { "request_id": {} }]"#, own, &shared);
        let verdict = pass(&chain, &mut exchange(None), &head, ATTACK);
        assert_eq!(verdict.is_ok(), lets_pass, "{own}: {verdict:?}");
    }
    let off = chain_of(
        r#"[{ "waf": {} }]"#,
        r#"[{ "waf": { "mode": "off" } }]"#,
        &shared,
    );
    assert!(
        !off.needs_body(),
        "one that is off must not cost the route its streaming"
    );
    let global = chain_of(
        r#"[{ "waf": { "mode": "off" } }]"#,
        r#"[{ "waf": {} }]"#,
        &shared,
    );
    assert!(global.needs_body(), "a route can be stricter too");
}

#[test]
fn fields_have_bounds() {
    let settings =
        r#"{ "fields": { "max_tokens": 100, "n": 2, "messages": 2, "tools": 1, "depth": 3 } }"#;
    let head = post(&[JSON]);
    for (body, rule, part) in [
        (
            r#"{"max_tokens":101}"#,
            "PEN-109001",
            "`max_tokens` may be at most 100 here",
        ),
        (r#"{"max_completion_tokens":1e9}"#, "PEN-109001", "100"),
        (r#"{"max_output_tokens":101}"#, "PEN-109001", "100"),
        (r#"{"n":3}"#, "PEN-109002", "`n` may be at most 2 here"),
        (
            r#"{"messages":[{},{},{}]}"#,
            "PEN-109003",
            "`messages` may have at most 2 elements",
        ),
        (r#"{"tools":[{},{}]}"#, "PEN-109004", "`tools`"),
        (r#"{"a":[[[1]]]}"#, "PEN-109005", "nested at most 3 deep"),
    ] {
        let refusal = refused(settings, &head, body);
        assert_eq!(
            (refusal.status, refusal.kind),
            (StatusCode::BAD_REQUEST, Kind::InvalidRequest),
            "{body}"
        );
        assert!(
            refusal.message.contains(rule) && refusal.message.contains(part),
            "{refusal:?}"
        );
    }
    for body in [
        r#"{"max_tokens":100,"n":2,"messages":[{},{}],"tools":[{}],"a":[[1]]}"#,
        "{}",
        r#"{"max_tokens":-1}"#,
    ] {
        assert!(passes(settings, &head, body), "{body}");
    }
    let off = r#"{ "fields": { "n": 2 }, "rules": { "off": ["PEN-109002"] } }"#;
    assert!(
        passes(off, &head, r#"{"n":3}"#),
        "a bound is a rule that can be off"
    );
}

#[test]
fn bodies_have_sizes_by_their_type() {
    let settings = r#"{ "fields": { "body": { "application/json": "64B", "image/*": "32B", "image/png": "16B", "*/*": "8B" } } }"#;
    for (content_type, most) in [
        ("application/json; charset=utf-8", 64),
        ("Image/GIF", 32),
        ("image/png", 16),
        ("imagex/png", 8),
        ("", 8),
    ] {
        for (bytes, lets_pass) in [(most, true), (most + 1, false)] {
            let body = format!("[{}]", " ".repeat(bytes - 2));
            let head = post(&[("content-type", content_type)]);
            assert_eq!(
                passes(settings, &head, &body),
                lets_pass,
                "{content_type}, {bytes}"
            );
            let length = bytes.to_string();
            let head = post(&[("content-type", content_type), ("content-length", &length)]);
            let verdict = chain(settings).request(&mut exchange(None), &head);
            assert_eq!(
                verdict.is_ok(),
                lets_pass,
                "{content_type}, announced {bytes}"
            );
        }
    }
    let refusal = refused(settings, &post(&[]), "0123456789");
    assert_eq!(
        (refusal.status, refusal.kind),
        (StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLarge)
    );
    assert_eq!(
        refusal.message,
        "The body may have at most 8B here (rule PEN-109006)."
    );
    assert!(passes(
        r#"{ "fields": { "body": { "text/plain": "1B" } } }"#,
        &post(&[]),
        "0123456789"
    ));
}

#[test]
fn addresses_are_allowed_and_denied() {
    let settings =
        r#"{ "addresses": { "allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.6.6.0/24"] } }"#;
    let rule = |client: Option<&str>| {
        let verdict = chain(settings).request(&mut exchange(client), &post(&[]));
        verdict.err().map(|refusal| refusal.message.into_owned())
    };
    assert_eq!(rule(Some("10.1.2.3")), None);
    assert_eq!(rule(Some("::ffff:10.1.2.3")), None);
    assert_eq!(rule(Some("2001:db8::1")), None);
    let denied = rule(Some("10.6.6.6")).unwrap();
    assert!(denied.contains("PEN-109011"), "{denied}");
    for unknown in [Some("192.0.2.1"), Some("::1"), None] {
        let refused = rule(unknown).unwrap();
        assert!(refused.contains("PEN-109012"), "{unknown:?}: {refused}");
    }
}

#[test]
fn agents_are_denied_in_any_letter_case() {
    let settings = r#"{ "agents": { "deny": ["*BadBot*", "curl/*"] } }"#;
    for (agent, lets_pass) in [
        ("Mozilla/5.0 (badbot/2)", false),
        ("CURL/8.0", false),
        ("libcurl/8.0", true),
        ("OpenAI/Python 1.0", true),
    ] {
        assert_eq!(
            passes(settings, &post(&[("user-agent", agent)]), ""),
            lets_pass,
            "{agent}"
        );
    }
    assert!(
        passes(settings, &post(&[]), ""),
        "one without a name is not denied by it"
    );
    let long = format!("{}badbot", "x".repeat(100_000));
    assert!(
        passes(settings, &post(&[("user-agent", &long)]), ""),
        "only the first KiB is read"
    );
}

#[test]
fn a_body_that_cannot_be_judged_is_refused() {
    let refusal = refused("{}", &post(&[JSON, ("content-encoding", "gzip")]), "\u{1f}");
    assert_eq!(refusal.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(passes(
        "{}",
        &post(&[JSON, ("content-encoding", "identity")]),
        "{}"
    ));
    let refusal = refused("{}", &post(&[JSON]), r#"{"user":"x""#);
    assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        refusal.message,
        "The body is not valid JSON (rule PEN-100809)."
    );
    let off = r#"{ "rules": { "off": ["PEN-100809", "PEN-100810"] } }"#;
    assert!(passes(off, &post(&[JSON]), r#"{"user":"x""#));
    assert!(passes(
        off,
        &post(&[JSON, ("content-encoding", "gzip")]),
        "\u{1f}"
    ));
    assert!(
        passes(
            "{}",
            &post(&[("content-type", "audio/wav")]),
            "RIFF' or 1=1"
        ),
        "opaque"
    );
}

#[test]
fn the_host_of_http2_is_looked_at() {
    let request = Request::get("https://a'b.example/x").body(());
    // What the `http` crate itself refuses never gets here.
    if let Ok(request) = request {
        let (head, ()) = request.into_parts();
        assert!(chain("{}").request(&mut exchange(None), &head).is_err());
    }
}
