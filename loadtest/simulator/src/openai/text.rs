//! Answers of the two text endpoints as JSON, written straight into one buffer.

use std::time::SystemTime;

use bytes::Bytes;

use crate::openai::request::{Dialect, TextRequest};
use crate::openai::script::Script;

/// Writes the objects of one answer: the complete one, or the chunks of a stream.
#[derive(Debug)]
pub(crate) struct Writer {
    dialect: Dialect,
    /// Every chunk up to its choices.
    head: Vec<u8>,
    /// Every chunk after its choices.
    tail: &'static [u8],
    prompt_tokens: u64,
}

/// What a choice says besides its text: room for its fixed parts.
const CHOICE_BYTES: usize = 128;
/// Room for the largest usage object.
const USAGE_BYTES: usize = 320;
/// The mean word with its space, rounded up.
const WORD_BYTES: usize = 9;

/// Seconds since 1970, as `created` has it.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The whole answer in one object.
pub(crate) fn whole(request: &TextRequest<'_>, script: &mut Script, created: u64) -> Bytes {
    let object = match request.dialect {
        Dialect::Chat => "chat.completion",
        Dialect::Completions => "text_completion",
    };
    let room = 2 * CHOICE_BYTES + USAGE_BYTES + WORD_BYTES * script.tokens as usize;
    let mut out = Vec::with_capacity(room + HEAD_BYTES + request.model.len());
    write_head(&mut out, request, script, object, created);
    out.extend_from_slice(match request.dialect {
        Dialect::Chat => br#"{"index":0,"message":{"role":"assistant","content":""#,
        Dialect::Completions => br#"{"text":""#,
    });
    for _ in 0..script.tokens {
        script.write_token(&mut out);
    }
    out.extend_from_slice(match request.dialect {
        Dialect::Chat => br#"","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":""#,
        Dialect::Completions => br#"","index":0,"logprobs":null,"finish_reason":""#,
    });
    out.extend_from_slice(script.finish_reason().as_bytes());
    out.extend_from_slice(br#""}],"usage":"#);
    write_usage(&mut out, request.prompt_tokens, u64::from(script.tokens));
    out.push(b'}');
    out.into()
}

impl Writer {
    pub(crate) fn new(request: &TextRequest<'_>, script: &Script, created: u64) -> Writer {
        let object = match request.dialect {
            Dialect::Chat => "chat.completion.chunk",
            Dialect::Completions => "text_completion",
        };
        let mut head = Vec::with_capacity(HEAD_BYTES + request.model.len());
        head.extend_from_slice(b"data: ");
        write_head(&mut head, request, script, object, created);
        let tail: &[u8] = if request.include_usage {
            b"],\"usage\":null}\n\n"
        } else {
            b"]}\n\n"
        };
        Writer {
            dialect: request.dialect,
            head,
            tail,
            prompt_tokens: request.prompt_tokens,
        }
    }

    /// Chat's first chunk, which names the role; completions have none.
    pub(crate) fn opening(&self) -> Option<Bytes> {
        let choice = br#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}"#;
        (self.dialect == Dialect::Chat).then(|| self.chunk(|out| out.extend_from_slice(choice)))
    }

    pub(crate) fn token(&self, script: &mut Script) -> Bytes {
        let (before, after): (&[u8], &[u8]) = match self.dialect {
            Dialect::Chat => (
                br#"{"index":0,"delta":{"content":""#,
                br#""},"logprobs":null,"finish_reason":null}"#,
            ),
            Dialect::Completions => (
                br#"{"text":""#,
                br#"","index":0,"logprobs":null,"finish_reason":null}"#,
            ),
        };
        self.chunk(|out| {
            out.extend_from_slice(before);
            script.write_token(out);
            out.extend_from_slice(after);
        })
    }

    pub(crate) fn finish(&self, script: &Script) -> Bytes {
        self.chunk(|out| {
            out.extend_from_slice(match self.dialect {
                Dialect::Chat => br#"{"index":0,"delta":{},"logprobs":null,"finish_reason":""#,
                Dialect::Completions => {
                    br#"{"text":"","index":0,"logprobs":null,"finish_reason":""#
                }
            });
            out.extend_from_slice(script.finish_reason().as_bytes());
            out.extend_from_slice(br#""}"#);
        })
    }

    /// The last chunk of a request with `stream_options.include_usage`: no choices.
    pub(crate) fn usage(&self, completion_tokens: u32) -> Bytes {
        let mut out = Vec::with_capacity(self.head.len() + USAGE_BYTES);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#"],"usage":"#);
        write_usage(&mut out, self.prompt_tokens, u64::from(completion_tokens));
        out.extend_from_slice(b"}\n\n");
        out.into()
    }

    /// An event whose data is no JSON.
    pub(crate) fn malformed(&self) -> Bytes {
        let mut out = self.head.clone();
        out.extend_from_slice(b"{\"index\":0,\"delta\":{\"conte\n\n");
        out.into()
    }

    fn chunk(&self, write_choice: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut out = Vec::with_capacity(self.head.len() + CHOICE_BYTES + self.tail.len());
        out.extend_from_slice(&self.head);
        write_choice(&mut out);
        out.extend_from_slice(self.tail);
        out.into()
    }
}

/// Room for what [`write_head`] writes besides the model.
const HEAD_BYTES: usize = 192;

/// Opens the object and leaves it in the list of choices.
fn write_head(
    out: &mut Vec<u8>,
    request: &TextRequest<'_>,
    script: &Script,
    object: &str,
    created: u64,
) {
    out.extend_from_slice(match request.dialect {
        Dialect::Chat => br#"{"id":"chatcmpl-"#,
        Dialect::Completions => br#"{"id":"cmpl-"#,
    });
    out.extend_from_slice(&script.id);
    out.extend_from_slice(br#"","object":""#);
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(br#"","created":"#);
    write_number(out, created);
    out.extend_from_slice(br#","model":"#);
    write_string(out, &request.model);
    out.extend_from_slice(
        br#","service_tier":"default","system_fingerprint":"fp_simulator","choices":["#,
    );
}

fn write_usage(out: &mut Vec<u8>, prompt_tokens: u64, completion_tokens: u64) {
    out.extend_from_slice(br#"{"prompt_tokens":"#);
    write_number(out, prompt_tokens);
    out.extend_from_slice(br#","completion_tokens":"#);
    write_number(out, completion_tokens);
    out.extend_from_slice(br#","total_tokens":"#);
    write_number(out, prompt_tokens + completion_tokens);
    out.extend_from_slice(
        br#","prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
    );
}

pub(super) fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}
