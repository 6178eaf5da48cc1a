//! Escaped slashes and backslashes in paths.

use penstock::transport::Transport;

use super::guarded;
use super::upstream::{Upstream, requests};
use crate::harness::client::{BOTH, Client, Http, get};
use crate::harness::{Proxy, config};

on_both!(
    they_are_what_is_configured,
    they_change_neither_route_nor_api,
);

async fn they_are_what_is_configured(transport: Transport) {
    let upstream = Upstream::start().await;
    let word = "paths: { escaped_separators: refuse }";
    let proxy = Proxy::start(&config(transport, word, &guarded(&upstream))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    assert_eq!(client.answer(get("/public/a%2fb")).await.status, 400);
    for (word, sent) in [("unescape", "/public/a/b"), ("keep", "/public/a%2Fb")] {
        let paths = format!("paths: {{ escaped_separators: {word} }}");
        let proxy = Proxy::start(&config(transport, &paths, &guarded(&upstream))).await;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        assert_eq!(client.answer(get("/public/a%2fb")).await.status, 200);
        let seen = requests(&upstream.take());
        assert_eq!(seen[0].line(), format!("GET {sent}"));
        let above = client.answer(get("/public/x%2f..%2f..%2fadmin")).await;
        let refused = if word == "keep" { 400 } else { 404 };
        assert_eq!(above.status, refused, "{word}");
    }
}

/// Names of models have slashes, which clients escape. To servers that resolve escapes before
/// anything else, which those in Python do, they separate segments.
async fn they_change_neither_route_nor_api(transport: Transport) {
    let upstream = Upstream::start().await;
    let upstreams = format!(
        "upstreams: {{ a: {{ endpoints: [\"{}\"], ejection: off }} }}",
        upstream.address
    );
    let rest = format!(
        "{upstreams}
routes:
- {{ name: admin, match: {{ path: {{ prefix: /v1/admin }} }}, split: [{{ upstream: a }}] }}
- {{ name: large, match: {{ path: {{ prefix: /v1/score }}, models: [large] }}, split: [{{ upstream: a }}] }}
- {{ name: v1, match: {{ path: {{ prefix: /v1 }} }}, split: [{{ upstream: a }}] }}
- {{ name: one, match: {{ path: {{ glob: \"/projects/*/x\" }} }}, split: [{{ upstream: a }}] }}
- {{ name: rest, split: [{{ upstream: a }}] }}
"
    );
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    for http in BOTH {
        for (path, sent) in [
            ("/v1/models/org%2Fname", Some("/v1/models/org%2Fname")),
            (
                "/v1/models/a%2fb%5cc?d=%2F",
                Some("/v1/models/a%2Fb%5Cc?d=%2F"),
            ),
            ("/v1/models/a%252Fadmin", Some("/v1/models/a%252Fadmin")),
            ("/x%2Fy", Some("/x%2Fy")),
            // Another route's.
            ("/v1%2Fadmin", None),
            ("/v1/admin%2Fx", None),
            ("/v1%5Cadmin/x", None),
            ("/v1/%2fadmin", None),
            ("/v1%2f%2fadmin", None),
            ("/projects/a%2Fb/x", None),
            ("/projects%2Fa%5Cb/x", None),
            // Perhaps another route's, which the model would tell.
            ("/v1/score%2Fx", None),
            // Of another API, whose bodies are read.
            ("/v1/messages%2Fcount_tokens", None),
            ("/v1%2Fmessages", None),
            ("/%2fv1/chat/completions", None),
            // Above.
            ("/v1/models/..%2Fadmin", None),
            ("/v1/models%2f..%2Fadmin", None),
        ] {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(get(path)).await;
            let seen = requests(&upstream.take());
            let lines: Vec<_> = seen.iter().map(|request| request.line()).collect();
            match sent {
                Some(sent) => assert_eq!(lines, [format!("GET {sent}")], "{path} {http:?}"),
                None => assert_eq!(
                    (answer.status.as_u16(), seen.len()),
                    (400, 0),
                    "{path} {http:?}"
                ),
            }
        }
    }
    let counted = proxy.metric("penstock_rules_broken_total", &["rule=\"path_separator\""]);
    assert!(counted > 0.0, "they are counted");
}
