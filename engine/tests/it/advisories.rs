//! Holes that Pingora and gateways have had: each has a test by its name that fails where the
//! hole is.

use penstock::transport::Transport;
use penstock_plugins::authenticate;
use tokio::net::TcpListener;

use crate::harness::client::{BOTH, Client, Http, get, post, with};
use crate::harness::raw::{Raw, ask};
use crate::harness::{Proxy, all_to, config, simulator};

mod answers;
mod resets;
mod upstream;

use upstream::Upstream;

on_both!(
    rustsec_2025_0037_an_unread_body_is_no_request,
    rustsec_2026_0033_nothing_goes_before_the_protocol_is_agreed_on,
    rustsec_2026_0034_old_requests_and_odd_codings_have_one_end,
    rustsec_2026_0035_hosts_do_not_answer_for_each_other,
    rustsec_2026_0035_hosts_of_one_upstream_neither,
    cve_2026_105299_a_client_nominates_no_header_of_ours,
    a_key_is_no_query,
    a_host_is_no_path,
    a_request_names_no_upstream,
    a_client_says_not_who_it_is,
);

const KEY: &str = "psk_of_somebody";

/// A chain that lets one key through and tells the upstream whose it is.
fn keyed(upstream: std::net::SocketAddr) -> String {
    let hash = authenticate::hash(KEY.as_bytes());
    format!(
        "upstreams: {{ a: {{ endpoints: [\"{upstream}\"] }} }}
chain:
- authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: somebody }}] }} }}
- headers: {{ request: [{{ set: {{ x-user: \"{{consumer}}\", x-team: \"{{tenant}}\" }} }}] }}
routes:
- {{ name: v1, match: {{ path: {{ prefix: /v1 }} }}, split: [{{ upstream: a }}] }}
"
    )
}

/// CVE-2025-4366: a body that nobody had read for an answer from the cache was the next
/// request.
async fn rustsec_2025_0037_an_unread_body_is_no_request(transport: Transport) {
    let upstream = simulator(&[]);
    let rest = format!(
        "chain: [cache: {{}}]\n{}",
        all_to(upstream.address())
            .replace("name: all", "name: v1, match: { path: { prefix: /v1 } }")
    );
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let body = r#"{"model":"simulator-small","messages":[{"role":"user","content":"Hi"}]}"#;
    let chat = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let last = "GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = ask(proxy.address(), &format!("{chat}{chat}{chat}{last}")).await;
    assert_eq!(
        answers.matches("HTTP/1.1 200 OK\r\n").count(),
        4,
        "{answers}"
    );
    assert_eq!(answers.matches("HTTP/1.1").count(), 4, "{answers}");
    let hits = answers.to_ascii_lowercase().matches("x-cache: hit").count();
    assert_eq!(hits, 2, "{answers}");
    assert_eq!(upstream.requests(), 2);
    // The same for an answer that needs no upstream at all.
    let smuggled = "GET /v1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let refused = format!(
        "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{smuggled}{last}",
        smuggled.len()
    );
    let answers = ask(proxy.address(), &refused).await;
    assert!(answers.starts_with("HTTP/1.1 404 "), "{answers}");
    let recorded = upstream.recorded();
    let smuggled = recorded
        .iter()
        .filter(|request| request.path_and_query == "/v1/smuggled");
    assert_eq!(smuggled.count(), 0);
}

/// CVE-2026-2833: what followed a request with `Upgrade` went to the upstream at once.
async fn rustsec_2026_0033_nothing_goes_before_the_protocol_is_agreed_on(transport: Transport) {
    let upstream = Upstream::start(Vec::new()).await;
    let proxy = Proxy::start(&config(transport, "", &keyed(upstream.address))).await;
    let request = format!(
        "GET /v1/socket HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
         GET /v1/admin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    let answers = ask(proxy.address(), &request).await;
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert!(
        answers.contains("HTTP/1.1 401 "),
        "what follows is a request: {answers}"
    );
    let seen = upstream.seen();
    assert!(
        seen.iter().all(|request| !request.head.contains("admin")),
        "{seen:?}"
    );
}

/// CVE-2026-2835: a request of HTTP/1.0 ended with its connection, and of several codings one
/// was looked at.
async fn rustsec_2026_0034_old_requests_and_odd_codings_have_one_end(transport: Transport) {
    let upstream = Upstream::start(Vec::new()).await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let answer = ask(proxy.address(), &format!("{head}{smuggled}")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    // Without a length it has no body, and what follows it is nobody's.
    let head = "POST /old HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    ask(
        proxy.address(),
        &format!("{head}GET /smuggled HTTP/1.0\r\nConnection: close\r\n\r\n"),
    )
    .await;
    for request in upstream.seen() {
        let is_whole = request.head.matches("HTTP/1.1\r\n").count() == 1;
        assert!(is_whole, "one request each: {request:?}");
        let lower = request.head.to_ascii_lowercase();
        assert!(!lower.contains("transfer-encoding"), "{request:?}");
    }
}

/// CVE-2026-2836: an answer was stored by its path alone, for every host.
async fn rustsec_2026_0035_hosts_do_not_answer_for_each_other(transport: Transport) {
    let (one, two) = (simulator(&[("name", "one")]), simulator(&[("name", "two")]));
    let rest = format!(
        "chain: [cache: {{}}]
upstreams: {{ one: {{ endpoints: [\"{}\"] }}, two: {{ endpoints: [\"{}\"] }} }}
routes:
- {{ name: one, match: {{ headers: {{ host: one.test }} }}, split: [{{ upstream: one }}] }}
- {{ name: two, match: {{ headers: {{ host: two.test }} }}, split: [{{ upstream: two }}] }}
",
        one.address(),
        two.address()
    );
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    for (host, word) in [
        ("one.test", "miss"),
        ("two.test", "miss"),
        ("one.test", "hit"),
        ("two.test", "hit"),
    ] {
        let body = r#"{"model":"simulator-small","messages":[{"role":"user","content":"Hi"}]}"#;
        let request = with(post("/v1/chat/completions", body), "host", host);
        let answer = client.answer(request).await;
        assert_eq!(
            answer.header("x-cache").to_ascii_lowercase(),
            word,
            "{host}"
        );
    }
    assert_eq!((one.requests(), two.requests()), (1, 1));
}

/// The same where one upstream answers for both: it is asked for the client's host, unless it
/// has one of its own.
async fn rustsec_2026_0035_hosts_of_one_upstream_neither(transport: Transport) {
    for (own, second) in [("", "miss"), (", host: own.test", "hit")] {
        let upstream = simulator(&[]);
        let rest = all_to(upstream.address()).replace("\"] }", &format!("\"]{own} }}"));
        let rest = format!("chain: [cache: {{}}]\n{rest}");
        let proxy = Proxy::start(&config(transport, "", &rest)).await;
        // Over the other protocol it is the same question.
        for (http, words) in [
            (Http::One, ["miss", second, "hit", "hit"]),
            (Http::Two, ["hit"; 4]),
        ] {
            let mut client = Client::connect(proxy.address(), http).await;
            let hosts = ["one.test", "two.test", "one.test", "two.test"];
            for (host, word) in hosts.into_iter().zip(words) {
                let body =
                    r#"{"model":"simulator-small","messages":[{"role":"user","content":"Hi"}]}"#;
                let request = with(post("/v1/chat/completions", body), "host", host);
                let answer = client.answer(request).await;
                let told = answer.header("x-cache").to_ascii_lowercase();
                assert_eq!(told, word, "{host}{own} over {http:?}");
            }
        }
    }
}

/// A header that `Connection` nominated was taken out after the proxy had set it.
async fn cve_2026_105299_a_client_nominates_no_header_of_ours(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &keyed(upstream.address()))).await;
    let key = format!("Bearer {KEY}");
    for (nominated, status) in [
        ("x-user", 200),
        ("close, X-User", 200),
        ("keep-alive, x-user, x-mine", 200),
        ("x_user", 200),
        ("host, cookie", 400),
        ("\"x-user\"", 400),
        ("x-user;", 400),
    ] {
        let request = with(get("/v1/models"), "authorization", &key);
        let request = with(with(request, "connection", nominated), "x-mine", "1");
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let before = upstream.requests();
        let answer = client.answer(request).await;
        assert_eq!(answer.status, status, "{nominated}");
        let is_sent = upstream.requests() > before;
        assert_eq!(is_sent, status == 200, "{nominated}");
        if !is_sent {
            continue;
        }
        let sent = upstream.recorded().pop().unwrap().headers;
        assert_eq!(sent["x-user"], "somebody", "{nominated}");
        let connection = sent.get("connection");
        let connection = connection.map_or("", |value| value.to_str().unwrap());
        assert!(!connection.contains("user"), "{nominated}: {connection}");
        let is_mine = sent.contains_key("x-mine");
        assert_eq!(is_mine, !nominated.contains("x-mine"), "{nominated}");
    }
}

/// A key went into a query of a database as it was.
async fn a_key_is_no_query(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &keyed(upstream.address()))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let refused = async |client: &mut Client, header, key: &str| {
            let answer = client.answer(with(get("/v1/models"), header, key)).await;
            assert_eq!(answer.status, 401, "{header}: {key}");
            assert_eq!(answer.error_code(), "invalid_api_key", "{header}: {key}");
        };
        for key in [
            "' OR '1'='1",
            "' OR 1=1--",
            "x' UNION SELECT 'psk_of_somebody'--",
            "psk_of_somebody'--",
            "'OR'1'='1",
            "'/**/OR/**/1=1--",
            "psk_of_somebody';--",
            "psk_of_somebody\\",
            "psk_of_somebod_",
            "psk_of_somebody%",
            "%",
            "*",
            "{{7*7}}",
            "${jndi:ldap://a}",
        ] {
            refused(&mut client, "authorization", &format!("Bearer {key}")).await;
            refused(&mut client, "x-api-key", key).await;
            refused(&mut client, "api-key", key).await;
        }
    }
    assert_eq!(upstream.requests(), 0);
}

/// `Host: x/?` moved the path, by which it was decided who needs a key.
async fn a_host_is_no_path(transport: Transport) {
    let upstream = simulator(&[]);
    let hash = authenticate::hash(KEY.as_bytes());
    let rest = format!(
        "upstreams: {{ a: {{ endpoints: [\"{}\"] }} }}
routes:
- {{ name: open, match: {{ path: {{ exact: / }} }}, split: [{{ upstream: a }}] }}
- name: keyed
  match: {{ path: {{ prefix: / }} }}
  chain: [authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: somebody }}] }} }}]
  split: [{{ upstream: a }}]
",
        upstream.address()
    );
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let open = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    ask(proxy.address(), open).await;
    let before = upstream.requests();
    assert_eq!(before, 1, "one path needs no key");
    for host in [
        "x/?", "x/v1", "x?", "x#", "x\\", "/", "x y", "x@y", "x:1:2", "[::1", "",
    ] {
        let request =
            format!("GET /v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = ask(proxy.address(), &request).await;
        let refused = ["HTTP/1.1 400 ", "HTTP/1.1 401 "];
        let is_refused = refused.iter().any(|start| answer.starts_with(start));
        assert!(is_refused, "{host:?}: {answer}");
        let absolute = format!(
            "GET http://{host}/v1/models HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let answer = ask(proxy.address(), &absolute).await;
        let is_refused = refused.iter().any(|start| answer.starts_with(start));
        assert!(is_refused, "{absolute:?}: {answer}");
    }
    assert_eq!(upstream.requests(), before);
}

/// A field of the body, or a header, said where the request went, with the proxy's
/// credentials.
async fn a_request_names_no_upstream(transport: Transport) {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = elsewhere.local_addr().unwrap();
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &keyed(upstream.address()))).await;
    let key = format!("Bearer {KEY}");
    let body = format!(
        r#"{{"model":"simulator-small","messages":[{{"role":"user","content":"Hi"}}],"api_base":"http://{there}","base_url":"http://{there}/v1","url":"http://{there}","endpoint":"{there}","upstream":"{there}","metadata":{{"api_base":"http://{there}"}},"user_config":{{"model_list":[{{"litellm_params":{{"api_base":"http://{there}"}}}}]}}}}"#
    );
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let mut request = with(
            post("/v1/chat/completions", body.clone()),
            "authorization",
            &key,
        );
        for name in [
            "x-upstream",
            "x-upstream-url",
            "x-target-url",
            "x-base-url",
            "x-forwarded-host",
            "x-original-url",
            "x-rewrite-url",
            "x-portkey-custom-host",
        ] {
            let value = format!("http://{there}/v1/admin").parse().unwrap();
            request.headers_mut().insert(name, value);
        }
        let request = with(request, "host", &there.to_string());
        let answer = client.answer(request).await;
        assert_eq!(answer.status, 200, "{http:?}");
        let sent = upstream.recorded().pop().unwrap();
        assert_eq!(sent.path_and_query, "/v1/chat/completions", "{http:?}");
    }
    let absolute = format!(
        "GET http://{there}/v1/models HTTP/1.1\r\nHost: {there}\r\nAuthorization: {key}\r\nConnection: close\r\n\r\n"
    );
    let answer = ask(proxy.address(), &absolute).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(upstream.requests(), 3);
    let mut raw = Raw::connect(proxy.address()).await;
    raw.send(format!("CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n\r\n"))
        .await;
    assert!(raw.text_to_end().await.starts_with("HTTP/1.1 405 "));
    let came = tokio::time::timeout(std::time::Duration::from_millis(50), elsewhere.accept()).await;
    assert!(came.is_err(), "a connection went where the request said");
}

