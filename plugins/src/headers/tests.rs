//! What is asked for, by rule.

use std::time::Duration;

use http::Request;

use super::*;
use crate::dialect::Dialect;
use crate::edit::Edit;
use crate::exchange::Arrival;
use crate::facts::Facts;
use crate::identity::Identity;

fn plugin(text: &str) -> Parts {
    parts(&serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn head(headers: &[(&str, &str)]) -> request::Parts {
    let mut request = Request::get("/v1/chat/completions");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

const ARRIVAL: Arrival = Arrival {
    id: 7,
    client: None,
    generation: 1,
    at: Duration::ZERO,
    dialect: Dialect::OpenAi,
};

fn exchange() -> Exchange {
    Exchange::new(ARRIVAL)
}

fn identity() -> Identity {
    Identity {
        consumer: "Åsa".into(),
        tenant: "acme corp".into(),
        key: "k-1".into(),
        roles: Box::new(["reader".into(), "a,admin".into()]),
        metadata: [
            ("plan".into(), "100%".into()),
            ("bad".into(), "a\r\nx-admin: 1".into()),
        ]
        .into(),
        ..Identity::default()
    }
}

fn shown(edits: &HeaderEdits) -> Vec<String> {
    let shown = edits.iter().map(|edit| match edit {
        Edit::Set(name, value) => format!("{name}={}", value.to_str().unwrap()),
        Edit::Add(name, value) => format!("{name}+{}", value.to_str().unwrap()),
        Edit::Remove(name) => format!("{name}-"),
    });
    shown.collect()
}

/// What the head filter asks for, of the request and of the answer.
fn asked(text: &str, exchange: &mut Exchange, head: &request::Parts) -> (Vec<String>, Vec<String>) {
    let filter = plugin(text).request.expect("a request filter");
    filter.request(exchange, head).unwrap();
    (shown(&exchange.request), shown(&exchange.response))
}

#[test]
fn rules_are_asked_for_in_order() {
    let (request, response) = asked(
        r#"{"request": [{"set": {"x-b": "1", "x-a": "2 {{x}}"}}, {"remove": "x-debug"}, {"add": {"via": "1.1 p"}}],
            "response": [{"remove": "server"}, {"set": {"x-frame-options": "DENY"}}]}"#,
        &mut exchange(),
        &head(&[]),
    );
    assert_eq!(request, ["x-a=2 {x}", "x-b=1", "x-debug-", "via+1.1 p"]);
    assert_eq!(response, ["server-", "x-frame-options=DENY"]);
}

#[test]
fn what_is_known_is_filled_in_and_cannot_break_out() {
    let mut exchange = exchange();
    exchange.identify(Arc::new(identity()));
    let (request, _) = asked(
        r#"{"request": [{"set": {"x-1": "{consumer}", "x-2": "t={tenant}; k={key}", "x-3": "{roles}",
            "x-4": "{claim:plan}", "x-5": "{claim:bad}", "x-6": "{request_id}"}}]}"#,
        &mut exchange,
        &head(&[]),
    );
    assert_eq!(
        request,
        [
            "x-1=%C3%85sa",
            "x-2=t=acme%20corp; k=k-1",
            "x-3=reader,a%2Cadmin",
            "x-4=100%25",
            "x-5=a%0D%0Ax-admin:%201",
            "x-6=00000000-0000-4000-8000-000000000007",
        ]
    );
}

#[test]
fn the_address_is_the_clients_and_nobody_elses() {
    let rules = r#"{"request": [{"set": {"x-forwarded-for": "{client_address}"}}]}"#;
    let forged = head(&[("x-forwarded-for", "192.0.2.1"), ("x_forwarded_for", "::1")]);
    let mut known = Exchange::new(Arrival {
        client: Some("2001:db8::7".parse().unwrap()),
        ..ARRIVAL
    });
    let (mut request, _) = asked(rules, &mut known, &forged);
    request.sort();
    assert_eq!(request, ["x-forwarded-for=2001:db8::7", "x_forwarded_for-"]);
    let (mut request, _) = asked(rules, &mut exchange(), &forged);
    request.sort();
    assert_eq!(request, ["x-forwarded-for-", "x_forwarded_for-"]);
}

#[test]
fn the_identifier_is_the_one_that_the_log_has() {
    let mut exchange = exchange();
    exchange.note(request_id::NOTE, "from-the-client");
    let rules = r#"{"response": [{"set": {"x-r": "{request_id}"}}]}"#;
    let (_, response) = asked(rules, &mut exchange, &head(&[]));
    assert_eq!(response, ["x-r=from-the-client"]);
}

#[test]
fn what_is_not_known_is_removed_so_that_nobody_can_forge_it() {
    let rules = r#"{"request": [{"set": {"x-team": "{tenant}"}}, {"set": {"x-claim": "{claim:none}"}},
        {"set": {"x-route": "{route}"}}, {"set": {"x-roles": "{roles}"}}, {"add": {"x-also": "{route}"}}]}"#;
    let forged = head(&[("x-team", "other")]);
    let (request, _) = asked(rules, &mut exchange(), &forged);
    assert_eq!(request, ["x-team-", "x-claim-", "x-route-", "x-roles-"]);
    let mut anonymous = exchange();
    anonymous.identify(Arc::new(Identity::default()));
    let (request, _) = asked(rules, &mut anonymous, &forged);
    assert_eq!(request[0], "x-team-", "an empty name is none");
}

#[test]
fn names_that_servers_take_for_the_same_are_removed() {
    let mut exchange = exchange();
    exchange.identify(Arc::new(identity()));
    let head = head(&[
        ("x_real-team", "a"),
        ("X-Real_Team", "b"),
        ("x-real-team", "c"),
        ("x_other", "d"),
    ]);
    let rules = r#"{"request": [{"set": {"x-real-team": "{key}"}}]}"#;
    let (mut request, _) = asked(rules, &mut exchange, &head);
    assert_eq!(request.pop().unwrap(), "x-real-team=k-1", "ours comes last");
    request.sort();
    assert_eq!(request, ["x-real_team-", "x_real-team-"]);
}

#[test]
fn rules_that_name_the_model_wait_for_the_body() {
    let plugin = plugin(
        r#"{"request": [{"set": {"x-model": "{model}"}}, {"remove": "x-a"}], "response": [{"remove": "x-b"}]}"#,
    );
    let mut exchange = exchange();
    let (head, body) = (head(&[]), Bytes::from_static(br#"{"model":"m\n/1"}"#));
    plugin
        .request
        .unwrap()
        .request(&mut exchange, &head)
        .unwrap();
    assert_eq!(shown(&exchange.request), Vec::<String>::new());
    assert_eq!(shown(&exchange.response), ["x-b-"]);
    exchange.learn(Facts::of(&body).unwrap());
    plugin
        .body
        .unwrap()
        .body(&mut exchange, &head, &body)
        .unwrap();
    assert_eq!(shown(&exchange.request), ["x-model=m%0A/1", "x-a-"]);
}

#[test]
fn a_value_that_grew_too_long_is_not_sent() {
    let mut exchange = exchange();
    exchange.identify(Arc::new(Identity {
        tenant: "é".repeat(5000).into(),
        ..Identity::default()
    }));
    let rules = r#"{"request": [{"set": {"x-team": "{tenant}"}}]}"#;
    assert_eq!(asked(rules, &mut exchange, &head(&[])).0, ["x-team-"]);
}

#[test]
fn no_rule_is_no_role() {
    let plugin = plugin("{}");
    assert!(plugin.request.is_none() && plugin.body.is_none());
}
