//! No request is read in two ways: what is ambiguous is refused before an upstream sees any
//! of it, and what is sent is what was checked.

use penstock::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::certificates::Authority;
use crate::harness::client::{BOTH, Client, Http, get, with};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::Raw;
use crate::harness::{Proxy, all_to, config, eventually};

mod generated;
mod separators;
mod upstream;

use upstream::{Upstream, requests};

on_both!(
    ambiguous_heads_are_refused,
    heads_over_tls_are_checked_as_well,
    a_refusal_has_its_line_in_the_log,
    heads_are_bounded,
    requests_one_after_the_other_are_told_apart,
    a_target_of_absolute_form_is_sent_as_a_path,
    a_body_in_bad_chunks_is_refused,
    good_chunks_arrive,
    nothing_is_passed_on_before_the_protocol_changes,
    an_old_request_ends_with_its_head,
    a_path_is_routed_and_sent_in_one_spelling,
    what_hides_in_a_path_is_refused,
    the_rules_that_apply_are_those_of_http2_as_well,
    headers_of_one_connection_end_with_it,
    a_redirect_is_passed_on,
    mutated_requests_are_one_or_none,
);

/// Sends this, and returns what comes back until the proxy closes.
async fn exchange(proxy: &Proxy, bytes: impl AsRef<[u8]>) -> String {
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send(bytes).await;
    raw.text_to_end().await
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

/// Fields of a request, its body, and the rule that they break.
const FIELDS: [(&str, &str, &str); 17] = [
    (
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        "framing",
    ),
    (
        "Content-Length: 3\r\nContent-Length: 0\r\n",
        "abc",
        "content_length",
    ),
    ("Content-Length: 010\r\n", "01234567", "content_length"),
    ("Content-Length: +5\r\n", "hello", "content_length"),
    (
        "Transfer-Encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
        "transfer_encoding",
    ),
    (
        "Transfer-Encoding: xchunked\r\n",
        "0\r\n\r\n",
        "transfer_encoding",
    ),
    (
        "Transfer-Encoding:\r\n chunked\r\n",
        "0\r\n\r\n",
        "transfer_encoding",
    ),
    ("X: a\r\n b\r\n", "", "folding"),
    ("X : a\r\n", "", "field_space"),
    ("X: a\n", "", "line_ending"),
    ("X: a\rb\r\n", "", "line_ending"),
    ("X: a\0\r\n", "", "field_value"),
    (": a\r\n", "", "field_name"),
    ("Host: a\r\n", "", "host"),
    ("Upgrade: websocket\r\n", "", "upgrade"),
    ("Connection: Content-Length\r\n", "", "connection"),
    ("Content_Length: 5\r\n", "hello", "field_name"),
];

/// Whole requests, the status that each is answered with, and the rule.
const REQUESTS: [(&str, u16, &str); 10] = [
    (
        "POST /v1/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    ("GET /v1/x HTTP/1.1\r\n\r\n", 400, "host"),
    ("GET /v1/x HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host"),
    ("GET /v1/x HTTP/1.1\nHost: a\n\n", 400, "line_ending"),
    ("GET /v1/\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "target"),
    ("GET /v1/x HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version"),
    ("GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request_line"),
    (
        "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "authority",
    ),
    ("get /x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "method"),
    (
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        405,
        "method_unsupported",
    ),
];

async fn ambiguous_heads_are_refused(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    let fields = FIELDS.map(|(fields, body, rule)| (post(fields, body), 400, rule));
    let requests = REQUESTS.map(|(request, status, rule)| (request.to_owned(), status, rule));
    for (request, status, rule) in fields.into_iter().chain(requests) {
        let label = format!("rule=\"{rule}\"");
        let before = proxy.metric("penstock_rules_broken_total", &[&label]);
        let smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = exchange(&proxy, request.clone() + smuggled).await;
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&wanted), "{request:?}: {answer:?}");
        let ends = answer.matches("\r\nConnection: close\r\n").count();
        assert_eq!(ends, 1, "one answer, and the end: {request:?}: {answer:?}");
        if request.contains(" /v1/") {
            let code = format!("\"code\":\"{rule}\"");
            assert!(
                answer.contains(&code),
                "in the dialect: {request:?}: {answer:?}"
            );
        }
        let after = proxy.metric("penstock_rules_broken_total", &[&label]);
        assert_eq!(after - before, 1.0, "counted as {rule}: {request:?}");
    }
    assert!(upstream.seen().is_empty(), "nothing reached the upstream");
}

async fn heads_over_tls_are_checked_as_well(transport: Transport) {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("penstock.test").write(folder.path());
    let listener = crate::reload::tls_listener(folder.path());
    let proxy = Proxy::start(&config(transport, &listener, &all_to(upstream.address))).await;
    let stream = authority.connect(proxy.address(), "penstock.test", &["http/1.1"]);
    let mut stream = stream.await.unwrap();
    let (good, bad) = (
        "GET /1 HTTP/1.1\r\nHost: penstock.test\r\n\r\n",
        "GET /2 HTTP/1.1\nHost: a\n\n",
    );
    stream.write_all(good.as_bytes()).await.unwrap();
    let mut room = [0; 4096];
    let read = stream.read(&mut room).await.unwrap();
    assert!(
        room[..read].starts_with(b"HTTP/1.1 200 "),
        "a good one is served"
    );
    stream.write_all(bad.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("HTTP/1.1 400 "), "{answer:?}");
    assert_eq!(requests(&upstream.seen()).len(), 1);
}

async fn a_refusal_has_its_line_in_the_log(transport: Transport) {
    let upstream = Upstream::start().await;
    let log = "log: { format: json, access: on }";
    let mut proxy = ProxyProcess::start(transport, log, &all_to(upstream.address)).await;
    let mut raw = Raw::connect(proxy.address).await;
    raw.send("GET /v1/x?key=a-secret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        .await;
    let answer = raw.text_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    proxy.process.signal(rustix::process::Signal::TERM);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    let lines = proxy.process.lines();
    let line = lines.iter().find(|line| line.contains("\"request\""));
    let line: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
    assert_eq!(line["client"], "127.0.0.1", "{line}");
    assert_eq!(line["method"], "GET", "{line}");
    assert_eq!(line["path"], "/v1/x", "{line}");
    assert_eq!(line["status"], 400, "{line}");
    assert_eq!(line["outcome"], "refused", "{line}");
    assert!(
        line["reason"].as_str().unwrap().contains("`host`"),
        "{line}"
    );
}

async fn heads_are_bounded(transport: Transport) {
    let upstream = Upstream::start().await;
    let limits = "limits: { request_target: 1KiB, request_head: 4KiB, request_fields: 16 }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address))).await;
    let get = |path: usize, value: usize, fields: usize| {
        let (path, value) = ("a".repeat(path - 1), "b".repeat(value));
        let fields = "x: y\r\n".repeat(fields);
        format!(
            "GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx: {value}\r\n{fields}\r\n"
        )
    };
    for (request, status) in [
        (get(1024, 2000, 13), 200),
        (get(1025, 0, 0), 414),
        (get(100_000, 0, 0), 414),
        (get(1, 5000, 0), 431),
        (get(1, 200_000, 0), 431),
        (get(1, 0, 14), 431),
    ] {
        let answer = exchange(&proxy, &request).await;
        let wanted = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&wanted), "{request:.100}: {answer:.100}");
    }
}

async fn requests_one_after_the_other_are_told_apart(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    let all = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
        POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\nx: y\r\n\r\n\r\n\
        POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
        GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut wanted = Vec::new();
    for piece in [all.len(), 1, 7, 64] {
        let mut raw = Raw::connect(proxy.address()).await;
        for bytes in all.as_bytes().chunks(piece) {
            raw.send(bytes).await;
            if piece < 8 {
                tokio::task::yield_now().await;
            }
        }
        let answer = raw.text_to_end().await;
        assert_eq!(
            answer.matches("HTTP/1.1 200").count(),
            5,
            "{piece}: {answer:?}"
        );
        wanted.extend(["GET /1", "POST /2", "POST /3", "POST /4", "GET /5"]);
    }
    let seen = requests(&upstream.seen());
    let lines: Vec<_> = seen.iter().map(|request| request.line()).collect();
    assert_eq!(lines, wanted);
    let bodies: Vec<_> = seen.iter().map(|request| request.body.as_str()).collect();
    assert_eq!(bodies[..5], ["", "hello", "world", "", ""]);
}

async fn a_target_of_absolute_form_is_sent_as_a_path(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    for (target, sent) in [
        ("http://A:80/b?c", "/b?c"),
        ("http://a", "/"),
        ("http://a?b", "/?b"),
    ] {
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        );
        let answer = exchange(&proxy, request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{target}: {answer:?}");
        let seen = requests(&upstream.take());
        assert_eq!(seen[0].line(), format!("POST {sent}"), "{target}");
        assert_eq!(seen[0].body, "hello", "{target}");
    }
}

async fn a_body_in_bad_chunks_is_refused(transport: Transport) {
    let upstream = Upstream::start().await;
    let rest = all_to(upstream.address);
    for attempts in [1, 2] {
        // Streamed through, and read before.
        let rest = rest.replace("name: all,", &format!("name: all, attempts: {attempts},"));
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        for (body, rule) in [
            ("0x5\r\nhello\r\n0\r\n\r\n", "chunk_size"),
            ("\r\n\r\n", "chunk_size"),
            ("5;\nhello\r\n0\r\n\r\n", "chunk_extension"),
            ("5;\0x\r\nhello\r\n0\r\n\r\n", "chunk_extension"),
            ("5\r\nhello!!\r\n0\r\n\r\n", "chunk_end"),
            ("5\r\nhello\n0\r\n\r\n", "chunk_end"),
            ("5\r\nhello\r\n0\r\n\n", "trailer"),
            ("5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", "trailer"),
        ] {
            for at_once in [true, false] {
                let mut raw = Raw::connect(proxy.address()).await;
                let request = post("Transfer-Encoding: chunked\r\n", "");
                if at_once {
                    raw.send(request + body).await;
                } else {
                    raw.send(request).await;
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    raw.send(body).await;
                }
                let answer = raw.text_to_end().await;
                assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer:?}");
                let code = format!("\"code\":\"{rule}\"");
                assert!(answer.contains(&code), "{body:?}: {answer:?}");
            }
            let label = format!("rule=\"{rule}\"");
            let counted = proxy.metric("penstock_rules_broken_total", &[&label]);
            assert!(counted >= 2.0, "{rule} is counted");
        }
    }
    let seen = requests(&upstream.take());
    assert!(seen.iter().all(|request| !request.is_whole), "{seen:?}");
}

