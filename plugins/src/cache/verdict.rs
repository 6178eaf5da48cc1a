//! Whether an answer that came with status 200 is a whole and good one.
//!
//! A connection that ends properly proves little: servers end a stream that failed with
//! an event that says so, or just stop; a body without a length ends wherever the
//! connection does. So the text itself must show its end and hold no error.

use memchr::memmem;

use super::canonical::Canonical;
use super::endpoint::Endpoint;
use super::events::{Event, Events};

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// Its end is missing, or it is not what it claims to be.
    Incomplete,
    /// It tells of an error.
    Error,
    /// The model or a filter of the provider's declined to answer. Asked again, it may not.
    Declined,
}

/// Looks for a flaw in the body of an answer.
pub(super) fn examine(endpoint: Endpoint, is_stream: bool, body: &[u8]) -> Result<(), Flaw> {
    match is_stream {
        true => stream(endpoint, body)?,
        false => object(endpoint, body)?,
    }
    if is_declined(endpoint, body) {
        return Err(Flaw::Declined);
    }
    Ok(())
}

/// An answer in one piece is a JSON object.
fn object(endpoint: Endpoint, body: &[u8]) -> Result<(), Flaw> {
    let Some(object) = Canonical::new(body) else {
        return Err(Flaw::Incomplete);
    };
    if is_error(&object) {
        return Err(Flaw::Error);
    }
    // <https://platform.openai.com/docs/api-reference/responses/object>: the others are
    // `failed`, `in_progress`, `cancelled`, `queued` and `incomplete`.
    if endpoint == Endpoint::Responses && !object.is_string("status", "completed") {
        return Err(Flaw::Incomplete);
    }
    Ok(())
}

/// A stream is of events whose data are JSON objects. It ends with one that says so, and
/// nothing but comments and OpenAI's `[DONE]` comes after it.
fn stream(endpoint: Endpoint, body: &[u8]) -> Result<(), Flaw> {
    let mut ended = false;
    for event in Events::new(body).map(Event::new) {
        let data = event.data.unwrap_or_default();
        if event.name == Some(b"error") {
            return Err(Flaw::Error);
        }
        if event.data.is_some() && data != b"[DONE]" {
            let object = Canonical::new(data).filter(|_| !event.has_more);
            if is_error(&object.ok_or(Flaw::Incomplete)?) {
                return Err(Flaw::Error);
            }
        }
        if ends_stream(endpoint, &event, data) {
            ended = true;
        } else if ended && event.data.is_some() && data != b"[DONE]" {
            return Err(Flaw::Incomplete);
        }
        if event.data.is_some() && !event.is_whole {
            return Err(Flaw::Incomplete);
        }
    }
    match ended {
        true => Ok(()),
        false => Err(Flaw::Incomplete),
    }
}

/// Whether an event is the last of a stream that went well:
/// `data: [DONE]` (<https://platform.openai.com/docs/api-reference/chat/streaming>),
/// `message_stop` (<https://docs.anthropic.com/en/api/messages-streaming>) or
/// `response.completed`
/// (<https://platform.openai.com/docs/api-reference/responses-streaming>).
fn ends_stream(endpoint: Endpoint, event: &Event<'_>, data: &[u8]) -> bool {
    let last = match endpoint {
        Endpoint::Messages => "message_stop",
        Endpoint::Responses => "response.completed",
        _ => return data == b"[DONE]",
    };
    match event.name {
        Some(name) => name == last.as_bytes(),
        None => {
            memmem::find(data, last.as_bytes()).is_some()
                && Canonical::new(data).is_some_and(|data| data.is_string("type", last))
        }
    }
}

/// `{"error": ...}` of OpenAI's, `{"type": "error", ...}` of Anthropic's.
fn is_error(object: &Canonical) -> bool {
    object.is_set("error") || object.is_string("type", "error")
}

/// `"finish_reason": "content_filter"` of OpenAI's, `"stop_reason": "refusal"` of
/// Anthropic's, anywhere: within what a model writes the quotes would be escaped.
fn is_declined(endpoint: Endpoint, body: &[u8]) -> bool {
    let word: &[u8] = match endpoint {
        Endpoint::ChatCompletions | Endpoint::Completions => b"\"content_filter\"",
        Endpoint::Messages => b"\"refusal\"",
        Endpoint::Responses | Endpoint::Pure => return false,
    };
    memmem::find(body, word).is_some()
}

#[cfg(test)]
mod tests {
    use super::Endpoint::{ChatCompletions, Messages, Responses};
    use super::Flaw::{Declined, Error, Incomplete};
    use super::*;

