//! What counts as the beginning of a stream, event by event and byte by byte.

use super::*;

const OUTPUT: Opening = Opening::Output;
const ERROR: Opening = Opening::Failed(Failure::Error);
const MALFORMED: Opening = Opening::Failed(Failure::Malformed);

/// What a stream of these data shows, whatever pieces it arrives in.
fn opening(data: &[&str]) -> Opening {
    let stream: String = data
        .iter()
        .map(|data| format!("data: {data}\n\n"))
        .collect();
    raw(&stream)
}

fn raw(stream: &str) -> Opening {
    let whole = Preamble::default().read(stream.as_bytes());
    for size in [1, 2, 3, 7] {
        let mut preamble = Preamble::default();
        let mut pieces = stream.as_bytes().chunks(size);
        let cut = pieces.find_map(|piece| match preamble.read(piece) {
            Opening::Preamble => None,
            opening => Some(opening),
        });
        assert_eq!(
            cut.unwrap_or(Opening::Preamble),
            whole,
            "{stream:?} by {size}"
        );
    }
    whole
}

#[test]
fn what_says_nothing_is_preamble() {
    for data in [
        r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[]}}]}"#,
        r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
        r#"{"choices":[{"text":"","finish_reason":null}]}"#,
        r#"{"type":"response.created","response":{"id":"r","error":null,"output":[]}}"#,
        r#"{"type":"response.in_progress"}"#,
        r#"{"type":"response.output_item.added","item":{"type":"message"}}"#,
        r#"{"type":"message_start","message":{"id":"m","content":[]}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
    ] {
        assert_eq!(opening(&[data]), Opening::Preamble, "{data}");
        assert_eq!(opening(&[data, data]), Opening::Preamble, "{data}");
        assert_eq!(opening(&[data, "[DONE]"]), OUTPUT, "{data}");
    }
}

#[test]
fn any_part_of_an_answer_is_output() {
    for data in [
        r#"{"choices":[{"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"role":"assistant","content":" "}}]}"#,
        r#"{"choices":[{"delta":{}},{"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"no"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"text":"a"}]}"#,
        r#"{"type":"response.output_text.delta","delta":"a"}"#,
        r#"{"type":"response.completed"}"#,
        r#"{"type":"response.incomplete"}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
        r#"{"type":"something.of.tomorrow"}"#,
        r#"{"choices":"of another make"}"#,
        r#"{}"#,
        "[DONE]",
    ] {
        assert_eq!(opening(&[data]), OUTPUT, "{data}");
    }
}

#[test]
fn an_error_in_the_stream_is_a_failure() {
    for data in [
        r#"{"error":{"message":"overloaded","type":"server_error","code":500}}"#,
        r#"{"error":"out of memory"}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        r#"{"type":"error","code":"server_error","message":"m"}"#,
        r#"{"type":"response.failed","response":{"error":{"code":"server_error"}}}"#,
    ] {
        assert_eq!(opening(&[data]), ERROR, "{data}");
        let role = r#"{"choices":[{"delta":{"role":"assistant"}}]}"#;
        assert_eq!(opening(&[role, data]), ERROR, "{data}");
    }
    let null = r#"{"error":null,"choices":[{"delta":{"content":"a"}}]}"#;
    assert_eq!(opening(&[null]), OUTPUT);
}

#[test]
fn what_is_no_json_object_is_malformed() {
    for data in ["", "{", "nonsense", "[1]", "3", r#"{"choices":[{"delta":"#] {
        assert_eq!(opening(&[data]), MALFORMED, "{data:?}");
    }
}

#[test]
fn comments_and_other_fields_say_nothing() {
    assert_eq!(
        raw(": keep-alive\n\n: again\r\n\r\nevent: ping\n\nid: 3\rretry: 5\r\r"),
        Opening::Preamble
    );
    assert_eq!(raw("event: error\ndata: {\"type\":\"error\"}\n\n"), ERROR);
    assert_eq!(raw("data:[DONE]\n\n"), OUTPUT);
    assert_eq!(raw("\u{feff}data: [DONE]\n\n"), OUTPUT);
}

#[test]
fn lines_may_end_in_three_ways_and_data_have_several() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = format!(": c{end}{end}data: {{\"error\":{end}data: 1}}{end}{end}");
        assert_eq!(raw(&stream), ERROR, "{stream:?}");
    }
}

#[test]
fn an_event_that_has_not_ended_is_not_judged() {
    assert_eq!(raw("data: {\"error\":1}\n"), Opening::Preamble);
    assert_eq!(
        Preamble::default().finish(),
        Opening::Failed(Failure::Ended)
    );
}

#[test]
fn an_event_without_end_is_let_go() {
    let mut preamble = Preamble::default();
    let piece = [b'a'; 1024];
    let reads = (0..100).map(|_| preamble.read(&piece));
    assert_eq!(
        reads
            .take_while(|opening| *opening == Opening::Preamble)
            .count(),
        64
    );
    let lines = "data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(2_000);
    assert_eq!(Preamble::default().read(lines.as_bytes()), OUTPUT);
}

#[test]
fn it_does_not_matter_how_a_stream_is_cut() {
    let streams = [
        "\u{feff}: c\r\n\r\ndata: {\"type\":\"ping\"}\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n",
        "data: {\"type\":\"ping\"}\r\rdata:{\"error\":\ndata: 1}\r\n\r",
        "event: ping\r\ndata: {\"choices\":[]}\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"role\":\"a\",\"tool_calls\":[{\"x\":[1,{}]}]}}]}\n\n",
    ];
    for stream in streams {
        let wanted = raw(stream);
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let bytes = stream.as_bytes();
                let pieces = [
                    &bytes[..first],
                    &[],
                    &bytes[first..second],
                    &bytes[second..],
                ];
                let mut preamble = Preamble::default();
                let mut openings = pieces.iter().map(|piece| preamble.read(piece));
                let opening = openings.find(|opening| *opening != Opening::Preamble);
                assert_eq!(opening.unwrap_or(Opening::Preamble), wanted, "{pieces:?}");
            }
        }
    }
}

#[test]
fn a_delta_says_something_if_any_member_but_the_role_is_not_empty() {
    for (delta, wanted) in [
        (r#"{"role":"assistant","content":null}"#, Opening::Preamble),
        (
            r#"{"role":"assistant","content":"","tool_calls":[],"x":{}}"#,
            Opening::Preamble,
        ),
        (r#"{"role":"assistant","n":0}"#, OUTPUT),
        (r#"{"n":-1.5}"#, OUTPUT),
        (r#"{"b":false}"#, OUTPUT),
        (r#"{"content":"\u0041"}"#, OUTPUT),
        (r#"{"r\u006fle":"assistant"}"#, Opening::Preamble),
        (r#"{"o":{"a":[1,{"b":2}]}}"#, OUTPUT),
        (r#"{"l":[[],[]]}"#, OUTPUT),
        (r#"null"#, Opening::Preamble),
        // Not of this make.
        (r#""a""#, OUTPUT),
    ] {
        let event = format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
        assert_eq!(raw(&event), wanted, "{delta}");
    }
}
