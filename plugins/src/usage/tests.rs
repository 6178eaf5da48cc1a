//! Transcripts, cut into pieces in every way.

use http::HeaderValue;

use super::*;
use crate::limits::counter::tests::Random;

fn headers(content_type: &'static str) -> HeaderMap {
    [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]
        .into_iter()
        .collect()
}

/// What is found in these pieces, and what the client gets.
fn read<'a>(
    content_type: &'static str,
    strip: bool,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Usage, Vec<u8>) {
    let mut reader = Reader::new(&headers(content_type), strip).unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&reader.read(Bytes::copy_from_slice(piece), false));
    }
    out.extend_from_slice(&reader.read(Bytes::new(), true));
    (reader.usage, out)
}

/// Cuts a text in two at every place, into single bytes, and at random; whatever is
/// found must be the same each time.
fn in_every_way(content_type: &'static str, strip: bool, text: &str) -> (Usage, String) {
    let text = text.as_bytes();
    let whole = read(content_type, strip, [text]);
    let check = |pieces: Vec<&[u8]>, how: String| {
        let found = read(content_type, strip, pieces);
        assert_eq!(found.0, whole.0, "{how}");
        let (found, whole) = (found.1.escape_ascii(), whole.1.escape_ascii());
        assert_eq!(found.to_string(), whole.to_string(), "{how}");
    };
    for at in 0..=text.len() {
        let (a, b) = text.split_at(at);
        check(vec![a, b], format!("cut at {at}"));
    }
    check(text.chunks(1).collect(), "in single bytes".to_owned());
    for seed in 0..200 {
        let (mut random, mut rest, mut pieces) = (Random(seed), text, Vec::new());
        while !rest.is_empty() {
            let length = random.below(40).min(rest.len() as u64) as usize;
            let (piece, after) = rest.split_at(length);
            pieces.push(piece);
            rest = after;
        }
        check(pieces, format!("cut at random by seed {seed}"));
    }
    (whole.0, String::from_utf8(whole.1).unwrap())
}

fn tokens(usage: &Usage) -> (Option<u64>, Option<u64>, Option<u64>, bool) {
    let Usage { is_whole, .. } = *usage;
    let (prompt, completion) = (usage.prompt_tokens(), usage.completion_tokens());
    (prompt, completion, usage.total_tokens(), is_whole)
}

const JSON: &str = "application/json; charset=utf-8";
const EVENTS: &str = "text/event-stream";

const CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m",
"choices":[{"index":0,"message":{"role":"assistant","content":"\"usage\":{\"prompt_tokens\":666} \\"},
"usage":{"prompt_tokens":667},"finish_reason":"stop"}],"x":[{"usage":{"prompt_tokens":668}}],
"usage" : { "prompt_tokens" : 9, "completion_tokens":12,"total_tokens":21,
"prompt_tokens_details":{"cached_tokens":0,"prompt_tokens":669},"completion_tokens_details":{"reasoning_tokens":5}},"end":[1.5,-2e9,true,null,{}]}"#;

#[test]
fn json_bodies_state_their_usage() {
    let (usage, out) = in_every_way(JSON, false, CHAT);
    assert_eq!(tokens(&usage), (Some(9), Some(12), Some(21), true));
    assert_eq!(out, CHAT);

    let embeddings = r#"{"data":[{"embedding":[0.1,-2.5e-3],"index":0}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let (usage, _) = in_every_way(JSON, false, embeddings);
    assert_eq!(tokens(&usage), (Some(8), None, Some(8), true));

    let messages = r#"{"type":"message","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":3,
        "cache_creation_input_tokens":100,"cache_read_input_tokens":1000,
        "cache_creation":{"ephemeral_5m_input_tokens":100},"output_tokens":7,"service_tier":"standard"}}"#;
    let (usage, _) = in_every_way(JSON, true, messages);
    assert_eq!(tokens(&usage), (Some(1103), Some(7), Some(1110), true));

    let responses = r#"{"object":"response","usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":30},
        "output_tokens":87,"output_tokens_details":{"reasoning_tokens":80},"total_tokens":123}}"#;
    let (usage, _) = in_every_way(JSON, false, responses);
    assert_eq!(tokens(&usage), (Some(36), Some(87), Some(123), true));

    let more = r#"{"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":30}}"#;
    let (usage, _) = in_every_way(JSON, false, more);
    assert_eq!(
        usage.total_tokens(),
        Some(30),
        "some count thinking in the total alone"
    );
}

