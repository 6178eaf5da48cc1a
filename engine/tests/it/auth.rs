//! Who may ask, and for what: API keys and roles.

use std::path::Path;

use http::{HeaderValue, Request};
use penstock::transport::Transport;
use penstock_plugins::authenticate::hash;
use penstock_simulator::Simulator;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::client::{Answer, BOTH, Body, Client, Http, get, post, with};
use crate::harness::process::ProxyProcess;
use crate::harness::{Proxy, config, replace, simulator};

on_both!(
    a_key_is_taken_from_every_header_and_goes_no_further,
    strangers_are_refused_before_anything_else,
    two_credentials_are_one_too_many,
    a_key_opens_what_it_and_its_roles_allow,
    a_path_with_a_model_opens_what_a_body_with_it_would,
    without_a_key_where_that_is_allowed,
    the_upstream_is_told_who_asks_if_the_operator_wants_it,
    keys_are_read_again_at_a_signal,
    requests_carry_names_in_the_log_and_no_key_anywhere,
);

const KEY: &str = "psk_dGhpcyBpcyBub3QgYSBrZXkgb2YgYW55Ym9keQ";
const OTHER: &str = "psk_bm9yIGlzIHRoaXMgb25lIGEga2V5IG9mIGFueQ";
const STRANGER: &str = "psk_YW5kIHRoaXMgb25lIGlzIGtub3duIHRvIG5vbmU";

/// Two keys: one that may do everything, one that may do little.
fn two_keys() -> String {
    format!(
        "- {{ hash: '{}', consumer: search, tenant: acme, id: k-search, roles: [admin] }}
- {{ hash: '{}', consumer: trial, roles: [chat], models: [small] }}\n",
        hash(KEY.as_bytes()),
        hash(OTHER.as_bytes())
    )
}

const ROLES: &str = "- authorize: { roles: {
    admin: { routes: ['*'] },
    chat: { routes: [chat], models: [small, large], methods: [POST] },
    anonymous: { routes: [open] } } }";

/// A folder with a file of keys, and the part of a configuration that uses it.
struct Site {
    folder: TempDir,
    upstream: Simulator,
}

impl Site {
    fn new(keys: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.yaml"), keys).unwrap();
        Site {
            folder,
            upstream: simulator(&[]),
        }
    }

    fn keys(&self) -> std::path::PathBuf {
        self.folder.path().join("keys.yaml")
    }

