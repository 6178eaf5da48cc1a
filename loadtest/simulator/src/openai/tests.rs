//! Requests as clients write them, and answers as clients read them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use serde_json::Value;

use crate::distribution::{Count, Pace};
use crate::openai::request::{self, EmbeddingsRequest, TextRequest};
use crate::openai::script::{Manner, Script};
use crate::openai::text::{Writer, whole};
use crate::openai::{embeddings, words};

const CHAT: &[u8] = br#"{"model":"m \"1\"","messages":[{"role":"system","content":"two words"},
    {"role":"user","content":[{"type":"text","text":"three more\twords"},
    {"type":"image_url","image_url":{"url":"data: not counted"}}]},
    {"role":"assistant","content":null,"tool_calls":[{"id":"not counted"}]}]}"#;

fn manner(tokens: &str) -> Manner {
    Manner {
        first_token: Pace::ZERO,
        between_tokens: "exponential(20ms)".parse().unwrap(),
        tokens: tokens.parse::<Count>().unwrap(),
        slowness: 1.0,
    }
}

fn content(answer: &[u8]) -> Value {
    serde_json::from_slice::<Value>(answer).unwrap()
}

#[test]
fn usage_counts_the_words_that_are_there() {
    let request = TextRequest::chat(CHAT).unwrap();
    for (tokens, tokens_max, produced, reason) in [
        ("12", None, 12, "stop"),
        ("12", Some(12), 12, "stop"),
        ("12", Some(5), 5, "length"),
        ("1", None, 1, "stop"),
    ] {
        let mut script = Script::new(0, CHAT, manner(tokens), tokens_max);
        let answer = content(&whole(&request, &mut script, 7));
        let choice = &answer["choices"][0];
        let words = choice["message"]["content"]
            .as_str()
            .unwrap()
            .split_whitespace()
            .count();
        assert_eq!(words, produced, "the content has as many words as tokens");
        assert_eq!(answer["usage"]["completion_tokens"], produced);
        assert_eq!(answer["usage"]["prompt_tokens"], 5);
        assert_eq!(answer["usage"]["total_tokens"], produced + 5);
        assert_eq!(choice["finish_reason"], reason);
        assert_eq!(
            answer["model"], "m \"1\"",
            "the model is echoed with its escapes"
        );
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["created"], 7);
        assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    }
}

#[test]
fn words_are_what_white_space_separates() {
    let every = (0..=0x3100).filter_map(char::from_u32);
    let separated = every.map(|c| format!("one{c}two"));
    let others = ["", " ", "one", " one\t\r\ntwo ", "naïve café\u{3000}水門 "];
    for text in separated.chain(others.map(String::from)) {
        let words = text.split_whitespace().count() as u64;
        assert_eq!(request::words(&text), words, "{text:?}");
    }
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    for body in [CHAT, br#"{"model":"m","prompt":"one two"}"#] {
        let request = if body == CHAT {
            TextRequest::chat(body).unwrap()
        } else {
            TextRequest::completions(body).unwrap()
        };
        let script = || Script::new(3, body, manner("40"), None);
        let complete = content(&whole(&request, &mut script(), 0));
        let choice = &complete["choices"][0];
        let text = choice["message"]["content"]
            .as_str()
            .or(choice["text"].as_str())
            .unwrap();
        let mut script = script();
        let writer = Writer::new(&request, &script, 0);
        let mut streamed = String::new();
        for _ in 0..script.tokens {
            let event = writer.token(&mut script);
            let data = event
                .strip_prefix(b"data: ")
                .unwrap()
                .strip_suffix(b"\n\n")
                .unwrap();
            let chunk = content(data);
            assert_eq!(chunk["id"], complete["id"]);
            assert!(chunk.get("usage").is_none(), "usage was not asked for");
            let choice = &chunk["choices"][0];
            streamed += choice["delta"]["content"]
                .as_str()
                .or(choice["text"].as_str())
                .unwrap();
        }
        assert_eq!(streamed, text);
    }
}

