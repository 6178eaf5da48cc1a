//! The upstream's credential goes there and does not come back, the client's stays here.

use std::path::Path;

use penstock::transport::Transport;
use penstock_simulator::Simulator;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::client::{BOTH, Client, Http, chat, get, with};
use crate::harness::process::{Process, ProxyProcess, command, output};
use crate::harness::{Proxy, config, simulator};

on_both!(
    each_kind_goes_where_its_api_reads_it,
    the_clients_credentials_stay_here,
    without_credentials_the_clients_go_on,
    an_authenticated_clients_key_goes_no_further,
    several_share_the_requests,
    a_file_is_read_again_on_reload,
    a_retry_has_a_credential_too,
    what_an_upstream_repeats_does_not_come_back,
    a_credential_that_cannot_be_used_is_named_and_not_shown,
    nothing_that_the_process_says_holds_one,
);

const SECRET: &str = "sk-upstream-0123456789abcdef";

/// Headers in which a client may present what it knows us by.
const CLIENT: [&str; 5] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "proxy-authorization",
];

fn to(upstream: &Simulator, credentials: &str) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{}\"], credentials: {credentials} }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n",
        upstream.address()
    )
}

fn secret(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    format!("{{ file: \"{}\" }}", file.display())
}

/// The values of a header in the last request that the upstream got.
fn sent(upstream: &Simulator, name: &str) -> Vec<String> {
    let recorded = upstream.recorded();
    let last = recorded.last().unwrap();
    let values = last.headers.get_all(name).iter();
    values
        .map(|value| value.to_str().unwrap().to_owned())
        .collect()
}

async fn each_kind_goes_where_its_api_reads_it(transport: Transport) {
    let folder = tempfile::tempdir().unwrap();
    let key = secret(folder.path(), "key", &format!("{SECRET}\n"));
    let bearer = format!("Bearer {SECRET}");
    for (credential, header, value) in [
        (format!("bearer: {key}"), "authorization", bearer.as_str()),
        (format!("azure: {key}"), "api-key", SECRET),
        (format!("google: {key}"), "x-goog-api-key", SECRET),
        (format!("anthropic: {key}"), "x-api-key", SECRET),
        (
            format!("header: {{ name: X-Token, value: {key} }}"),
            "x-token",
            SECRET,
        ),
    ] {
        let upstream = simulator(&[]);
        let text = config(
            transport,
            "",
            &to(&upstream, &format!("[{{ {credential} }}]")),
        );
        let proxy = Proxy::start(&text).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            // The client's own under the same name gives way to it.
            let answer = client.answer(with(chat(), "x-token", "mine")).await;
            assert_eq!(answer.status, 200, "{credential}: {answer:?}");
            assert_eq!(sent(&upstream, header), [value], "{credential}");
        }
    }
}

async fn the_clients_credentials_stay_here(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let key = secret(folder.path(), "key", SECRET);
    let other = format!("{{ header: {{ name: x-other, value: {key} }}, weight: 0 }}");
    let list = format!("[{{ bearer: {key} }}, {other}]");
    let proxy = Proxy::start(&config(transport, "", &to(&upstream, &list))).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let mut request = with(chat(), "x-other", "client-secret-1");
        for name in CLIENT {
            request = with(request, name, "client-secret-2");
            request
                .headers_mut()
                .append(name, "client-secret-3".parse().unwrap());
        }
        assert_eq!(client.answer(request).await.status, 200);
        let recorded = upstream.recorded();
        let shown = format!("{:?}", recorded.last().unwrap().headers);
        assert!(!shown.contains("client-secret"), "{http:?}: {shown}");
        assert_eq!(
            sent(&upstream, "authorization"),
            [format!("Bearer {SECRET}")]
        );
    }
}

async fn without_credentials_the_clients_go_on(transport: Transport) {
    let upstream = simulator(&[]);
    let text = to(&upstream, "[]").replace(", credentials: []", "");
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    client
        .answer(with(chat(), "authorization", "Bearer mine"))
        .await;
    assert_eq!(sent(&upstream, "authorization"), ["Bearer mine"]);
}

