use std::io::Write;

use penstock_simulator::{Endpoint, body_hash};

use crate::client::*;

#[test]
fn plain_is_short_and_names_the_upstream() {
    let simulator = start_with("name=east");
    for path in ["/", "/plain"] {
        let answer = get(&simulator, path);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("x-upstream-name"), Some("east"));
        assert_eq!(answer.body(), (b"ok".to_vec(), true));
    }
    assert_eq!(simulator.stats().requests_to(Endpoint::Plain), 2);
    assert_eq!(simulator.requests(), 2);
}

#[test]
fn models_are_listed_and_found_by_id() {
    let simulator = start_with("models=alpha,beta");
    let list = get(&simulator, "/v1/models").json();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][1]["id"], "beta");
    assert_eq!(list["data"][1]["object"], "model");
    assert_eq!(get(&simulator, "/v1/models/alpha").json()["id"], "alpha");
    let unknown = get(&simulator, "/v1/models/gamma");
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
}

#[test]
fn unknown_models_are_served_unless_strict() {
    let body = chat("");
    assert_eq!(post(&start(), CHAT, "", &body).status(), 200);
    let strict = start_with("strict-models=true");
    let refused = post(&strict, CHAT, "", &body);
    assert_eq!(refused.status(), 404);
    assert_eq!(refused.json()["error"]["code"], "model_not_found");
}

#[test]
fn the_same_body_is_answered_to_the_byte_by_any_worker() {
    let simulator = start_with("workers=2 tokens=uniform(1,200) seed=5");
    let first = post(&simulator, CHAT, "", &chat("")).body();
    for _ in 0..8 {
        assert_eq!(post(&simulator, CHAT, "", &chat("")).body(), first);
    }
    let other = start_with("tokens=uniform(1,200) seed=6");
    assert_ne!(
        post(&other, CHAT, "", &chat("")).body(),
        first,
        "the seed counts"
    );
}

#[test]
fn completions_answer_text() {
    let answer = post(
        &start(),
        "/v1/completions",
        "x-simulate-tokens: 9\r\n",
        r#"{"model":"m","prompt":"one two","max_tokens":4}"#,
    )
    .json();
    assert_eq!(answer["object"], "text_completion");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    let text = answer["choices"][0]["text"].as_str().unwrap();
    assert_eq!(text.split_whitespace().count(), 4);
    assert_eq!(answer["usage"]["total_tokens"], 6);
}

#[test]
fn embeddings_come_as_numbers_or_base64() {
    let simulator = start();
    let ask = |format: &str| {
        let body = format!(
            r#"{{"model":"e","input":["x y"],"dimensions":8,"encoding_format":"{format}"}}"#
        );
        post(&simulator, "/v1/embeddings", "", &body)
    };
    let numbers = ask("float").json();
    assert_eq!(numbers["data"][0]["embedding"].as_array().unwrap().len(), 8);
    let base64 = ask("base64").json();
    // 8 floats of 4 bytes are 32 bytes, which are 44 characters with their padding.
    assert_eq!(base64["data"][0]["embedding"].as_str().unwrap().len(), 44);
    assert_eq!(ask("binary").json()["error"]["param"], "encoding_format");
}

#[test]
fn echo_returns_every_byte_and_tells_the_framing() {
    let simulator = start();
    let body: String = (0..300_000)
        .map(|i| char::from(b'a' + (i % 23) as u8))
        .collect();
    let sized = post(&simulator, "/echo", "", &body);
    assert_eq!(sized.body(), (body.clone().into_bytes(), true));
    assert_eq!(sized.header("x-body-length"), Some("300000"));
    let hash = format!("{:016x}", body_hash(body.as_bytes()));
    assert_eq!(sized.header("x-body-hash"), Some(hash.as_str()));
    assert_eq!(sized.header("x-request-framing"), Some("content-length"));

    let mut socket = connect(&simulator);
    let head =
        "POST /echo HTTP/1.1\r\nhost: s\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(b"3\r\nabc\r\n").unwrap();
    socket.write_all(b"2\r\nde\r\n0\r\n\r\n").unwrap();
    let chunked = read_to_end(&mut socket);
    assert_eq!(chunked.body(), (b"abcde".to_vec(), true));
    assert_eq!(chunked.header("x-request-framing"), Some("chunked"));
    assert_eq!(
        get(&simulator, "/echo").header("x-request-framing"),
        Some("none")
    );
    assert_eq!(simulator.stats().body_bytes, 300_005);
}

