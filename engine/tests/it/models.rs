//! Routing by the model that a request names, and giving it another name upstream.

use bytes::Bytes;
use http::Request;
use penstock::transport::Transport;

use crate::harness::client::{BOTH, Client, Http, get, pieces, post, whole};
use crate::harness::{Proxy, config, simulator};

on_both!(
    requests_go_where_their_model_is,
    only_the_name_of_the_model_changes,
    a_body_that_cannot_be_understood_is_refused,
    a_body_without_a_model_goes_to_the_next_route,
    what_is_not_json_is_not_looked_at,
    the_model_of_a_path_is_routed_by,
);

fn models(llama: &str, rest: &str) -> String {
    format!(
        "upstreams:\n  llama: {{ endpoints: [\"{llama}\"] }}\n  rest: {{ endpoints: [\"{rest}\"] }}\nroutes:
  - {{ name: llama, match: {{ models: [\"llama-*\", \"meta-llama/*\"] }}, split: [{{ upstream: llama }}] }}
  - {{ name: renamed, match: {{ models: [small] }}, split: [{{ upstream: llama, model: \"Qwen/Qwen2.5 \\\"7B\\\"\" }}] }}
  - {{ name: rest, split: [{{ upstream: rest }}] }}\n"
    )
}

/// What the model `small` is called upstream, as JSON.
const RENAMED: &str = r#""Qwen/Qwen2.5 \"7B\"""#;

/// Two upstreams, `llama` and `rest`, behind a proxy.
macro_rules! fleet {
    ($transport:expr => $proxy:ident, $llama:ident, $rest:ident) => {
        let $llama = simulator(&[("name", "llama")]);
        let $rest = simulator(&[("name", "rest")]);
        let routes = models(&$llama.address().to_string(), &$rest.address().to_string());
        let $proxy = Proxy::start(&config($transport, "", &routes)).await;
    };
}

async fn requests_go_where_their_model_is(transport: Transport) {
    fleet!(transport => proxy, _llama, _rest);
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for (model, upstream) in [
            ("llama-3", "llama"),
            ("meta-llama/Llama-3.1-8B", "llama"),
            ("small", "llama"),
            ("llama", "rest"),
            ("smaller", "rest"),
            ("ll\\u0061ma-3", "llama"),
        ] {
            let body = format!(r#"{{"messages":[],"model":"{model}"}}"#);
            let answer = client.answer(post("/echo", body)).await;
            assert_eq!(answer.upstream(), upstream, "{model} over {http:?}");
        }
    }
}

async fn only_the_name_of_the_model_changes(transport: Transport) {
    fleet!(transport => proxy, llama, _rest);
    let filling = "é\\n ".repeat(50_000);
    let before =
        format!("{{ \"messages\" : [\"{filling}\", {{\"model\":\"inner\"}}],\t\"model\" : ");
    let after = " , \"n\":1.0e0,\"stop\":[ ]\r\n}";
    let sent = Bytes::from(format!("{before}\"small\"{after}"));
    let wanted = format!("{before}{RENAMED}{after}");
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for body in [whole(sent.clone()), pieces(&sent, &[1, 8191, 3, 70_001])] {
            let request = Request::post("/echo").header("content-type", "application/json");
            let answer = client.answer(request.body(body).unwrap()).await;
            assert_eq!(answer.upstream(), "llama");
            assert!(answer.body == wanted, "bytes around the name changed");
            assert_eq!(answer.header("x-request-framing"), "content-length");
        }
    }
    let recorded = llama.recorded();
    assert!(recorded.iter().all(|request| request.body == wanted));
}

async fn a_body_that_cannot_be_understood_is_refused(transport: Transport) {
    fleet!(transport => proxy, llama, rest);
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for body in [
            r#"{"model":"small","model":"llama-3"}"#,
            r#"{"model":"small","mod\u0065l":"llama-3"}"#,
            r#"{"model":"small""#,
            r#"{"model":small}"#,
            r#"{"model":"small","max_tokens":1,"max_tokens":9000}"#,
            r#"{"model":"small","Max_Tokens":9000}"#,
            r#"{"model":"small","stream":"yes"}"#,
            r#"{"model":"small"} trailing"#,
        ] {
            let answer = client.answer(post("/v1/chat/completions", body)).await;
            assert_eq!(answer.status, 400, "{body} over {http:?}: {answer:?}");
            assert_eq!(answer.error_code(), "invalid_json", "{body}");
        }
        let good = client.answer(post("/echo", r#"{"model":"small"}"#)).await;
        assert_eq!(good.status, 200, "the connection goes on");
    }
    assert_eq!(rest.requests() + llama.requests(), 2, "only the good ones");
}

async fn a_body_without_a_model_goes_to_the_next_route(transport: Transport) {
    fleet!(transport => proxy, _llama, _rest);
    let mut client = Client::connect(proxy.address(), Http::One).await;
    for body in [
        "{}",
        r#"{"prompt":"model"}"#,
        "[1]",
        r#"{"a":{"model":"small"}}"#,
    ] {
        let answer = client.answer(post("/echo", body)).await;
        assert_eq!(answer.upstream(), "rest", "{body}");
        assert_eq!(answer.text(), body);
    }
    assert_eq!(client.answer(get("/plain")).await.upstream(), "rest");
}

async fn what_is_not_json_is_not_looked_at(transport: Transport) {
    fleet!(transport => proxy, _llama, _rest);
    let mut client = Client::connect(proxy.address(), Http::One).await;
    for (content_type, upstream) in [
        ("application/json; charset=utf-8", "llama"),
        ("Application/JSON", "llama"),
        ("application/vnd.api+json", "llama"),
        ("text/plain", "rest"),
        ("multipart/form-data; boundary=x", "rest"),
        ("application/jsonl", "rest"),
    ] {
        let request = Request::post("/echo").header("content-type", content_type);
        let request = request.body(whole(r#"{"model":"small"}"#)).unwrap();
        let answer = client.answer(request).await;
        assert_eq!(answer.upstream(), upstream, "{content_type}");
    }
}

async fn the_model_of_a_path_is_routed_by(transport: Transport) {
    fleet!(transport => proxy, _llama, rest);
    for http in BOTH {
        for (deployment, body, upstream) in [
            ("llama-3", "{}", "llama"),
            ("llama-3", r#"{"model":"other"}"#, "llama"),
            ("other", r#"{"model":"llama-3"}"#, "rest"),
            ("%6Clama-3", "", "llama"),
            ("other/../llama-3", "{}", "llama"),
        ] {
            let path = format!("/openai/deployments/{deployment}/chat/completions");
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(post(&path, body)).await;
            assert_eq!(answer.upstream(), upstream, "{path} {body} over {http:?}");
        }
        for path in [
            "/OpenAI/deployments/llama-3/chat/completions",
            "/openai/deployments/llama%2F3/chat/completions",
        ] {
            let mut client = Client::connect(proxy.address(), http).await;
            let seen = rest.requests();
            let answer = client.answer(post(path, "{}")).await;
            assert_eq!(answer.status, 400, "{path} over {http:?}: {answer:?}");
            assert_eq!(rest.requests(), seen, "{path}");
        }
    }
}
