//! The beginning of a streamed answer, before it says anything.
//!
//! Model servers begin a stream before they know that they can answer: with the role of
//! who will speak, with an announcement, with a ping. If they fail then, the client has
//! seen nothing of worth, and another server may be asked. A [`Preamble`] tells, event by
//! event, whether a stream is still there. It knows the streams of OpenAI's chat
//! completions and completions (<https://platform.openai.com/docs/api-reference/chat-streaming>),
//! of its Responses (<https://platform.openai.com/docs/api-reference/responses-streaming>)
//! and of Anthropic's Messages (<https://docs.anthropic.com/en/docs/build-with-claude/streaming>).
//! What it does not know counts as output, so that nothing is held back without reason.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Longest event that is looked into. A longer one is output.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// What a stream has shown so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing that says anything.
    Preamble,
    /// A part of the answer, or its proper end.
    Output,
    /// That there will be no answer.
    Failed(Failure),
}

/// How a stream failed before it said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server says so in an event.
    Error,
    /// An event is not what such a stream is made of.
    Malformed,
    /// It ended.
    Ended,
}

impl Failure {
    /// A name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Error => "error_event",
            Failure::Malformed => "malformed_event",
            Failure::Ended => "ended_early",
        }
    }
}

/// Reads the beginning of a stream of server-sent events (WHATWG HTML, section 9.2.6).
#[derive(Debug, Default)]
pub struct Preamble {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    begun: bool,
}

impl Preamble {
    /// Reads a piece. Not to be called again once it was something else than
    /// [`Opening::Preamble`].
    pub fn read(&mut self, piece: &[u8]) -> Opening {
        for &byte in piece {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => match self.end_line() {
                    Opening::Preamble => {}
                    opening => return opening,
                },
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Opening::Output;
            }
        }
        Opening::Preamble
    }

    /// The stream has ended and was nothing but preamble.
    pub fn finish(&self) -> Opening {
        Opening::Failed(Failure::Ended)
    }

    fn end_line(&mut self) -> Opening {
        let mut line = self.line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            self.line.clear();
            return match std::mem::take(&mut self.has_data) {
                true => judge(&data),
                false => Opening::Preamble,
            };
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            let value = value.strip_prefix(b" ").unwrap_or(value);
            self.data.extend_from_slice(value);
        }
        self.line.clear();
        Opening::Preamble
    }
}

/// What of an event tells its place in a stream.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    error: Option<IgnoredAny>,
    choices: Option<Vec<Choice<'a>>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<BTreeMap<Cow<'a, str>, Value>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    finish_reason: Option<IgnoredAny>,
}

fn judge(data: &[u8]) -> Opening {
    if data == b"[DONE]" {
        return Opening::Output;
    }
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else {
        let malformed = serde_json::from_slice::<BTreeMap<Cow<'_, str>, IgnoredAny>>(data).is_err();
        return match malformed {
            true => Opening::Failed(Failure::Malformed),
            // An event of another make.
            false => Opening::Output,
        };
    };
    if event.error.is_some() {
        return Opening::Failed(Failure::Error);
    }
    if let Some(choices) = &event.choices {
        return match choices.iter().any(Choice::says_something) {
            true => Opening::Output,
            false => Opening::Preamble,
        };
    }
    match event.kind.as_deref() {
        Some(
            // Responses.
            "response.created"
            | "response.queued"
            | "response.in_progress"
            | "response.output_item.added"
            | "response.content_part.added"
            | "response.reasoning_summary_part.added"
            // Messages.
            | "message_start"
            | "content_block_start"
            | "ping",
        ) => Opening::Preamble,
        Some("error" | "response.failed") => Opening::Failed(Failure::Error),
        _ => Opening::Output,
    }
}

impl Choice<'_> {
    /// Whether it has more than a role: text, a call of a tool, or its end.
    fn says_something(&self) -> bool {
        let mut delta = self.delta.iter().flatten();
        self.finish_reason.is_some()
            || self.text.as_ref().is_some_and(|text| !text.is_empty())
            || delta.any(|(name, value)| name != "role" && !is_empty(value))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