#[test]
fn what_states_no_usage_has_none() {
    let deep = "[".repeat(5000);
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"error":{"message":"no"}}"#,
        r#"{"usage":null}"#,
        r#"{"usage":{}}"#,
        r#"{"usage":[{"prompt_tokens":1}]}"#,
        r#"{"usage":{"prompt_tokens":"1"}}"#,
        r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5,"total_tokens":1e3}}"#,
        r#"{"usage":{"prompt_tokens":99999999999999999999}}"#,
        r#"{"usage":{"prompt_tokens":1000000000001}}"#,
        r#"{"us\u0061ge":{"prompt_tokens":1}}"#,
        r#"["usage",{"prompt_tokens":1}]"#,
        r#"[{"usage":{"prompt_tokens":1}}]"#,
        r#"{"a":{"usage":{"prompt_tokens":1}}}"#,
        r#"}{"usage":{"prompt_tokens":1}}"#,
        r#"{"a":1]"usage":{"prompt_tokens":1}}"#,
        "<html>\"usage\":{\"prompt_tokens\":1}",
        &deep,
    ] {
        let (usage, _) = in_every_way(JSON, false, text.get(..300).unwrap_or(text));
        assert_eq!(usage, Usage::default(), "{text}");
        read(JSON, false, [text.as_bytes()]);
    }
    let cut = CHAT.split_at(CHAT.find("\"completion_tokens\"").unwrap()).0;
    let (usage, _) = in_every_way(JSON, false, cut);
    assert_eq!(usage.completion_tokens(), None);
}

/// A chat stream as it comes when usage was asked for, and as it comes when not.
fn chat_stream() -> (String, String) {
    let event = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{choices}]{usage}}}\n\n"
        )
    };
    let says = [
        r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#,
        r#"{"index":0,"delta":{"content":"\"usage\":null,\"choices\":[]"},"finish_reason":null}"#,
        r#"{"index":0,"delta":{},"finish_reason":"stop"}"#,
    ];
    let (mut asked, mut unasked) = (String::new(), String::new());
    for choices in says {
        asked += &event(choices, ",\"usage\":null");
        unasked += &event(choices, "");
    }
    asked += ": still here\n\n";
    unasked += ": still here\n\n";
    // Azure's first event has no choices, and is no usage.
    asked += "data: {\"usage\":null,\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    unasked += "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    asked += &event(
        "",
        r#","usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}"#,
    );
    asked += "data: [DONE]\n\n";
    unasked += "data: [DONE]\n\n";
    (asked, unasked)
}

#[test]
fn the_client_gets_what_it_would_have_got_unasked() {
    let (asked, unasked) = chat_stream();
    for end in ["\n", "\r\n", "\r"] {
        for space in [" ", ""] {
            let spell = |text: &str| {
                text.replace("data: ", &format!("data:{space}"))
                    .replace('\n', end)
            };
            let (usage, out) = in_every_way(EVENTS, true, &spell(&asked));
            assert_eq!(out, spell(&unasked), "line end {end:?}, space {space:?}");
            assert_eq!(tokens(&usage), (Some(4), Some(6), Some(10), true));
            assert_eq!(usage.events(), 6);

            let (usage, out) = in_every_way(EVENTS, false, &spell(&asked));
            assert_eq!(
                out,
                spell(&asked),
                "nothing is taken out that the client asked for"
            );
            assert_eq!(tokens(&usage), (Some(4), Some(6), Some(10), true));

            let (usage, out) = in_every_way(EVENTS, true, &spell(&unasked));
            assert_eq!(out, spell(&unasked), "there is nothing to take out");
            assert!(!usage.is_whole() && usage.events() == 5);
        }
    }
}

#[test]
fn usage_beside_choices_stays() {
    let text = "data: {\"choices\":[{\"index\":0}],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":6}}\n\n";
    let (usage, out) = in_every_way(EVENTS, true, text);
    assert_eq!(out, text);
    assert_eq!(tokens(&usage), (Some(4), Some(6), Some(10), true));
}

