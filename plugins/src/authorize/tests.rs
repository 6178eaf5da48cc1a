//! Roles, alone and together.

use std::time::Duration;

use http::Request;

use super::*;
use crate::exchange::Arrival;
use crate::facts::Facts;
use crate::identity::Identity;
use crate::routes::RouteTable;

const ROLES: &str = r#"{ "roles": {
    "admin": { "routes": ["*"] },
    "chat": { "routes": ["chat"], "models": ["gpt-4o*", "llama-3"], "methods": ["POST"] },
    "reader": { "routes": ["chat", "embed*"], "methods": ["GET"] },
    "embed": { "routes": ["embed*"], "models": ["text-*"] },
    "anonymous": { "routes": ["embeddings"], "methods": ["GET"] }
} }"#;

fn authorize(roles: &str) -> Parts {
    Authorize::build(&serde_json::from_str(roles).unwrap())
}

/// What becomes of a request with these roles on a route: its refusal's code, if it is
/// refused. Without roles there is no identity.
fn judge(roles: Option<&[&str]>, method: &str, route: &str, body: &str) -> Option<&'static str> {
    judge_by(&authorize(ROLES), roles, method, route, body)
}

fn judge_by(
    parts: &Parts,
    roles: Option<&[&str]>,
    method: &str,
    route: &str,
    body: &str,
) -> Option<&'static str> {
    let config = format!(
        r#"{{ "upstreams": {{ "u": {{ "endpoints": ["u:1"] }} }},
             "routes": [{{ "name": "{route}", "split": [{{ "upstream": "u" }}] }}] }}"#
    );
    let config = serde_json::from_str(&config).unwrap();
    let table = RouteTable::new(
        &config,
        &crate::Shared::default(),
        &crate::build::Given::default(),
    );
    let mut exchange = Exchange::new(Arrival {
        id: 1,
        client: None,
        generation: 1,
        at: Duration::ZERO,
        dialect: crate::Dialect::OpenAi,
    });
    exchange.enter(table.unwrap().get(0).unwrap());
    if let Some(roles) = roles {
        exchange.identify(Arc::new(Identity {
            key: "k1".into(),
            roles: roles.iter().map(|role| (*role).into()).collect(),
            ..Identity::default()
        }));
    }
    let head = Request::builder()
        .method(method)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let request = parts.request.as_ref().unwrap();
    let verdict = request.request(&mut exchange, &head).and_then(|()| {
        exchange.learn(Facts::of(body.as_bytes()).unwrap_or_default());
        let body = Bytes::copy_from_slice(body.as_bytes());
        let filter = parts.body.as_ref();
        filter.map_or(Ok(()), |filter| filter.body(&mut exchange, &head, &body))
    });
    let refusal = verdict.err()?;
    assert_eq!(
        (refusal.status, refusal.kind),
        (StatusCode::FORBIDDEN, Kind::Permission)
    );
    Some(refusal.code)
}

const GPT: &str = r#"{"model":"gpt-4o-mini"}"#;

#[test]
fn what_no_role_allows_is_refused() {
    for roles in [&[][..], &["unknown"], &["Admin"], &["anonymous"]] {
        assert_eq!(
            judge(Some(roles), "POST", "chat", GPT),
            Some("not_allowed"),
            "{roles:?}"
        );
    }
}