/// Headers by which gateways tell upstreams who a client is were believed from clients.
async fn a_client_says_not_who_it_is(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &keyed(upstream.address()))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let mut request = with(get("/v1/models"), "authorization", &format!("Bearer {KEY}"));
        for name in [
            "x-user",
            "x_user",
            "x-team",
            "x_team",
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "x-client-ip",
            "x-forwarded-host",
        ] {
            for value in ["admin", "127.0.0.1"] {
                request.headers_mut().append(name, value.parse().unwrap());
            }
        }
        assert_eq!(client.answer(request).await.status, 200);
        let sent = upstream.recorded().pop().unwrap().headers;
        let users: Vec<_> = sent.get_all("x-user").iter().collect();
        assert_eq!(users, ["somebody"], "{http:?}");
        for value in sent.values() {
            assert!(
                value != "admin" && value != "127.0.0.1",
                "{http:?}: {sent:?}"
            );
        }
        let mut request = get("/v1/models");
        for name in [
            "x-user",
            "x-team",
            "x-forwarded-user",
            "remote-user",
            "x-ssl-client-verify",
        ] {
            request
                .headers_mut()
                .insert(name, "somebody".parse().unwrap());
        }
        assert_eq!(client.answer(request).await.status, 401, "{http:?}");
    }
}
