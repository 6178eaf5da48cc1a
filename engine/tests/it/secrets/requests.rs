//! Requests of every kind, good and bad.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Request;

use super::site::{EXPIRED, KEY, LIMITED, PROMPT, STRANGER};
use crate::harness::client::{Body, get, post, with};

pub(super) fn bearer(request: Request<Body>, key: &str) -> Request<Body> {
    with(request, "authorization", &format!("Bearer {key}"))
}

pub(super) fn chat(model: &str) -> Request<Body> {
    let body =
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
    post(CHAT, body)
}

fn streamed() -> Request<Body> {
    let body = format!(
        r#"{{"model":"simulator-small","stream":true,"messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#
    );
    post(CHAT, body)
}

pub(super) const CHAT: &str = "/v1/chat/completions";

/// Requests of every kind, good and bad.
pub(super) fn requests(tokens: &[String]) -> Vec<Request<Body>> {
    let small = || chat("simulator-small");
    let mut requests = Vec::new();
    for key in [KEY, STRANGER, EXPIRED, LIMITED] {
        for header in ["x-api-key", "api-key", "x-goog-api-key"] {
            requests.push(with(small(), header, key));
        }
        requests.push(bearer(small(), key));
    }
    requests.extend(tokens.iter().map(|token| bearer(small(), token)));
    requests.extend([
        small(),
        with(bearer(small(), KEY), "x-api-key", STRANGER),
        with(small(), "authorization", &basic(KEY)),
        bearer(small(), &format!("{KEY} {STRANGER}")),
        with(small(), "authorization", KEY),
        bearer(small(), &format!("{KEY}.{STRANGER}.{EXPIRED}")),
        get(&format!("{CHAT}?api_key={KEY}&key={STRANGER}")),
        bearer(get(&format!("/v1/models?key={PROMPT}&q={PROMPT}")), KEY),
        bearer(get(&format!("/elsewhere?key={STRANGER}")), KEY),
        bearer(
            get(&format!("/v1/files?q=%3Cscript%3E{PROMPT}%3C/script%3E")),
            KEY,
        ),
        with(
            bearer(get("/v1/models"), KEY),
            "cookie",
            &format!("k={PROMPT}"),
        ),
        bearer(chat("marked"), KEY),
        bearer(chat("marked"), KEY),
        bearer(chat("nobody"), KEY),
        bearer(chat("other"), LIMITED),
        bearer(
            post("/openai/deployments/other/chat/completions", PROMPT),
            LIMITED,
        ),
        bearer(post("/openai/Deployments/x/chat/completions", PROMPT), KEY),
    ]);
    requests.extend(bodies());
    requests.extend(faults());
    requests
}

/// Bodies that cannot be read, must not be, or are too large.
fn bodies() -> Vec<Request<Body>> {
    let mut requests = Vec::new();
    let bodies = [
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{PROMPT}"#),
        format!(r#"{{"model":"m","model":"{PROMPT}"}}"#),
        format!(r#"{{"model":5,"{PROMPT}":"{PROMPT}"}}"#),
        format!(r#"{{"model":"m","user":"{PROMPT}' or 1=1--","messages":[]}}"#),
        format!(r#"{{"model":"m","max_tokens":"{PROMPT}","messages":[]}}"#),
        PROMPT.repeat(1000),
        PROMPT.to_owned(),
    ];
    for body in bodies {
        requests.push(bearer(post(CHAT, body.clone()), KEY));
        requests.push(with(
            bearer(post(CHAT, body), KEY),
            "content-type",
            "text/plain",
        ));
    }
    requests
}

/// Requests whose upstream fails, each in its way.
fn faults() -> Vec<Request<Body>> {
    let mut requests = Vec::new();
    for fault in [
        "refuse",
        "reset; after=1",
        "cut; after=1",
        "500",
        "429",
        "malformed",
        "stall; at=head",
    ] {
        requests.push(with(bearer(streamed(), KEY), "x-simulate", fault));
        let fresh = with(
            bearer(chat("simulator-small"), KEY),
            "cache-control",
            "no-cache",
        );
        requests.push(with(fresh, "x-simulate", fault));
    }
    requests
}

fn basic(key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("user:{key}")))
}