    /// The parts of the configuration besides `server`; `more` goes to `authenticate`.
    fn rest(&self, more: &str) -> String {
        format!(
            "chain:
- authenticate: {{ keys: {{ file: \"{}\" }}, {more} }}
{ROLES}
upstreams:
  a: {{ endpoints: [\"{}\"] }}
routes:
- {{ name: chat, match: {{ path: {{ prefix: /v1/chat }} }}, split: [{{ upstream: a }}] }}
- {{ name: messages, match: {{ path: {{ prefix: /v1/messages }} }}, split: [{{ upstream: a }}] }}
- {{ name: open, match: {{ path: {{ prefix: /plain }} }}, split: [{{ upstream: a }}] }}\n",
            self.keys().display(),
            self.upstream.address()
        )
    }

    async fn serve(&self, transport: Transport, more: &str) -> Proxy {
        let limits = "limits: { request_body: 1KiB }";
        Proxy::start(&config(transport, limits, &self.rest(more))).await
    }
}

/// Each over a connection of its own: after some errors the proxy closes it.
async fn answer(proxy: &Proxy, http: Http, request: Request<Body>) -> Answer {
    let mut client = Client::connect(proxy.address(), http).await;
    client.answer(request).await
}

fn bearer(request: Request<Body>, key: &str) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {key}"))
}

fn chat_with(model: &str) -> Request<Body> {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hi"}}]}}"#);
    post("/v1/chat/completions", body)
}

/// Class and code of an error in OpenAI's shape.
fn openai(answer: &Answer) -> (u16, String, String) {
    let value: Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |key: &str| value["error"][key].as_str().unwrap_or_default().to_owned();
    assert!(!text("message").is_empty(), "{value}");
    (answer.status.as_u16(), text("type"), text("code"))
}

/// Class of an error in Anthropic's shape.
fn anthropic(answer: &Answer) -> (u16, String) {
    let value: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(value["type"], "error", "{value}");
    let class = value["error"]["type"].as_str().unwrap_or_default();
    (answer.status.as_u16(), class.to_owned())
}

async fn a_key_is_taken_from_every_header_and_goes_no_further(transport: Transport) {
    let site = Site::new(&two_keys());
    let proxy = site.serve(transport, "").await;
    for http in BOTH {
        for request in [
            bearer(chat_with("m"), KEY),
            with(chat_with("m"), "x-api-key", KEY),
            with(chat_with("m"), "api-key", KEY),
            with(chat_with("m"), "x-goog-api-key", KEY),
            with(bearer(get("/plain"), KEY), "x-api-key", KEY),
        ] {
            let request = with(request, "x-penstock-tenant", "other");
            let request = with(request, "x-penstock-roles", "admin");
            let answer = answer(&proxy, http, request).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(!format!("{answer:?}").contains(KEY), "{answer:?}");
        }
    }
    let recorded = site.upstream.recorded();
    assert_eq!(recorded.len(), 10);
    for request in recorded {
        for name in [
            "authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "x-penstock-tenant",
            "x-penstock-roles",
        ] {
            assert!(!request.headers.contains_key(name), "{name} went upstream");
        }
    }
}

async fn strangers_are_refused_before_anything_else(transport: Transport) {
    let site = Site::new(&two_keys());
    let proxy = site.serve(transport, "").await;
    for http in BOTH {
        for (path, body) in [
            ("/v1/chat/completions", "{}".to_owned()),
            ("/v1/no/such/route", "{}".to_owned()),
            ("/v1/chat/completions", "x".repeat(1025)),
            ("/v1/chat/completions", r#"{"model":5}"#.to_owned()),
        ] {
            let nobody = answer(&proxy, http, post(path, body.clone())).await;
            let told = openai(&nobody);
            let missing = (401, "authentication_error".into(), "missing_api_key".into());
            assert_eq!(told, missing, "{path}");
            assert_eq!(nobody.header("www-authenticate"), "Bearer");
            let stranger = answer(&proxy, http, bearer(post(path, body), STRANGER)).await;
            let told = openai(&stranger);
            let invalid = (401, "authentication_error".into(), "invalid_api_key".into());
            assert_eq!(told, invalid, "{path}");
            let challenge = stranger.header("www-authenticate");
            assert_eq!(challenge, r#"Bearer error="invalid_token""#);
            assert!(!stranger.text().contains("psk_"), "{stranger:?}");
        }
        let request = with(post("/v1/messages", "{}"), "x-api-key", STRANGER);
        let told = anthropic(&answer(&proxy, http, request).await);
        assert_eq!(told, (401, "authentication_error".to_owned()));
        let plain = answer(&proxy, http, get("/elsewhere")).await;
        assert_eq!(plain.status, 401);
        assert!(
            plain.text().starts_with("No API key was given."),
            "{plain:?}"
        );
        let known = answer(&proxy, http, bearer(get("/v1/no/such/route"), KEY)).await;
        assert_eq!(known.status, 404, "who is known learns of routes");
    }
    assert_eq!(site.upstream.requests(), 0);
}

async fn two_credentials_are_one_too_many(transport: Transport) {
    let site = Site::new(&two_keys());
    let proxy = site.serve(transport, "").await;
    for http in BOTH {
        let mut twice = bearer(chat_with("m"), KEY);
        let value = HeaderValue::from_str(&format!("Bearer {KEY}")).unwrap();
        twice.headers_mut().append("authorization", value);
        for request in [
            twice,
            with(bearer(chat_with("m"), KEY), "x-api-key", OTHER),
            with(
                with(chat_with("m"), "authorization", "Basic YTpi"),
                "api-key",
                KEY,
            ),
        ] {
            let told = openai(&answer(&proxy, http, request).await);
            assert_eq!((told.0, told.2.as_str()), (401, "invalid_api_key"));
        }
    }
    assert_eq!(site.upstream.requests(), 0);
}

async fn a_key_opens_what_it_and_its_roles_allow(transport: Transport) {
    let site = Site::new(&two_keys());
    let proxy = site.serve(transport, "").await;
    for http in BOTH {
        let small = answer(&proxy, http, bearer(chat_with("small"), OTHER)).await;
        assert_eq!(small.status, 200, "{small:?}");
        for (request, code) in [
            (chat_with("large"), "model_not_allowed"),
            (chat_with("Small"), "model_not_allowed"),
            (post("/v1/chat/completions", "{}"), "model_not_allowed"),
            (post("/v1/chat/completions", "[]"), "model_not_allowed"),
            (get("/v1/chat/completions"), "not_allowed"),
        ] {
            let told = openai(&answer(&proxy, http, bearer(request, OTHER)).await);
            assert_eq!(told, (403, "permission_error".into(), code.into()));
        }
        let hidden = with(chat_with("small"), "content-type", "text/plain");
        let told = openai(&answer(&proxy, http, bearer(hidden, OTHER)).await);
        assert_eq!(
            told.2, "model_not_allowed",
            "a body of another type is not looked into"
        );
        let request = with(
            post("/v1/messages", r#"{"model":"small"}"#),
            "x-api-key",
            OTHER,
        );
        let told = anthropic(&answer(&proxy, http, request).await);
        assert_eq!(told, (403, "permission_error".to_owned()));
    }
    assert_eq!(site.upstream.requests(), 2);
}

async fn a_path_with_a_model_opens_what_a_body_with_it_would(transport: Transport) {
    let site = Site::new(&two_keys());
    let rest = site
        .rest("")
        .replace("routes: [chat]", "routes: [chat, azure]");
    let (models, routes) = rest.split_once("routes:\n").unwrap();
    let azure = "- { name: azure, match: { path: { prefix: /openai } }, split: [{ upstream: a }] }";
    let text = format!("{models}routes:\n{azure}\n{routes}");
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    for http in BOTH {
        for (deployment, body, status) in [
            ("small", "", true),
            ("small", "{}", true),
            ("small", r#"{"model":"small"}"#, true),
            ("%73mall", "{}", true),
            ("small", r#"{"model":"large"}"#, false),
            ("large", r#"{"model":"small"}"#, false),
            ("large", "{}", false),
            ("large", "", false),
            ("huge", "", false),
            ("Small", "{}", false),
        ] {
            let path = format!("/openai/deployments/{deployment}/chat/completions");
            let requests = site.upstream.requests();
            let answer = answer(&proxy, http, bearer(post(&path, body), OTHER)).await;
            let refused = answer.status == 403 && openai(&answer).2 == "model_not_allowed";
            assert_eq!(!refused, status, "{path} {body}: {answer:?}");
            assert_eq!(site.upstream.requests() > requests, status, "{path} {body}");
        }
        // What has one spelling after all is what it is, the rest is refused.
        for (path, status) in [
            ("/openai/deployments/small/../large/chat/completions", 403),
            ("/openai/./deployments/large/chat/completions", 403),
            ("/openai//deployments/large/chat/completions", 403),
            ("/openai/%64eployments/large/chat/completions", 403),
            (
                "/openai/deployments/small%2F..%2Flarge/chat/completions",
                400,
            ),
            ("/openai/Deployments/large/chat/completions", 400),
        ] {
            let requests = site.upstream.requests();
            let request = bearer(post(path, r#"{"model":"small"}"#), OTHER);
            let answer = answer(&proxy, http, request).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
            assert_eq!(site.upstream.requests(), requests, "{path}");
        }
    }
}

async fn without_a_key_where_that_is_allowed(transport: Transport) {
    let site = Site::new(&two_keys());
    let proxy = site.serve(transport, "anonymous: allow").await;
    for http in BOTH {
        assert_eq!(answer(&proxy, http, get("/plain")).await.status, 200);
        let elsewhere = answer(&proxy, http, chat_with("small")).await;
        assert_eq!(
            openai(&elsewhere).0,
            403,
            "the role `anonymous` opens one route"
        );
        let wrong = answer(&proxy, http, bearer(get("/plain"), STRANGER)).await;
        assert_eq!(wrong.status, 401, "a wrong key is not overlooked");
    }
}

async fn the_upstream_is_told_who_asks_if_the_operator_wants_it(transport: Transport) {
    let site = Site::new(&two_keys());
    let proxy = site.serve(transport, "identity_headers: true").await;
    for http in BOTH {
        let request = with(bearer(get("/plain"), KEY), "x-penstock-tenant", "other");
        assert_eq!(answer(&proxy, http, request).await.status, 200);
    }
    for request in site.upstream.recorded() {
        for (name, value) in [
            ("x-penstock-consumer", "search"),
            ("x-penstock-tenant", "acme"),
            ("x-penstock-key", "k-search"),
            ("x-penstock-roles", "admin"),
        ] {
            let values: Vec<_> = request.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name}");
        }
    }
}

async fn keys_are_read_again_at_a_signal(transport: Transport) {
    let site = Site::new(&two_keys());
    let mut proxy = ProxyProcess::start(transport, "", &site.rest("")).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    let status = async |client: &mut Client, key| {
        let answer = client.answer(bearer(get("/plain"), key)).await;
        answer.status.as_u16()
    };
    assert_eq!(status(&mut client, KEY).await, 200);
    assert_eq!(status(&mut client, STRANGER).await, 401);

    // The stranger's key takes the place of the other.
    let turned = hash(STRANGER.as_bytes()).to_string();
    let turned = two_keys().replace(&hash(KEY.as_bytes()).to_string(), &turned);
    replace(&site.keys(), &turned);
    proxy.process.signal(Signal::HUP);
    proxy.process.line("configuration reloaded").await;
    assert_eq!(
        status(&mut client, KEY).await,
        401,
        "on the same connection"
    );
    assert_eq!(status(&mut client, STRANGER).await, 200);

    let place = format!("{}:3:11", site.keys().display());
    for wrong in [
        format!("{turned}- {{ hash: {OTHER}, consumer: x }}\n"),
        String::new(),
    ] {
        replace(&site.keys(), &wrong);
        proxy.process.signal(Signal::HUP);
        let place = if wrong.is_empty() {
            "no keys are in the file"
        } else {
            &place
        };
        let line = proxy.process.line(place).await;
        assert!(!line.contains(OTHER), "{line}");
        assert_eq!(
            status(&mut client, STRANGER).await,
            200,
            "the old keys serve on"
        );
    }
}

async fn requests_carry_names_in_the_log_and_no_key_anywhere(transport: Transport) {
    let site = Site::new(&two_keys());
    let log = "log: { format: json, access: on }\nadmin: \"127.0.0.1:0\"";
    let mut proxy = ProxyProcess::start(transport, log, &site.rest("")).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address, http).await;
        for request in [
            bearer(chat_with("m"), KEY),
            bearer(chat_with("large"), OTHER),
            bearer(chat_with("m"), STRANGER),
            with(bearer(chat_with("m"), KEY), "x-api-key", STRANGER),
        ] {
            client.answer(request).await;
        }
    }
    let mut emitted = String::new();
    for page in ["/metrics", "/config"] {
        emitted.push_str(proxy.page(page).await.text());
    }
    proxy.process.signal(Signal::TERM);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    let lines = proxy.process.lines();
    emitted.push_str(&lines.join("\n"));
    for key in [KEY, OTHER, STRANGER] {
        assert!(!emitted.contains(key), "a key was told");
    }
    let requests = lines.iter().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["message"] == "request").then_some(line)
    });
    let requests: Vec<Value> = requests.collect();
    assert_eq!(requests.len(), 8);
    for four in requests.chunks(4) {
        assert_eq!(four[0]["consumer"], "search", "{}", four[0]);
        assert_eq!(four[0]["tenant"], "acme");
        assert_eq!(four[0]["key"], "k-search");
        assert_eq!(four[1]["consumer"], "trial");
        assert!(
            four[1]["reason"].as_str().unwrap().contains("trial-"),
            "{}",
            four[1]
        );
        assert_eq!(four[2]["reason"], "an unknown key");
        assert!(four[2]["consumer"].is_null(), "{}", four[2]);
        assert_eq!(four[3]["reason"], "more than one credential");
    }
    assert!(Path::new(&site.keys()).exists());
}