async fn good_chunks_arrive(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    let chunks = "5;a=\"b\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n";
    let request = post(
        "Transfer-Encoding: chunked\r\nConnection: close\r\n",
        chunks,
    );
    for piece in [request.len(), 1, 50] {
        let mut raw = Raw::connect(proxy.address()).await;
        for bytes in request.as_bytes().chunks(piece) {
            raw.send(bytes).await;
        }
        let answer = raw.text_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{piece}: {answer:?}");
        let seen = requests(&upstream.take());
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].body, "hello0123456789", "{piece}");
    }
}

/// RUSTSEC-2026-0033: what follows a request for another protocol was passed on before the
/// upstream had agreed to one.
async fn nothing_is_passed_on_before_the_protocol_changes(transport: Transport) {
    let upgrade = "GET /UPGRADE HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let smuggled = "GET /smuggled HTTP/1.1\nHost: a\n\n";
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    let refused = upgrade.replace("/UPGRADE", "/refused");
    let answer = exchange(&proxy, refused + smuggled).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert!(
        answer.contains("HTTP/1.1 400 "),
        "it is a request, and a bad one: {answer:?}"
    );
    let seen = upstream.take();
    assert_eq!(requests(&seen).len(), 1, "{seen:?}");
    assert!(!seen.concat().contains("smuggled"), "{seen:?}");

    let agreed = upgrade.replace("/UPGRADE", "/switch");
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send(agreed + "early").await;
    raw.read_until("HTTP/1.1 101 ").await;
    raw.read_until("\r\n\r\n").await;
    raw.read_until("early").await;
    raw.send("late").await;
    raw.read_until("late").await;
}

