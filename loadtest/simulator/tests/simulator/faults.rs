use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::client::*;

fn stream(fault: &str) -> (penstock_simulator::Simulator, Arrived) {
    let simulator = start();
    let answer = post(
        &simulator,
        CHAT,
        &format!("x-simulate: {fault}\r\n"),
        &chat(r#","stream":true"#),
    );
    (simulator, answer)
}

fn tokens(answer: &Arrived) -> usize {
    String::from_utf8(answer.body().0)
        .unwrap()
        .matches(r#""delta":{"content":"#)
        .count()
}

#[test]
fn refuse_resets_before_any_byte() {
    for fault in ["refuse", "refuse; at=body"] {
        let (simulator, answer) = stream(fault);
        assert_eq!(answer.error, Some(ErrorKind::ConnectionReset), "{fault}");
        assert_eq!(answer.head, "");
        assert_eq!(answer.raw_body, b"");
        assert_eq!(simulator.recorded().len(), 1, "{fault}");
        assert_eq!(simulator.abandoned(), 0, "it was the simulator that left");
    }
}

#[test]
fn reset_comes_after_the_tokens_asked_for() {
    for after in [0, 1, 4] {
        let (_simulator, answer) = stream(&format!("reset; after={after}"));
        assert_eq!(answer.error, Some(ErrorKind::ConnectionReset));
        assert_eq!(answer.status(), 200, "the head was there before the reset");
        assert_eq!(tokens(&answer), after);
        assert!(!answer.body().1);
    }
}

#[test]
fn cut_ends_without_the_last_chunk() {
    for (after, seen) in [(0, 0), (3, 3), (99, 16)] {
        let (simulator, answer) = stream(&format!("cut; after={after}"));
        assert_eq!(answer.error, None, "a cut is a FIN");
        assert_eq!(tokens(&answer), seen);
        assert!(!answer.body().1, "the terminating chunk must be missing");
        assert_eq!(simulator.abandoned(), 0);
    }
}

#[test]
fn answers_that_are_not_streamed_break_in_half() {
    let simulator = start();
    let whole = post(&simulator, CHAT, "", &chat("")).raw_body.len();
    for (fault, error) in [("cut", None), ("reset", Some(ErrorKind::ConnectionReset))] {
        let answer = post(
            &simulator,
            CHAT,
            &format!("x-simulate: {fault}\r\n"),
            &chat(""),
        );
        assert_eq!(answer.error, error);
        assert_eq!(
            answer.header("content-length"),
            Some(whole.to_string().as_str())
        );
        assert_eq!(answer.raw_body.len(), whole - whole / 2);
        let head_only = post(
            &simulator,
            CHAT,
            &format!("x-simulate: {fault}; after=0\r\n"),
            &chat(""),
        );
        assert_eq!((head_only.status(), head_only.raw_body.len()), (200, 0));
    }
    let request = "GET /chunked/200000 HTTP/1.1\r\nhost: s\r\nx-simulate: cut\r\n\r\n";
    let (body, complete) = exchange(&simulator, request).body();
    assert_eq!((body.len(), complete), (100_000, false));
}

#[test]
fn stall_holds_until_the_client_leaves() {
    for (at, arrives) in [
        ("head", None),
        ("first", Some("\r\n\r\n")),
        ("2", Some("\"role\"")),
    ] {
        let simulator = start();
        let mut socket = connect(&simulator);
        let headers = format!("x-simulate: stall; at={at}\r\n");
        socket
            .write_all(post_text(CHAT, &headers, &chat(r#","stream":true"#)).as_bytes())
            .unwrap();
        if let Some(text) = arrives {
            let seen = read_until(&mut socket, text);
            assert!(!seen.contains("[DONE]"));
        }
        // Whatever was on its way arrives at once; then there is silence.
        socket
            .set_read_timeout(Some(Duration::from_millis(60)))
            .unwrap();
        let mut rest = Vec::new();
        let error = socket.read_to_end(&mut rest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "at={at}");
        assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"));
        assert_eq!(simulator.abandoned(), 0);
        drop(socket);
        eventually("the leaving is counted", || simulator.abandoned() == 1);
        eventually("the connection is closed", || {
            simulator.connections_open() == 0
        });
    }
}

#[test]
fn a_stall_for_a_time_goes_on_afterwards() {
    for at in ["body", "head", "first", "2"] {
        let begin = Instant::now();
        let (_simulator, answer) = stream(&format!("stall; at={at}; for=50ms"));
        assert!(begin.elapsed() >= Duration::from_millis(50), "at={at}");
        assert_eq!(tokens(&answer), 16, "at={at}");
        assert!(answer.body().1);
    }
}

#[test]
fn status_has_openai_s_shape_and_retry_after() {
    let (_simulator, limited) = stream("429; retry-after=7");
    assert_eq!(
        (limited.status(), limited.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    let (_simulator, limited) = stream("429");
    assert_eq!(limited.header("retry-after"), Some("1"));
    for (fault, status) in [
        ("500", 500),
        ("status; code=503", 503),
        ("418; at=body", 418),
    ] {
        let (_simulator, answer) = stream(fault);
        assert_eq!(
            (answer.status(), answer.header("retry-after")),
            (status, None)
        );
        assert!(answer.json()["error"]["message"].is_string());
    }
}

#[test]
fn malformed_is_complete_http_with_broken_json() {
    let simulator = start();
    let whole = post(&simulator, CHAT, "x-simulate: malformed\r\n", &chat(""));
    let (body, complete) = whole.body();
    assert!(complete && whole.status() == 200);
    assert!(serde_json::from_slice::<serde_json::Value>(&body).is_err());

    let (_simulator, answer) = stream("malformed; after=2");
    assert!(answer.body().1);
    let broken = answer.events().iter().position(|event| {
        event != "[DONE]" && serde_json::from_str::<serde_json::Value>(event).is_err()
    });
    assert_eq!(
        broken,
        Some(3),
        "role and two tokens, then the broken event"
    );
    assert_eq!(
        answer.events().last().map(String::as_str),
        Some("[DONE]"),
        "the rest follows"
    );
}

#[test]
fn faults_by_probability_hit_identical_requests_and_repeat() {
    let outcomes = || {
        let simulator = start_with("faults=500=0.3,429;retry-after=9=0.2 seed=4");
        let status = |_| post(&simulator, CHAT, "", &chat("")).status();
        (0..60).map(status).collect::<Vec<u16>>()
    };
    let first = outcomes();
    for (status, range) in [(500, 8..30), (429, 3..24), (200, 15..45)] {
        let count = first.iter().filter(|seen| **seen == status).count();
        assert!(range.contains(&count), "{count} of 60 are {status}");
    }
    assert_eq!(outcomes(), first, "the seed repeats the run");
}

#[test]
fn the_header_wins_over_the_settings() {
    let simulator = start_with("faults=500=1");
    assert_eq!(get(&simulator, "/plain").status(), 500);
    let answer = post(
        &simulator,
        CHAT,
        "x-simulate: slow; factor=1\r\n",
        &chat(""),
    );
    assert_eq!(answer.status(), 200);
    let mut socket = connect(&simulator);
    socket
        .write_all(b"GET / HTTP/1.1\r\nhost: s\r\nx-simulate: refuse\r\n\r\n")
        .unwrap();
    let error = socket.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