#[test]
fn words_do_not_depend_on_the_pace() {
    let request = TextRequest::chat(CHAT).unwrap();
    let answer = |manner: Manner| whole(&request, &mut Script::new(1, CHAT, manner, None), 0);
    let slow = Manner {
        first_token: "normal(1s,1s)".parse().unwrap(),
        ..manner("30")
    };
    assert_eq!(answer(manner("30")), answer(slow));
}

#[test]
fn seed_and_body_decide_everything() {
    let shape = |seed, body: &[u8]| {
        let mut script = Script::new(seed, body, manner("uniform(1,1000)"), None);
        (script.tokens, script.id, script.duration())
    };
    assert_eq!(shape(1, CHAT), shape(1, CHAT));
    assert_ne!(shape(1, CHAT), shape(2, CHAT), "the seed counts");
    assert_ne!(shape(1, CHAT), shape(1, b"{}"), "the body counts");
}

#[test]
fn vocabulary_is_json_as_it_stands_and_one_word_each() {
    for word in words::WORDS {
        assert_eq!(serde_json::to_string(word).unwrap(), format!("\"{word}\""));
        assert_eq!(word.split_whitespace().count(), 1);
    }
}

#[test]
fn embeddings_have_length_one_and_depend_on_their_text_alone() {
    let one = br#"{"model":"e","input":"a b","dimensions":300}"#;
    let two = br#"{"model":"e","input":["c","a b"],"dimensions":300}"#;
    let answer = |body: &[u8]| {
        content(&embeddings::answer(
            &EmbeddingsRequest::read(body).unwrap(),
            4,
        ))
    };
    let (one, two) = (answer(one), answer(two));
    assert_eq!(one["data"][0]["embedding"], two["data"][1]["embedding"]);
    assert_ne!(one["data"][0]["embedding"], two["data"][0]["embedding"]);
    let vector = one["data"][0]["embedding"].as_array().unwrap();
    let square: f64 = vector.iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
    assert_eq!(vector.len(), 300);
    assert!((square - 1.0).abs() < 1e-5, "length² is {square}");
    assert_eq!(one["usage"]["prompt_tokens"], 2);
    assert_eq!(two["usage"]["total_tokens"], 3);
}

#[test]
fn token_numbers_are_tokens() {
    let request = TextRequest::completions(br#"{"model":"m","prompt":[5,6,7]}"#).unwrap();
    assert_eq!(request.prompt_tokens, 3);
    let lists = EmbeddingsRequest::read(br#"{"model":"e","input":[[1,2],[3]]}"#).unwrap();
    assert_eq!(
        lists
            .inputs
            .iter()
            .map(|input| input.tokens)
            .collect::<Vec<_>>(),
        [2, 1]
    );
}

#[test]
fn wrong_requests_are_refused_as_openai_does() {
    for (body, code, param) in [
        (
            r#"{"messages":[{"content":"x"}]}"#,
            "missing_required_parameter",
            "model",
        ),
        (r#"{"model":"m"}"#, "missing_required_parameter", "messages"),
        (
            r#"{"model":"m","messages":[{}],"n":2}"#,
            "unsupported_value",
            "n",
        ),
        (
            r#"{"model":"m","messages":[{}],"max_tokens":0}"#,
            "integer_out_of_range",
            "max_tokens",
        ),
        (
            r#"{"model":"m","messages":[]}"#,
            "unsupported_value",
            "messages",
        ),
    ] {
        let error = content(&TextRequest::chat(body.as_bytes()).unwrap_err().body());
        assert_eq!(error["error"]["code"], code, "{body}");
        assert_eq!(error["error"]["param"], param, "{body}");
        assert_eq!(error["error"]["type"], "invalid_request_error");
    }
    let error = content(&TextRequest::chat(b"{").unwrap_err().body());
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("could not parse")
    );
    let error = content(&TextRequest::chat(br#"{"model":7}"#).unwrap_err().body());
    assert_eq!(error["error"]["code"], "invalid_type");
    let error = EmbeddingsRequest::read(br#"{"model":"e","input":"x","dimensions":5000}"#);
    assert_eq!(
        content(&error.unwrap_err().body())["error"]["param"],
        "dimensions"
    );
}