    const OBJECTS: &[(Endpoint, &str, Result<(), Flaw>)] = &[
        (
            ChatCompletions,
            r#"{"choices":[{"message":{"content":"\"error\""}}]}"#,
            Ok(()),
        ),
        (ChatCompletions, r#"{"choices":[],"error":null}"#, Ok(())),
        (
            ChatCompletions,
            r#"{"choices":[{"message":{"refusal":null}}]}"#,
            Ok(()),
        ),
        (
            ChatCompletions,
            r#"{"choices":[{"message":"#,
            Err(Incomplete),
        ),
        (ChatCompletions, "", Err(Incomplete)),
        (ChatCompletions, "ok", Err(Incomplete)),
        (
            ChatCompletions,
            r#"{"error":{"message":"overloaded"}}"#,
            Err(Error),
        ),
        (
            ChatCompletions,
            r#"{"choices":[{"finish_reason": "content_filter"}]}"#,
            Err(Declined),
        ),
        (
            ChatCompletions,
            r#"{"choices":[{"content_filter_results":{}}]}"#,
            Ok(()),
        ),
        (
            Messages,
            r#"{"type":"message","stop_reason":"end_turn"}"#,
            Ok(()),
        ),
        (
            Messages,
            r#"{"type":"message","stop_reason":"refusal"}"#,
            Err(Declined),
        ),
        (Messages, r#"{"type":"error","error":{}}"#, Err(Error)),
        (Responses, r#"{"status":"completed","error":null}"#, Ok(())),
        (
            Responses,
            r#"{"status":"incomplete","error":null}"#,
            Err(Incomplete),
        ),
        (Responses, r#"{"status":"in_progress"}"#, Err(Incomplete)),
    ];

    #[test]
    fn objects_must_be_whole_and_good() {
        for (endpoint, text, expected) in OBJECTS {
            assert_eq!(
                examine(*endpoint, false, text.as_bytes()),
                *expected,
                "{text}"
            );
        }
    }

    const STREAMS: &[(Endpoint, &str, Result<(), Flaw>)] = &[
        (
            ChatCompletions,
            "data: {\"a\":1}\n\ndata: [DONE]\n\n",
            Ok(()),
        ),
        (
            ChatCompletions,
            ": hi\n\ndata: {}\n\ndata: [DONE]\n\n: bye\n\n",
            Ok(()),
        ),
        (ChatCompletions, "data: {\"a\":1}\n\n", Err(Incomplete)),
        (
            ChatCompletions,
            "data: {\"a\":1}\n\ndata: [DONE]\n",
            Err(Incomplete),
        ),
        (ChatCompletions, "data: {}\n\ndata: [DO", Err(Incomplete)),
        (
            ChatCompletions,
            "data: [DONE]\n\ndata: {}\n\n",
            Err(Incomplete),
        ),
        (
            ChatCompletions,
            "data: {\"a\":\n\ndata: [DONE]\n\n",
            Err(Incomplete),
        ),
        (
            ChatCompletions,
            "data: {}\ndata: {}\n\ndata: [DONE]\n\n",
            Err(Incomplete),
        ),
        (ChatCompletions, "", Err(Incomplete)),
        (
            ChatCompletions,
            "data: {\"error\":{\"message\":\"x\"}}\n\ndata: [DONE]\n\n",
            Err(Error),
        ),
        (
            ChatCompletions,
            "data: {\"c\":\"\\\"error\\\"\"}\n\ndata: [DONE]\n\n",
            Ok(()),
        ),
        (
            ChatCompletions,
            "data: {\"finish_reason\":\"content_filter\"}\n\ndata: [DONE]\n\n",
            Err(Declined),
        ),
        (
            Messages,
            "event: message_start\ndata: {}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            Ok(()),
        ),
        (Messages, "data: {\"type\":\"message_stop\"}\n\n", Ok(())),
        (Messages, "event: ping\ndata: {}\n\n", Err(Incomplete)),
        (
            Messages,
            "event: error\ndata: {\"type\":\"error\"}\n\nevent: message_stop\ndata: {}\n\n",
            Err(Error),
        ),
        (
            Messages,
            "data: {\"delta\":{\"stop_reason\":\"refusal\"}}\n\nevent: message_stop\ndata: {}\n\n",
            Err(Declined),
        ),
        (
            Responses,
            "event: response.completed\ndata: {\"response\":{\"error\":null}}\n\n",
            Ok(()),
        ),
        (
            Responses,
            "event: response.failed\ndata: {\"response\":{\"error\":{}}}\n\n",
            Err(Incomplete),
        ),
    ];

    #[test]
    fn streams_must_show_their_end() {
        for (endpoint, text, expected) in STREAMS {
            assert_eq!(
                examine(*endpoint, true, text.as_bytes()),
                *expected,
                "{text}"
            );
        }
    }
}