#[test]
fn a_role_allows_what_all_its_conditions_allow() {
    for (roles, method, route, body, refused) in [
        (&["admin"][..], "DELETE", "anything", "[]", None),
        (&["chat"], "POST", "chat", GPT, None),
        (&["chat"], "POST", "chat", r#"{"model":"llama-3"}"#, None),
        (
            &["chat"],
            "POST",
            "chat",
            r#"{"model":"llama-30"}"#,
            Some("model_not_allowed"),
        ),
        (
            &["chat"],
            "POST",
            "chat",
            r#"{"prompt":"x"}"#,
            Some("model_not_allowed"),
        ),
        (
            &["chat"],
            "POST",
            "chat",
            "not JSON",
            Some("model_not_allowed"),
        ),
        (&["chat"], "POST", "chat", "", None),
        (&["chat"], "GET", "chat", "", Some("not_allowed")),
        (&["chat"], "post", "chat", GPT, Some("not_allowed")),
        (&["chat"], "POST", "chat2", GPT, Some("not_allowed")),
        (&["reader"], "GET", "embed-large", "", None),
        (&["nobody", "reader", "chat"], "POST", "chat", GPT, None),
    ] {
        assert_eq!(
            judge(Some(roles), method, route, body),
            refused,
            "{roles:?} {method} {route} {body}"
        );
    }
}

#[test]
fn two_roles_do_not_add_up_to_more_than_each() {
    let both = Some(&["embed", "reader"][..]);
    assert_eq!(
        judge(both, "GET", "embeddings", r#"{"model":"gpt-4o"}"#),
        None,
        "reader alone"
    );
    assert_eq!(
        judge(both, "POST", "embeddings", r#"{"model":"gpt-4o"}"#),
        Some("model_not_allowed"),
        "the one allows the method and the other the model"
    );
    let chat = Some(&["embed", "chat"][..]);
    assert_eq!(
        judge(chat, "POST", "embeddings", GPT),
        Some("model_not_allowed")
    );
}

#[test]
fn without_an_identity_there_is_the_role_anonymous_or_none() {
    assert_eq!(judge(None, "GET", "embeddings", ""), None);
    assert_eq!(judge(None, "POST", "embeddings", ""), Some("not_allowed"));
    let parts = authorize(r#"{ "roles": { "admin": { "routes": ["*"] } } }"#);
    assert_eq!(
        judge_by(&parts, None, "GET", "embeddings", ""),
        Some("not_allowed")
    );
    assert!(
        parts.body.is_none(),
        "no role looks at models, so that bodies need not be read"
    );
}

#[test]
fn what_is_on_no_route_is_not_found_instead_of_forbidden() {
    let parts = authorize(ROLES);
    let mut exchange = Exchange::new(Arrival {
        id: 1,
        client: None,
        generation: 1,
        at: Duration::ZERO,
        dialect: crate::Dialect::Plain,
    });
    let head = Request::get("/").body(()).unwrap().into_parts().0;
    assert!(parts.request.unwrap().request(&mut exchange, &head).is_ok());
}

#[test]
fn a_role_must_allow_the_models_of_path_and_body() {
    let parts = authorize(ROLES);
    let judge = |deployment: &str, body: &str| {
        let config = r#"{ "upstreams": { "u": { "endpoints": ["u:1"] } },
             "routes": [{ "name": "chat", "split": [{ "upstream": "u" }] }] }"#;
        let config = serde_json::from_str(config).unwrap();
        let given = crate::build::Given::default();
        let table = RouteTable::new(&config, &crate::Shared::default(), &given);
        let mut exchange = Exchange::new(Arrival {
            id: 1,
            client: None,
            generation: 1,
            at: Duration::ZERO,
            dialect: crate::Dialect::OpenAi,
        });
        exchange.enter(table.unwrap().get(0).unwrap());
        exchange.identify(Arc::new(Identity {
            key: "k1".into(),
            roles: ["chat".into()].into(),
            ..Identity::default()
        }));
        let path = format!("/openai/deployments/{deployment}/chat/completions");
        exchange.deploy(crate::Deployment::of(&path).unwrap());
        exchange.learn(Facts::of(body.as_bytes()).unwrap_or_default());
        let head = Request::post(path).body(()).unwrap().into_parts().0;
        let body = Bytes::copy_from_slice(body.as_bytes());
        let filter = parts.body.as_ref().unwrap();
        filter
            .body(&mut exchange, &head, &body)
            .err()
            .map(|refusal| refusal.code)
    };
    let refused = Some("model_not_allowed");
    assert_eq!(judge("llama-3", ""), None);
    assert_eq!(judge("llama-3", r#"{"model":"gpt-4o-mini"}"#), None);
    assert_eq!(judge("llama-2", ""), refused, "no body, but a model");
    assert_eq!(judge("llama-3", r#"{"model":"llama-2"}"#), refused);
    assert_eq!(judge("llama-2", r#"{"model":"llama-3"}"#), refused);
}
