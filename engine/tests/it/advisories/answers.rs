//! Upstreams are not trusted: heads and framing of answers are checked, and nothing of one
//! answer becomes another client's.

use http::Request;
use penstock::transport::Transport;

use super::upstream::{Script, Upstream};
use crate::harness::client::{Client, Http, get, whole};
use crate::harness::raw::ask;
use crate::harness::{Proxy, all_to, config, simulator};

on_both!(
    answers_that_break_a_rule_are_failed_attempts,
    the_bounds_on_answers_are_configured,
    lengths_beside_chunks_end_the_connection,
    odd_lines_are_passed_on_as_plain_ones,
    nothing_of_one_answer_is_another_clients,
);

/// Answers that break a rule, whatever follows.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(17);
    let fields = "X: y\r\n".repeat(129);
    let long = format!("X: {}\r\n", "y".repeat(70_000));
    let plain = |fields: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
    let framed = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    let chunked = "2\r\nok\r\n0\r\n\r\n";
    let text: [(&str, String); 28] = [
        ("no head", "garbage\r\n\r\n".to_owned()),
        ("no status", "HTTP/1.1 OK\r\n\r\n".to_owned()),
        (
            "status 600",
            "HTTP/1.1 600 A\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        ),
        (
            "status 999",
            "HTTP/1.1 999 A\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        ),
        (
            "status 099",
            "HTTP/1.1 099 A\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        ),
        (
            "version 2",
            "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        ),
        (
            "two lengths",
            framed("Content-Length: 2\r\nContent-Length: 3\r\n", "ok!"),
        ),
        (
            "a length twice",
            framed("Content-Length: 2\r\nContent-Length: 2\r\n", "ok"),
        ),
        (
            "lengths in a list",
            framed("Content-Length: 2, 2\r\n", "ok"),
        ),
        ("a signed length", framed("Content-Length: +2\r\n", "ok")),
        ("a negative length", framed("Content-Length: -2\r\n", "ok")),
        (
            "an endless length",
            framed("Content-Length: 99999999999999999999\r\n", "ok"),
        ),
        (
            "another coding",
            framed("Transfer-Encoding: gzip\r\n", chunked),
        ),
        (
            "two codings",
            framed("Transfer-Encoding: gzip, chunked\r\n", chunked),
        ),
        (
            "chunked before",
            framed("Transfer-Encoding: chunked, gzip\r\n", chunked),
        ),
        (
            "chunked twice",
            framed(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                chunked,
            ),
        ),
        (
            "chunks of 1.0",
            format!("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        ),
        (
            "chunks of nothing",
            format!("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
        ),
        (
            "a length of nothing",
            "HTTP/1.1 204 A\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        ),
        (
            "a length beside chunks",
            framed(
                "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                chunked,
            ),
        ),
        (
            "chunks beside a length",
            framed(
                "transfer-encoding : chunked\r\nA: b\r\ncontent-length : 12\r\n",
                chunked,
            ),
        ),
        (
            "both after an early head",
            "HTTP/1.1 103 A\r\n\r\n".to_owned()
                + &framed(
                    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                    chunked,
                ),
        ),
        ("a bare CR", plain("X: a\rSet-Cookie: b\r\n")),
        ("a NUL", plain("X: a\0b\r\n")),
        ("many fields", plain(&fields)),
        ("a long head", plain(&long)),
        ("many early heads", early + &plain("")),
        (
            "a protocol nobody asked for",
            "HTTP/1.1 101 A\r\nUpgrade: x\r\n\r\n".to_owned(),
        ),
    ];
    text.map(|(what, text)| (what, text.into_bytes())).into()
}

fn path(n: usize) -> String {
    format!("/case/{n}")
}

fn script(answers: &[(&str, Vec<u8>)]) -> Script {
    let answers = answers.iter().enumerate();
    answers
        .map(|(n, (_, bytes))| (path(n), vec![bytes.clone()]))
        .collect()
}

async fn answers_that_break_a_rule_are_failed_attempts(transport: Transport) {
    let cases = malformed();
    let upstream = Upstream::start(script(&cases)).await;
    // With no other endpoint, and never away.
    let alone = all_to(upstream.address).replace("\"] }", "\"], ejection: off }");
    let proxy = Proxy::start(&config(transport, "", &alone)).await;
    let good = simulator(&[("name", "good")]);
    let rest = format!(
        "upstreams:\n  a: {{ endpoints: [\"{}\", \"{}\"], ejection: off, retry_budget: 100 }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n",
        upstream.address,
        good.address()
    );
    let pair = Proxy::start(&config(transport, "", &rest)).await;
    for (n, (what, _)) in cases.iter().enumerate() {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let answer = client.answer(get(&path(n))).await;
        assert_eq!(answer.status, 502, "{what}: {answer:?}");
        let bad = upstream.last().connection;
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let answer = client.answer(get("/good")).await;
        assert_eq!(answer.text(), "good", "after {what}");
        let after = upstream.last().connection;
        assert_ne!(after, bad, "the connection was used again after {what}");
        let mut client = Client::connect(pair.address(), Http::One).await;
        for _ in 0..2 {
            let answer = client.answer(get(&path(n))).await;
            assert_eq!(
                answer.upstream(),
                "good",
                "{what} is tried elsewhere: {answer:?}"
            );
        }
    }
    let checked = proxy.metric(
        "penstock_upstream_attempts_total",
        &["result=\"bad_answer\""],
    );
    assert!(checked > 0.0, "they are counted");
}

async fn the_bounds_on_answers_are_configured(transport: Transport) {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
    let long = format!("X: {}\r\n", "y".repeat(1900));
    let longer = format!("X: {}\r\n", "y".repeat(2100));
    let cases = [
        ("/1", head(&"X: y\r\n".repeat(9)), 200),
        ("/2", head(&"X: y\r\n".repeat(10)), 502),
    ];
    let cases = cases
        .into_iter()
        .chain([("/3", head(&long), 200), ("/4", head(&longer), 502)]);
    let cases: Vec<_> = cases.collect();
    let of = |(path, text, _): &(&str, String, u16)| {
        ((*path).to_owned(), vec![text.clone().into_bytes()])
    };
    let upstream = Upstream::start(cases.iter().map(of).collect()).await;
    let limits = "limits: { response_head: 2KiB, response_fields: 10 }";
    let proxy = Proxy::start(&config(transport, limits, &all_to(upstream.address))).await;
    for (path, _, status) in &cases {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let answer = client.answer(get(path)).await;
        assert_eq!(answer.status, *status, "{path}");
    }
}

/// A server that means the length sends what is left of it as if it were the next answer.
async fn lengths_beside_chunks_end_the_connection(transport: Transport) {
    let body = "2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let both = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{body}",
            body.len()
        )
    };
    let whole = both(body).into_bytes();
    let cut = whole.len() - "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".len();
    let pieces = [0, 5, 25, 40, 60, whole.len()];
    let pieces = pieces
        .windows(2)
        .map(|ends| whole[ends[0]..ends[1]].to_vec());
    let cases = [
        vec![whole.clone()],
        vec![whole[..cut].to_vec(), whole[cut..].to_vec()],
        pieces.collect(),
    ];
    let paths = cases.iter().enumerate();
    let script = paths.map(|(n, pieces)| (path(n), pieces.clone())).collect();
    let upstream = Upstream::start(script).await;
    let one = "workers: 1";
    let proxy = Proxy::start(&config(
        transport,
        one,
        &all_to(upstream.address).replace("\"] }", "\"], ejection: off }"),
    ))
    .await;
    for n in 0..cases.len() {
        let mut client = Client::connect(proxy.address(), Http::One).await;
        // On a connection that has had answers.
        for _ in 0..3 {
            assert_eq!(client.answer(get("/good")).await.text(), "good");
        }
        let kept = upstream.last().connection;
        let answer = client.answer(get(&path(n))).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        let asked = upstream.seen().into_iter();
        let asked = asked.filter(|request| request.head.contains(&path(n)));
        let ended: Vec<_> = asked.map(|request| request.connection).collect();
        assert_eq!(ended.first(), Some(&kept), "it was a kept connection");
        for _ in 0..2 {
            let mut other = Client::connect(proxy.address(), Http::One).await;
            assert_eq!(other.answer(get("/good")).await.text(), "good");
            let used = upstream.last().connection;
            assert!(!ended.contains(&used), "it was used again");
        }
    }
}

/// What can be read in one way only is written in the usual one (RFC 9112 sections 2.2, 5.1
/// and 5.2).
async fn odd_lines_are_passed_on_as_plain_ones(transport: Transport) {
    let odd = "HTTP/1.1 200 OK\nX-Folded: a\r\n b\r\nX-Space : c\nContent-Length: 2\n\nok";
    let script = vec![("/odd".to_owned(), vec![odd.as_bytes().to_vec()])];
    let upstream = Upstream::start(script).await;
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address))).await;
    let request = "GET /odd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = ask(proxy.address(), request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "ok", "{answer:?}");
    let lines: Vec<_> = head.split("\r\n").collect();
    assert!(lines.contains(&"X-Folded: a b"), "{answer:?}");
    assert!(lines.contains(&"X-Space: c"), "{answer:?}");
    assert!(
        lines.iter().all(|line| !line.contains(['\r', '\n'])),
        "{answer:?}"
    );
}

/// Answers after which there is more, as if it were the next one.
async fn nothing_of_one_answer_is_another_clients(transport: Transport) {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let together = |first: &str| vec![format!("{first}{evil}").into_bytes()];
    let apart = |first: &str| vec![first.as_bytes().to_vec(), evil.as_bytes().to_vec()];
    let cases = [
        ("GET", together(plain), "ok"),
        ("GET", together(chunked), "ok"),
        ("GET", together("HTTP/1.1 204 No Content\r\n\r\n"), ""),
        ("GET", together("HTTP/1.1 304 Not Modified\r\n\r\n"), ""),
        (
            "HEAD",
            together("HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n"),
            "",
        ),
        ("GET", apart(plain), "ok"),
        ("GET", apart(chunked), "ok"),
        ("GET", apart("HTTP/1.1 204 No Content\r\n\r\n"), ""),
        (
            "HEAD",
            apart("HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n"),
            "",
        ),
    ];
    let paths = cases.iter().enumerate();
    let script = paths
        .map(|(n, (_, pieces, _))| (path(n), pieces.clone()))
        .collect();
    let upstream = Upstream::start(script).await;
    // One worker, so that there is one pool of connections.
    let one = "workers: 1";
    let proxy = Proxy::start(&config(transport, one, &all_to(upstream.address))).await;
    for (n, (method, pieces, body)) in cases.iter().enumerate() {
        let request = Request::builder().method(*method).uri(path(n));
        let mut client = Client::connect(proxy.address(), Http::One).await;
        let answer = client.answer(request.body(whole("")).unwrap()).await;
        assert_eq!(answer.text(), *body, "{method} {pieces:?}");
        // Until what comes late is here.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        for _ in 0..2 {
            let mut other = Client::connect(proxy.address(), Http::One).await;
            let answer = other.answer(get("/good")).await;
            assert_eq!(answer.text(), "good", "after {method} {n}");
        }
    }
}