/// RUSTSEC-2026-0034: without a length, the body of such a request went on to the close.
async fn an_old_request_ends_with_its_head(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    for more in ["", "Connection: keep-alive\r\n"] {
        let request = format!(
            "POST / HTTP/1.0\r\nHost: a\r\n{more}\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(&proxy, request).await;
        assert!(answer.contains(" 200 "), "{answer:?}");
        let seen = requests(&upstream.take());
        assert_eq!(seen[0].body, "", "{seen:?}");
        let kept = usize::from(!more.is_empty());
        assert_eq!(
            seen.len(),
            1 + kept,
            "a request of its own or none: {seen:?}"
        );
    }
    let answer = exchange(&proxy, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains(" 200 "), "it needs no host: {answer:?}");
}

/// Routes for `/public` and, to nowhere, for `/admin`.
fn guarded(upstream: &Upstream) -> String {
    let a = upstream.address;
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{a}\"] }}\nroutes:\n  - {{ name: public, match: {{ path: {{ prefix: /public }} }}, split: [{{ upstream: a }}] }}\n"
    )
}

async fn a_path_is_routed_and_sent_in_one_spelling(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &guarded(&upstream))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        for (written, sent) in [
            ("/public/x?a=%2e/..//b", Some("/public/x?a=%2e/..//b")),
            ("//public///x", Some("/public/x")),
            ("/admin/../public/./%78", Some("/public/x")),
            ("/%70ublic/a%2bb", Some("/public/a%2Bb")),
            ("/public/../admin", None),
            ("/public/%2e%2E/admin", None),
            ("/public//../admin?b", None),
        ] {
            let answer = client.answer(get(written)).await;
            let seen = requests(&upstream.take());
            let lines: Vec<_> = seen.iter().map(|request| request.line()).collect();
            match sent {
                Some(sent) => assert_eq!(lines, [format!("GET {sent}")], "{written} {http:?}"),
                None => assert_eq!((answer.status.as_u16(), seen.len()), (404, 0), "{written}"),
            }
        }
    }
}