async fn an_authenticated_clients_key_goes_no_further(transport: Transport) {
    const KEY: &str = "psk_dGhpcyBpcyBub3QgYSBrZXkgb2YgYW55Ym9keQ";
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let own = secret(folder.path(), "key", SECRET);
    let hash = penstock_plugins::authenticate::hash(KEY.as_bytes());
    let chain = format!(
        "chain:\n  - authenticate: {{ keys: {{ inline: [{{ hash: '{hash}', consumer: search, tenant: acme, roles: [r, s] }}] }} }}\n  - headers: {{ request: [{{ set: {{ x-who: \"{{consumer}}@{{tenant}} {{roles}}\" }} }}] }}\n"
    );
    for credentials in ["", &format!(", credentials: [{{ bearer: {own} }}]")] {
        let text = to(&upstream, "[]").replace(", credentials: []", credentials);
        let proxy = Proxy::start(&config(transport, "", &format!("{chain}{text}"))).await;
        for http in BOTH {
            let mut client = Client::connect(proxy.address(), http).await;
            // The key in one header; what the others hold is no business of the upstream's.
            let request = with(chat(), "x-api-key", KEY);
            let request = with(request, "proxy-authorization", KEY);
            let answer = client.answer(with(request, "x-who", "admin@all")).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(sent(&upstream, "x-who"), ["search@acme r,s"]);
            let recorded = upstream.recorded();
            let shown = format!("{:?}", recorded.last().unwrap().headers);
            assert!(!shown.contains(KEY), "{credentials}: {shown}");
            let given = sent(&upstream, "authorization");
            match credentials {
                "" => assert!(given.is_empty(), "{given:?}"),
                _ => assert_eq!(given, [format!("Bearer {SECRET}")]),
            }
        }
    }
}

async fn several_share_the_requests(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| secret(folder.path(), name, &format!("sk-{name}")));
    let list =
        format!("[{{ bearer: {a}, weight: 3 }}, {{ bearer: {b} }}, {{ bearer: {c}, weight: 0 }}]");
    let proxy = Proxy::start(&config(transport, "", &to(&upstream, &list))).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    let mut counts = [0; 3];
    for _ in 0..200 {
        client.answer(get("/plain")).await;
        let sent = sent(&upstream, "authorization");
        let names = ["Bearer sk-a", "Bearer sk-b", "Bearer sk-c"];
        counts[names.iter().position(|name| sent == [*name]).unwrap()] += 1;
    }
    let [a, b, c] = counts;
    assert!(
        (147..=153).contains(&a) && b == 200 - a && c == 0,
        "{counts:?}"
    );
}

async fn a_file_is_read_again_on_reload(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let key = secret(folder.path(), "key", "sk-old");
    let text = config(
        transport,
        "",
        &to(&upstream, &format!("[{{ azure: {key} }}]")),
    );
    let proxy = Proxy::start(&text).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    client.answer(get("/plain")).await;
    assert_eq!(sent(&upstream, "api-key"), ["sk-old"]);
    secret(folder.path(), "key", "sk-new");
    client.answer(get("/plain")).await;
    assert_eq!(sent(&upstream, "api-key"), ["sk-old"], "not before");
    proxy.reload(&text).await.unwrap();
    client.answer(get("/plain")).await;
    assert_eq!(sent(&upstream, "api-key"), ["sk-new"]);
    std::fs::remove_file(folder.path().join("key")).unwrap();
    let why = proxy.reload(&text).await.unwrap_err();
    assert!(why.contains("upstream `a`: credential `1`: file "), "{why}");
    let live = proxy.server().live.clone();
    let back = tokio::task::spawn_blocking(move || live.rollback().is_ok());
    assert!(back.await.unwrap());
    client.answer(get("/plain")).await;
    assert_eq!(sent(&upstream, "api-key"), ["sk-old"], "as it was then");
}

