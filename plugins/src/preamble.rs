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

mod said;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use self::said::{Choices, Delta, Text};

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
    /// The beginning of a line whose end has not arrived.
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
        let mut rest = piece;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) {
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let end = memchr::memchr2(b'\n', b'\r', rest);
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            if self.line.len() + line.len() + self.data.len() > EVENT_BYTES_MAX {
                return Opening::Output;
            }
            let Some((end, after)) = after.split_first() else {
                self.line.extend_from_slice(line);
                return Opening::Preamble;
            };
            self.after_cr = *end == b'\r';
            let opening = if self.line.is_empty() {
                self.end_line(line)
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.end_line(&whole)
            };
            if opening != Opening::Preamble {
                return opening;
            }
            rest = after;
        }
        Opening::Preamble
    }

    /// The stream has ended and was nothing but preamble.
    pub fn finish(&self) -> Opening {
        Opening::Failed(Failure::Ended)
    }

    fn end_line(&mut self, mut line: &[u8]) -> Opening {
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            let opening = match std::mem::take(&mut self.has_data) {
                true => judge(&self.data),
                false => Opening::Preamble,
            };
            self.data.clear();
            return opening;
        }
        if let Some(value) = line.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            let value = value.strip_prefix(b" ").unwrap_or(value);
            self.data.extend_from_slice(value);
        }
        Opening::Preamble
    }
}

/// What of an event tells its place in a stream.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    error: Option<IgnoredAny>,
    choices: Option<Choices>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    text: Option<Text>,
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
    if let Some(Choices(says_something)) = event.choices {
        return match says_something {
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

impl Choice {
    /// Whether it has more than a role: text, a call of a tool, or its end.
    fn says_something(&self) -> bool {
        self.finish_reason.is_some()
            || matches!(self.text, Some(Text(true)))
            || matches!(self.delta, Some(Delta(true)))
    }
}