async fn what_hides_in_a_path_is_refused(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &guarded(&upstream))).await;
    for http in BOTH {
        for path in [
            "/public/x%5c..%5cy",
            "/public/x%2f..%2f..%2fadmin",
            "/public/%00",
            "/public/..;/admin",
            "/../public/x",
            "/public/%c0%ae%c0%ae/admin",
            "/public/100%",
        ] {
            let mut client = Client::connect(proxy.address(), http).await;
            let answer = client.answer(get(path)).await;
            assert_eq!(answer.status, 400, "{path} over {http:?}: {answer:?}");
        }
    }
    assert!(upstream.seen().is_empty(), "nothing reached the upstream");
    let counted = proxy.metric("penstock_rules_broken_total", &["rule=\"path_dots\""]);
    assert_eq!(counted, 8.0, "each is counted");
}

async fn the_rules_that_apply_are_those_of_http2_as_well(transport: Transport) {
    let upstream = Upstream::start().await;
    let limits = "limits: { request_target: 1KiB, request_fields: 16 }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address))).await;
    let mut many = get("/");
    for n in 0..17 {
        let name = http::HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    let mut trace = get("/");
    *trace.method_mut() = http::Method::TRACE;
    let mut quiet = get("/");
    *quiet.method_mut() = http::Method::from_bytes(b"get").unwrap();
    for (request, status) in [
        (get(&format!("/{}", "a".repeat(1024))), 414),
        (many, 431),
        (with(get("/"), "content_length", "5"), 400),
        (with(get("/"), "transfer_encoding", "chunked"), 400),
        (trace, 405),
        (quiet, 400),
        (get("/a{b}"), 400),
    ] {
        let what = format!("{request:?}");
        let mut client = Client::connect(proxy.address(), Http::Two).await;
        let answer = client.answer(request).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }
    assert!(upstream.seen().is_empty(), "nothing reached the upstream");
    let mut crumbs = get("/");
    for crumb in ["a=1", "b=2"] {
        let crumb = http::HeaderValue::from_static(crumb);
        crumbs.headers_mut().append("cookie", crumb);
    }
    let mut client = Client::connect(proxy.address(), Http::Two).await;
    assert_eq!(client.answer(crumbs).await.status, 200);
    let head = upstream.take().concat().to_ascii_lowercase();
    assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head:?}");
}