async fn a_retry_has_a_credential_too(transport: Transport) {
    let upstream = simulator(&[]);
    let refusing = crate::harness::Refusing::new();
    let folder = tempfile::tempdir().unwrap();
    let key = secret(folder.path(), "key", SECRET);
    let text = to(&upstream, &format!("[{{ anthropic: {key} }}]"));
    let text = text.replace(
        "endpoints: [",
        &format!("endpoints: [\"{}\", ", refusing.address()),
    );
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    let mut client = Client::connect(proxy.address(), Http::One).await;
    for _ in 0..6 {
        let answer = client.answer(with(chat(), "x-api-key", "mine")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(sent(&upstream, "x-api-key"), [SECRET]);
    }
}

/// An upstream that repeats, in the head of its answer, the credential that it was sent.
async fn repeating() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let sent = head
                    .lines()
                    .find_map(|line| line.strip_prefix("x-api-key: "));
                let sent = sent.unwrap_or("nothing");
                let answer = format!(
                    "HTTP/1.1 103 Early Hints\r\nx-early: {sent}\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-api-key: {sent}\r\nauthorization: anything\r\nx-echo: you sent {sent}\r\nx-kept: yes\r\nconnection: close\r\n\r\nok"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

async fn what_an_upstream_repeats_does_not_come_back(transport: Transport) {
    let address = repeating().await;
    let folder = tempfile::tempdir().unwrap();
    let key = secret(folder.path(), "key", SECRET);
    let text = format!(
        "upstreams:\n  a: {{ endpoints: [\"{address}\"], credentials: [{{ anthropic: {key} }}] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n"
    );
    let proxy = Proxy::start(&config(transport, "", &text)).await;
    for http in BOTH {
        let mut client = Client::connect(proxy.address(), http).await;
        let answer = client.answer(get("/")).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
        assert_eq!(answer.header("x-kept"), "yes");
        for name in ["x-api-key", "authorization", "x-echo"] {
            assert!(!answer.headers.contains_key(name), "{name}: {answer:?}");
        }
    }
    // The bytes on the wire, with what hyper does not show.
    let mut stream = tokio::net::TcpStream::connect(proxy.address())
        .await
        .unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("200 OK") && !answer.contains(SECRET),
        "{answer}"
    );
}

async fn a_credential_that_cannot_be_used_is_named_and_not_shown(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let key = secret(folder.path(), "key", &format!("{SECRET}\r\nx-admin: 1"));
    let file = folder.path().join("penstock.yaml");
    for (credential, wanted) in [
        (
            format!("bearer: {key}, name: main"),
            "credential `main`: it holds characters",
        ),
        (
            "bearer: { env: PENSTOCK_NOT_SET }".to_owned(),
            "environment variable PENSTOCK_NOT_SET",
        ),
        (
            "azure: { file: /nowhere/key }".to_owned(),
            "file /nowhere/key cannot be read",
        ),
    ] {
        let text = config(
            transport,
            "",
            &to(&upstream, &format!("[{{ {credential} }}]")),
        );
        std::fs::write(&file, text).unwrap();
        let said = output(command(&["check", "-c", file.to_str().unwrap()])).await;
        assert_eq!(said.code, Some(1), "{credential}: {}", said.out);
        assert!(said.err.contains(wanted), "{credential}: {}", said.err);
        assert!(!said.err.contains(SECRET), "{}", said.err);
    }
}

async fn nothing_that_the_process_says_holds_one(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let server = "admin: \"127.0.0.1:0\"\nlog: { format: json, level: trace }";
    let list = "[{ bearer: { env: PENSTOCK_TEST_KEY }, name: main }, { google: { env: PENSTOCK_TEST_KEY }, name: spare }]";
    let file = folder.path().join("penstock.yaml");
    std::fs::write(&file, config(transport, server, &to(&upstream, list))).unwrap();
    let mut started = command(&["-c", file.to_str().unwrap()]);
    started.env("PENSTOCK_TEST_KEY", SECRET);
    let mut proxy = ProxyProcess::serving(Process::start(started), folder).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    for _ in 0..4 {
        let answer = client
            .answer(with(chat(), "authorization", "Bearer client-secret"))
            .await;
        assert_eq!(answer.status, 200);
        let shown = format!("{answer:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
    let line = proxy.process.line("credential=spare").await;
    assert!(line.contains("\"route\":\"all\""), "{line}");
    proxy.process.signal(Signal::HUP);
    proxy.process.line("configuration reloaded").await;
    for page in ["/metrics", "/config", "/config.json", "/generations"] {
        let page = proxy.page(page).await;
        assert!(!page.text().contains(SECRET), "{}", page.text());
    }
    let explained = {
        let file = proxy.file();
        let mut check = command(&["check", "--explain", "-c", file.to_str().unwrap()]);
        check.env("PENSTOCK_TEST_KEY", SECRET);
        output(check).await
    };
    let wanted =
        "50 % with credential `main`: authorization from environment variable PENSTOCK_TEST_KEY";
    assert!(
        explained.out.contains(wanted),
        "{}{}",
        explained.out,
        explained.err
    );
    assert!(!explained.out.contains(SECRET), "{}", explained.out);
    for line in proxy.process.lines() {
        assert!(
            !line.contains(SECRET) && !line.contains("client-secret"),
            "{line}"
        );
    }
}