#[test]
fn generated_bytes_follow_their_pattern() {
    let simulator = start();
    for length in [0, 1, 251, 64_256, 200_000] {
        let expected: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let sized = get(&simulator, &format!("/bytes/{length}"));
        assert_eq!(
            sized.header("content-length"),
            Some(length.to_string().as_str())
        );
        assert!(sized.body() == (expected.clone(), true), "/bytes/{length}");
        let chunked = get(&simulator, &format!("/chunked/{length}"));
        assert_eq!(chunked.header("transfer-encoding"), Some("chunked"));
        assert!(chunked.body() == (expected, true), "/chunked/{length}");
    }
    let head = "HEAD /bytes/9 HTTP/1.1\r\nhost: s\r\nconnection: close\r\n\r\n";
    let head = exchange(&simulator, head);
    assert_eq!(
        (head.header("content-length"), head.raw_body.len()),
        (Some("9"), 0)
    );
    assert_eq!(get(&simulator, "/bytes/2000000000").status(), 400);
    assert_eq!(get(&simulator, "/bytes/many").status(), 400);
    assert_eq!(simulator.abandoned(), 0, "every answer was read to its end");
}

#[test]
fn mistakes_have_openai_s_error_shape() {
    let simulator = start();
    for (answer, status, code) in [
        (
            post(&simulator, "/v1/responses", "", "{}"),
            404,
            "unknown_url",
        ),
        (get(&simulator, CHAT), 405, "method_not_supported"),
        (
            post(&simulator, CHAT, "", r#"{"model":"m"}"#),
            400,
            "missing_required_parameter",
        ),
        (
            post(&simulator, CHAT, "", &chat(r#","n":2"#)),
            400,
            "unsupported_value",
        ),
        (
            post(&simulator, CHAT, "x-simulate: explode\r\n", &chat("")),
            400,
            "invalid_simulation",
        ),
        (
            post(&simulator, CHAT, "x-simulate-pace: fast\r\n", "{}"),
            400,
            "invalid_simulation",
        ),
    ] {
        assert_eq!(answer.status(), status, "{code}");
        let json = answer.json();
        assert_eq!(json["error"]["code"], code);
        assert!(json["error"]["message"].is_string());
    }
    let broken = post(&simulator, CHAT, "", "{\"model\":");
    assert_eq!(broken.status(), 400);
    assert!(
        broken.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("could not parse")
    );
    let kinds = post(&simulator, "/plain", "x-simulate: explode\r\n", "").json();
    let message = kinds["error"]["message"].as_str().unwrap();
    assert!(message.contains("refuse, reset, cut, stall"), "{message}");
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let simulator = start_with("body-bytes-max=1000");
    assert_eq!(
        post(&simulator, "/echo", "", &"x".repeat(1000)).status(),
        200
    );
    let sized = exchange(
        &simulator,
        "POST /echo HTTP/1.1\r\nhost: s\r\ncontent-length: 1001\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(sized.status(), 413);
    let chunk = "x".repeat(1001);
    let chunked = exchange(
        &simulator,
        &format!(
            "POST /echo HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\n\
             connection: close\r\n\r\n3e9\r\n{chunk}\r\n0\r\n\r\n"
        ),
    );
    assert_eq!(chunked.status(), 413);
    assert_eq!(chunked.json()["error"]["code"], "request_too_large");
}
