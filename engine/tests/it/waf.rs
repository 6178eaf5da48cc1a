//! The firewall before real upstreams: what is refused never leaves, what is not leaves
//! as it came.

use http::Request;
use penstock::transport::Transport;
use penstock_simulator::Simulator;
use serde_json::Value;

use crate::harness::client::{Answer, BOTH, Body, Client, Http, get, post, whole, with};
use crate::harness::{Proxy, config, simulator};

on_both!(
    attacks_are_refused_before_the_upstream,
    errors_come_in_the_callers_shape,
    prompts_pass_byte_for_byte,
    routes_choose_their_mode,
    what_matched_is_counted,
    a_reload_changes_the_rules_and_keeps_the_counts,
);

const CHAT: &str = "/v1/chat/completions";
const ATTACK: &str =
    r#"{"model":"m","user":"1' or 1=1--","messages":[{"role":"user","content":"Hi"}]}"#;

struct Guarded {
    proxy: Proxy,
    upstream: Simulator,
    text: String,
}

impl Guarded {
    /// A proxy with a firewall, whose routes `/detect` and `/off` have their own.
    async fn start(transport: Transport, settings: &str) -> Guarded {
        let upstream = simulator(&[]);
        let rest = format!(
            "chain:\n  - waf: {{ {settings} }}\nupstreams:\n  up: {{ endpoints: [\"{}\"] }}\nroutes:
  - {{ name: detect, match: {{ headers: {{ x-mode: detect }} }}, chain: [{{ waf: {{ mode: detect }} }}], split: [{{ upstream: up }}] }}
  - {{ name: off, match: {{ headers: {{ x-mode: \"off\" }} }}, chain: [{{ waf: {{ mode: off }} }}], split: [{{ upstream: up }}] }}
  - {{ name: rest, split: [{{ upstream: up }}] }}\n",
            upstream.address()
        );
        let text = config(transport, "", &rest);
        Guarded {
            proxy: Proxy::start(&text).await,
            upstream,
            text,
        }
    }

    async fn answer(&self, http: Http, request: Request<Body>) -> Answer {
        let mut client = Client::connect(self.proxy.address(), http).await;
        client.answer(request).await
    }

    fn matches(&self, rule: &str, action: &str) -> f64 {
        let labels = [format!("rule=\"{rule}\""), format!("action=\"{action}\"")];
        let labels = labels.each_ref().map(String::as_str);
        self.proxy.metric("penstock_waf_matches_total", &labels)
    }
}

async fn attacks_are_refused_before_the_upstream(transport: Transport) {
    let guarded = Guarded::start(
        transport,
        "fields: { max_tokens: 10, body: { \"*/*\": 64KiB } }",
    )
    .await;
    for http in BOTH {
        for (request, status, rule) in [
            (post(CHAT, ATTACK), 403, "PEN-100301"),
            (post(CHAT, r#"{"max_tokens":11}"#), 400, "PEN-109001"),
            (post(CHAT, "x".repeat(65 * 1024)), 413, "PEN-109006"),
            (
                get("/v1/files?id=1%20union%20select%201,2"),
                403,
                "PEN-100303",
            ),
            (get("/.git/config"), 403, "PEN-100202"),
            (
                with(get("/v1/models"), "user-agent", "sqlmap/1.8"),
                403,
                "PEN-100201",
            ),
            (
                with(post(CHAT, "{}"), "x-a", "${jndi:ldap://x}"),
                403,
                "PEN-100601",
            ),
        ] {
            let answer = guarded.answer(http, request).await;
            assert_eq!(answer.status, status, "{rule} over {http:?}: {answer:?}");
            assert!(answer.text().contains(rule), "{rule}: {answer:?}");
        }
    }
    assert_eq!(guarded.upstream.requests(), 0, "nothing of them left");
}

async fn errors_come_in_the_callers_shape(transport: Transport) {
    let guarded = Guarded::start(transport, "").await;
    for http in BOTH {
        let answer = guarded.answer(http, post(CHAT, ATTACK)).await;
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(value["error"]["code"], "request_blocked", "{value}");
        assert_eq!(value["error"]["type"], "permission_error", "{value}");
        let answer = guarded.answer(http, post("/v1/messages", ATTACK)).await;
        let value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.status.as_u16(), &value["type"]),
            (403, &"error".into()),
            "{value}"
        );
        assert_eq!(value["error"]["type"], "permission_error", "{value}");
        assert!(
            !answer.text().contains("1=1"),
            "what was sent is not repeated"
        );
    }
}

async fn prompts_pass_byte_for_byte(transport: Transport) {
    let guarded = Guarded::start(transport, "").await;
    let prompt = r#"{ "model":"m",  "messages":[{"role":"user","content":"' OR 1=1; DROP TABLE x -- <script>alert(1)</script> ${jndi:ldap://x} ../../etc/passwd \u0027"}],"tools":[{"type":"function","function":{"name":"sh","description":"; rm -rf /"}}] }"#;
    for http in BOTH {
        guarded.upstream.forget_recorded();
        let answer = guarded.answer(http, post(CHAT, prompt)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(guarded.upstream.recorded()[0].body, prompt);
    }
}

async fn routes_choose_their_mode(transport: Transport) {
    let guarded = Guarded::start(transport, "").await;
    for http in BOTH {
        for (mode, status) in [("detect", 200), ("off", 200), ("block", 403)] {
            let request = with(post(CHAT, ATTACK), "x-mode", mode);
            assert_eq!(guarded.answer(http, request).await.status, status, "{mode}");
        }
    }
    assert_eq!(guarded.matches("PEN-100301", "detect"), 2.0);
    assert_eq!(guarded.matches("PEN-100301", "block"), 2.0);
}

async fn what_matched_is_counted(transport: Transport) {
    let guarded = Guarded::start(transport, "").await;
    let trace = Request::builder().method("TRACE").uri("/");
    guarded.answer(Http::One, get("/.env")).await;
    guarded.answer(Http::One, get("/.git/HEAD")).await;
    let answer = guarded
        .answer(Http::One, trace.body(whole("")).unwrap())
        .await;
    assert!(answer.status.is_client_error(), "{answer:?}");
    assert_eq!(guarded.matches("PEN-100202", "block"), 2.0);
    assert_eq!(guarded.matches("PEN-100301", "block"), 0.0);
}

async fn a_reload_changes_the_rules_and_keeps_the_counts(transport: Transport) {
    let guarded = Guarded::start(transport, "").await;
    guarded.answer(Http::One, get("/.env")).await;
    let lenient = guarded
        .text
        .replacen("waf: {  }", "waf: { rules: { off: [PEN-100202] } }", 1);
    assert_ne!(lenient, guarded.text);
    guarded.proxy.reload(&lenient).await.unwrap();
    let answer = guarded.answer(Http::One, get("/.env")).await;
    assert_ne!(answer.status, 403, "{answer:?}");
    assert_eq!(guarded.matches("PEN-100202", "block"), 1.0);
    let wrong = guarded
        .text
        .replacen("waf: {  }", "waf: { rules: { off: [PEN-1] } }", 1);
    let why = guarded.proxy.reload(&wrong).await.unwrap_err();
    assert!(why.contains("PEN-1"), "{why}");
}