#[test]
fn anthropic_streams_state_the_prompt_first_and_the_rest_last() {
    let begin = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
    let middle = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";
    let end = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let (usage, out) = in_every_way(EVENTS, true, &format!("{begin}{middle}{end}"));
    assert_eq!(out, format!("{begin}{middle}{end}"));
    assert_eq!(tokens(&usage), (Some(30), Some(15), Some(45), true));
    let (usage, _) = in_every_way(EVENTS, true, &format!("{begin}{middle}"));
    assert_eq!(
        tokens(&usage),
        (Some(30), Some(1), Some(31), false),
        "it was cut"
    );
}

#[test]
fn streams_of_the_responses_api_state_it_when_completed() {
    let text = "\u{feff}event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"usage\":null}}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"output\":[],\ndata: \"usage\":{\"input_tokens\":7,\"output_tokens\":11,\"total_tokens\":18},\"user\":null}}\n\n";
    let (usage, out) = in_every_way(EVENTS, true, text);
    assert_eq!(out, text);
    assert_eq!(tokens(&usage), (Some(7), Some(11), Some(18), true));
    assert_eq!(
        usage.events(),
        2,
        "lines of data that follow each other are one event"
    );
}

#[test]
fn an_event_without_an_end_is_passed_on_at_the_end() {
    let text = "data: {\"choices\":[{}],\"usage\":null}";
    let (_, out) = in_every_way(EVENTS, true, text);
    assert_eq!(out, text);
}

#[test]
fn an_endless_event_is_not_held_back_for_ever() {
    let mut reader = Reader::new(&headers(EVENTS), true).unwrap();
    let mut out = reader
        .read(Bytes::from_static(b"data: {\"a\":\""), false)
        .len();
    assert_eq!(out, 0, "its end may be near");
    let (piece, mut sent) = (Bytes::from(vec![b'x'; 1000]), 12);
    for _ in 0..1000 {
        out += reader.read(piece.clone(), false).len();
        sent += piece.len();
    }
    assert_eq!(out, sent);
    let end = b"\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
    assert_eq!(
        &reader.read(Bytes::from_static(end), false)[..],
        end,
        "it goes on as it is"
    );
    assert_eq!(
        reader.usage.prompt_tokens(),
        Some(1),
        "and is read all the same"
    );
    let next = b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":2}}\n\n";
    assert!(
        reader.read(Bytes::from_static(next), false).is_empty(),
        "the next is taken out"
    );
}

#[test]
fn only_what_can_be_read_gets_a_reader() {
    for content_type in [
        "text/html",
        "text/event-streams",
        "application/jsonl",
        "json",
        "",
    ] {
        assert!(
            Reader::new(&headers(content_type), true).is_none(),
            "{content_type}"
        );
    }
    for content_type in [
        "application/json",
        "Application/JSON;x=y",
        "application/problem+json",
    ] {
        assert!(
            Reader::new(&headers(content_type), true).is_some(),
            "{content_type}"
        );
    }
    assert!(Reader::new(&HeaderMap::new(), true).is_none());
    let mut compressed = headers(JSON);
    compressed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(Reader::new(&compressed, true).is_none());
    compressed.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    assert!(Reader::new(&compressed, true).is_some());
}

/// Random bytes of the alphabet that matters never make it panic, and cutting them
/// never matters.
#[test]
fn noise_is_read_the_same_however_it_is_cut() {
    const ALPHABET: [&str; 22] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\n",
        "\r",
        "\n\n",
        "data:",
        "data: ",
        "null",
        "12",
        "-1.5",
        "\"usage\"",
        "\"choices\":[",
        "\"prompt_tokens\":7",
        " ",
        "x",
        "\u{feff}",
    ];
    for seed in 0..150 {
        let mut random = Random(seed);
        let words = (0..60).map(|_| ALPHABET[random.below(ALPHABET.len() as u64) as usize]);
        let text: String = words.collect();
        in_every_way(JSON, false, &text);
        in_every_way(EVENTS, true, &text);
        let (_, out) = in_every_way(EVENTS, false, &text);
        assert_eq!(out, text);
    }
}
