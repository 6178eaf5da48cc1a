//! Which requests share a key.

mod documents;
mod pairs;

use http::HeaderValue;

use super::*;
use crate::cache::endpoint::Endpoint;

/// What a key is made of, with everything that a test does not name as usual.
#[derive(Clone)]
struct Request {
    tenant: Option<String>,
    route: String,
    upstream: String,
    host: Option<String>,
    model: Option<String>,
    edits: Vec<Vec<u8>>,
    method: Method,
    target: String,
    headers: HeaderMap,
    vary: Vec<HeaderName>,
}

impl Request {
    fn new() -> Self {
        Self {
            tenant: None,
            route: "chat".to_owned(),
            upstream: "vllm".to_owned(),
            host: None,
            model: None,
            edits: Vec::new(),
            method: Method::POST,
            target: "/v1/chat/completions".to_owned(),
            headers: HeaderMap::new(),
            vary: Vec::new(),
        }
    }

    fn key(&self, body: &str) -> CacheKey {
        let body = Canonical::new(body.as_bytes()).unwrap_or_else(|| panic!("{body}"));
        let edits: Vec<&[u8]> = self.edits.iter().map(Vec::as_slice).collect();
        Subject {
            tenant: self.tenant.as_deref(),
            route: &self.route,
            upstream: &self.upstream,
            host: self.host.as_deref(),
            model: self.model.as_deref(),
            edits: &edits,
            method: &self.method,
            path_and_query: &self.target,
            headers: &self.headers,
            vary: &self.vary,
            body: &body,
            ignored: Endpoint::ChatCompletions.ignored(),
        }
        .key()
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }
}

#[test]
fn each_part_of_a_request_changes_its_key() {
    let usual = Request::new();
    let body = r#"{"model":"m","messages":[]}"#;
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = usual.clone();
        change(&mut request);
        request.key(body)
    };
    let text = |text: &str| text.to_owned();
    let keys = [
        usual.key(body),
        with(&|request| request.tenant = Some(text(""))),
        with(&|request| request.tenant = Some(text("anonymous"))),
        with(&|request| request.route = text("chat2")),
        with(&|request| request.upstream = text("vllm2")),
        with(&|request| request.host = Some(text("m"))),
        with(&|request| request.host = Some(text("M"))),
        with(&|request| request.model = Some(text("m"))),
        with(&|request| request.model = Some(text("n"))),
        with(&|request| request.edits = vec![b"x".to_vec()]),
        with(&|request| request.edits = vec![b"x".to_vec(), Vec::new()]),
        with(&|request| request.method = Method::PUT),
        with(&|request| request.target = text("/v1/chat/completions?a=1")),
        with(&|request| request.vary = vec![header::USER_AGENT]),
        usual.clone().header("authorization", "Bearer a").key(body),
        usual.clone().header("authorization", "Bearer b").key(body),
        usual.clone().header("x-api-key", "Bearer a").key(body),
        usual.clone().header("openai-beta", "a").key(body),
        usual.clone().header("openai-beta", "").key(body),
        usual
            .clone()
            .header("accept", "text/event-stream")
            .key(body),
        usual
            .clone()
            .header("anthropic-beta", "a")
            .header("anthropic-beta", "b")
            .key(body),
        usual.clone().header("anthropic-beta", "a, b").key(body),
        usual.key(r#"{"model":"m","messages":[],"stream":true}"#),
        usual.key(r#"{"model":"m"}"#),
        usual.key(r#"{"model":"M","messages":[]}"#),
        usual.key("{}"),
    ];
    for (index, key) in keys.iter().enumerate() {
        let same = keys.iter().position(|other| other == key);
        assert_eq!(same, Some(index), "two of the requests share a key");
    }
}

#[test]
fn what_does_not_change_the_answer_does_not_change_the_key() {
    let usual = Request::new();
    let body = r#"{"model":"m","messages":[]}"#;
    let key = usual.key(body);
    for other in [
        r#"{"messages":[],"model":"m","user":"u"}"#,
        r#"{"user":"v","safety_identifier":1,"prompt_cache_key":null,"metadata":{"user":"x"},"model":"m","messages":[]}"#,
    ] {
        assert_eq!(usual.key(other), key, "{other}");
    }
    assert_ne!(
        usual.key(r#"{"messages":[{"user":"u"}],"model":"m"}"#),
        usual.key(r#"{"messages":[{"user":"v"}],"model":"m"}"#),
        "only outermost fields are left out"
    );
    assert_eq!(usual.clone().header("x-request-id", "7").key(body), key);
    assert_eq!(
        usual.clone().header("cache-control", "max-age=1").key(body),
        key
    );

    let mut named = usual.clone();
    named.tenant = Some("a".to_owned());
    assert_eq!(
        named.clone().header("authorization", "Bearer 1").key(body),
        named.clone().header("authorization", "Bearer 2").key(body),
        "two keys of one tenant"
    );

    let mut renamed = usual.clone();
    renamed.model = Some("m-2025".to_owned());
    assert_eq!(
        renamed.key(r#"{"model":"m"}"#),
        renamed.key(r#"{"model":"alias"}"#),
        "the upstream sees the same model"
    );
}

/// Parts that would be alike if they were written one after the other.
#[test]
fn no_two_lists_of_parts_run_together() {
    let names = [
        "",
        "a",
        "b",
        "c",
        "ab",
        "bc",
        "a|b",
        "b|c",
        "a|b|c",
        "|",
        "a\0",
        "\0a",
        "\0",
        "a\0b",
        "A",
        "a ",
        " a",
        "anonymous",
        "é",
        "e\u{301}",
        "a\u{200b}",
        "\u{1}",
        "null",
        "a:b",
        "a/b",
        "0",
        "1",
        "aa",
        "aaa",
    ];
    let tenants = names.iter().map(|name| Some(*name)).chain([None]);
    let mut keys = std::collections::HashMap::new();
    for tenant in tenants {
        for route in names {
            for upstream in ["", "a", "b|c", "|c"] {
                for model in [None, Some(""), Some("a"), Some("c")] {
                    let request = Request {
                        tenant: tenant.map(str::to_owned),
                        route: route.to_owned(),
                        upstream: upstream.to_owned(),
                        model: model.map(str::to_owned),
                        ..Request::new()
                    };
                    let parts = (tenant, route, upstream, model);
                    let other = keys.insert(request.key("{}").0, parts);
                    assert_eq!(other, None, "{parts:?} has the same key");
                }
            }
        }
    }
}
