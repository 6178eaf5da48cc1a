use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::*;

fn chunks(events: &[String]) -> Vec<Value> {
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    chunks
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect()
}

#[test]
fn a_chat_stream_has_role_tokens_finish_usage_and_done() {
    let body = chat(r#","stream":true,"stream_options":{"include_usage":true},"max_tokens":5"#);
    let answer = post(&start(), CHAT, "", &body);
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert!(answer.body().1, "the last chunk is there");
    // An event's end that is followed by a chunk's end.
    let framed = String::from_utf8_lossy(&answer.raw_body)
        .matches("\n\n\r\n")
        .count();
    assert_eq!(
        framed,
        answer.events().len(),
        "each event is a chunk of its own"
    );
    let chunks = chunks(&answer.events());
    assert_eq!(chunks.len(), 1 + 5 + 1 + 1);
    let (usage, others) = chunks.split_last().unwrap();
    for chunk in others {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], usage["id"]);
        assert_eq!(chunk["usage"], Value::Null);
        assert!(
            chunk.as_object().unwrap().contains_key("usage"),
            "null, not absent"
        );
    }
    assert_eq!(others[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(others[0]["choices"][0]["delta"]["content"], "");
    for chunk in &others[1..6] {
        let word = chunk["choices"][0]["delta"]["content"].as_str().unwrap();
        assert_eq!(word.split_whitespace().count(), 1);
        assert_eq!(chunk["choices"][0]["finish_reason"], Value::Null);
    }
    assert_eq!(others[6]["choices"][0]["finish_reason"], "length");
    assert_eq!(usage["choices"], Value::Array(Vec::new()));
    assert_eq!(usage["usage"]["prompt_tokens"], 3);
    assert_eq!(usage["usage"]["completion_tokens"], 5);
}

#[test]
fn usage_is_absent_unless_asked_for() {
    let answer = post(&start(), CHAT, "", &chat(r#","stream":true"#));
    let chunks = chunks(&answer.events());
    assert_eq!(chunks.len(), 1 + 16 + 1);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(chunks[17]["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_completions_stream_has_no_role() {
    let body = r#"{"model":"m","prompt":"a","stream":true}"#;
    let answer = post(
        &start(),
        "/v1/completions",
        "x-simulate-tokens: 3\r\n",
        body,
    );
    let chunks = chunks(&answer.events());
    assert_eq!(chunks.len(), 3 + 1);
    assert_eq!(chunks[0]["object"], "text_completion");
    assert!(
        chunks[0]["choices"][0]["text"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
}

#[test]
fn tokens_come_no_sooner_than_their_pace() {
    let headers =
        "x-simulate-first-token: 60ms\r\nx-simulate-pace: 20ms\r\nx-simulate-tokens: 6\r\n";
    let simulator = start();
    let mut socket = connect(&simulator);
    let begin = Instant::now();
    socket
        .write_all(post_text(CHAT, headers, &chat(r#","stream":true"#)).as_bytes())
        .unwrap();
    read_until(&mut socket, "\r\n\r\n");
    read_until(&mut socket, "\"role\"");
    assert!(
        begin.elapsed() >= Duration::from_millis(60),
        "first token after {:?}",
        begin.elapsed()
    );
    read_until(&mut socket, "[DONE]");
    assert!(
        begin.elapsed() >= Duration::from_millis(160),
        "all after {:?}",
        begin.elapsed()
    );
    // The same answer whole takes as long.
    let begin = Instant::now();
    assert_eq!(post(&simulator, CHAT, headers, &chat("")).status(), 200);
    assert!(
        begin.elapsed() >= Duration::from_millis(160),
        "whole after {:?}",
        begin.elapsed()
    );
}

#[test]
fn slow_multiplies_every_wait() {
    let headers = "x-simulate: slow; factor=5\r\nx-simulate-first-token: 10ms\r\n\
                   x-simulate-pace: 10ms\r\nx-simulate-tokens: 3\r\n";
    let begin = Instant::now();
    let answer = post(&start(), CHAT, headers, &chat(r#","stream":true"#));
    assert!(begin.elapsed() >= Duration::from_millis(150));
    assert_eq!(chunks(&answer.events()).len(), 5);
}

#[test]
fn streams_over_the_limit_are_refused_by_name() {
    let simulator = start_with("streams-max=1");
    let mut first = connect(&simulator);
    let request = post_text(
        CHAT,
        "x-simulate: stall; at=1\r\n",
        &chat(r#","stream":true"#),
    );
    first.write_all(request.as_bytes()).unwrap();
    read_until(&mut first, "\"role\"");
    assert_eq!(simulator.stats().streams_open, 1);
    let second = post(&simulator, CHAT, "", &chat(r#","stream":true"#));
    assert_eq!(second.status(), 503);
    assert_eq!(second.json()["error"]["code"], "overloaded");
    drop(first);
    eventually("the first stream ends", || {
        simulator.stats().streams_open == 0
    });
    assert_eq!(
        post(&simulator, CHAT, "", &chat(r#","stream":true"#)).status(),
        200
    );
}