async fn headers_of_one_connection_end_with_it(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(get("/hops")).await;
        for name in ["x-internal", "keep-alive", "upgrade"] {
            assert_eq!(answer.header(name), "", "{name} over {http:?}");
        }
        assert_eq!(answer.header("x-other"), "2", "{http:?}");
        assert_eq!(answer.text(), "ok", "{http:?}");
    }
    upstream.take();
    let request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n\
        Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: close\r\nX-Other: 2\r\n\r\n";
    let answer = exchange(&proxy, request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    let head = upstream.take().concat().to_ascii_lowercase();
    for name in ["x-mine", "keep-alive", "te:", "proxy-connection"] {
        assert!(!head.contains(name), "{name}: {head:?}");
    }
    assert!(head.contains("x-other: 2"), "{head:?}");
}

async fn a_redirect_is_passed_on(transport: Transport) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let answer = client.answer(get("/moved")).await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), "http://127.0.0.1:1/secret");
    assert_eq!(requests(&upstream.seen()).len(), 1);
}

async fn mutated_requests_are_one_or_none(transport: Transport) {
    let upstream = Upstream::start().await;
    // Where HTTP/2 is spoken as well, what is no HTTP gets no answer.
    let server = "listen: [{ address: \"127.0.0.1:0\" }]\nlimits: { keepalive_timeout: 1s }";
    let proxy = Proxy::start(&config(transport, server, &all_to(upstream.address))).await;
    for bytes in generated::requests(400) {
        let verdict = generated::verdict(&bytes);
        let mut raw = Raw::connect(proxy.address()).await;
        raw.send(&bytes).await;
        if verdict.is_waiting() {
            // It is no request yet.
            drop(raw);
            continue;
        }
        let answer = raw.text_to_end().await;
        let shown = String::from_utf8_lossy(&bytes);
        let seen = upstream.take();
        let whole = requests(&seen)
            .iter()
            .filter(|request| request.is_whole)
            .count();
        assert!(whole <= 1, "{shown:?} became {seen:?}");
        assert_eq!(
            whole == 1,
            verdict.is_good(),
            "{shown:?}: {answer:?}, {seen:?}"
        );
        let status = answer.get(9..12).unwrap_or_default().to_owned();
        assert_eq!(status, verdict.status(), "{shown:?}: {answer:?}");
    }
    // The proxy is as good as new.
    let mut client = Client::connect(proxy.address(), Http::One).await;
    assert_eq!(client.answer(get("/")).await.status, 200);
    eventually("all connections are closed but this one", || {
        proxy.metric("penstock_connections_open", &[]) <= 1.0
    })
    .await;
}
