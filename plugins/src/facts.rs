//! What is known of a request's body: all that the chain acts on, found in one pass.
//!
//! A [`Scanner`] reads the body as it arrives and leaves these
//! facts. They cover OpenAI's chat completions, completions, embeddings and responses
//! and Anthropic's messages, whose fields of the same name mean the same.

#[cfg(test)]
mod tests;

use std::ops::Range;

use bytes::Bytes;

use crate::edit::BodyEdit;
use crate::json::{self, Field, Places, ScanError, Scanner};

/// Facts about one request body. Those of a body that is not a JSON object, or of none,
/// are [`Facts::default`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the body is a JSON object. If it is not, nothing else is known of it,
    /// and a plugin that must know has to refuse what it cannot judge: an upstream may
    /// read a body as JSON that was not declared as such.
    pub is_object: bool,
    /// Whether the answer is to be streamed: `stream`.
    pub stream: bool,
    /// Whether a stream is to end with its usage: `stream_options.include_usage`.
    pub include_usage: bool,
    /// The most tokens that one answer may have: the largest of `max_tokens`,
    /// `max_completion_tokens` and `max_output_tokens`. None if the client sets no such
    /// limit, which a negative number does not either (llama.cpp reads -1 as no limit).
    pub max_tokens: Option<u64>,
    /// How many answers are asked for: the larger of `n` and `best_of`.
    pub n: Option<u64>,
    /// Elements of `messages`, and objects in `input`.
    pub messages: u64,
    /// Elements of `tools` and `functions`.
    pub tools: u64,
    /// Texts or lists of token ids that a list in `prompt` or `input` has: each is
    /// answered by itself. Zero when there is no such list.
    pub inputs: u64,
    /// Numbers in `prompt` and `input`, at any depth: a prompt may be given as these.
    pub token_ids: u64,
    /// Bytes of all strings in the body except `model`, with their escapes resolved (a
    /// `\u` escape counts as three bytes), and of all keys below the outermost object.
    /// Prompts, system prompts and tools are in it, so it bounds the text that a model
    /// gets to read; images in base64 are in it too.
    pub text_bytes: u64,
    /// Arrays and objects in one another, the outermost included.
    pub depth: usize,
    pub(crate) model: Option<Field>,
    pub(crate) usage: UsagePlace,
    pub(crate) places: Places,
}

/// Where to ask for a stream's usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum UsagePlace {
    /// Nowhere: there is no object.
    #[default]
    None,
    /// At the beginning of the outermost object, which has no `stream_options`.
    Body { at: usize, is_empty: bool },
    /// In the place of a `stream_options` of null.
    Null(Range<usize>),
    /// At the beginning of `stream_options`, which has no `include_usage`.
    Options { at: usize, is_empty: bool },
    /// In the place of the value of `include_usage`.
    Value(Range<usize>),
}

impl Facts {
    /// The facts of a body that is here in one piece.
    ///
    /// # Errors
    /// Why the body must be refused, if its facts matter.
    pub fn of(body: &[u8]) -> Result<Self, ScanError> {
        let mut scanner = Scanner::new();
        scanner.push(body)?;
        scanner.finish()
    }

    /// The model that the body asks for.
    pub fn model(&self) -> Option<&str> {
        self.model.as_ref().map(Field::value)
    }

    /// The number that requests share for the same model whose prompts open alike in their
    /// first `bytes` of text. `body` is what these facts are of. None without any text.
    pub fn opening(&self, body: &[Bytes], model: Option<&str>, bytes: usize) -> Option<u64> {
        self.places.key(body, model, bytes)
    }

    /// The change that gives the model another name; none if the body names no model.
    pub fn rename_model(&self, name: &str) -> Option<BodyEdit> {
        let field = self.model.as_ref()?;
        Some(BodyEdit {
            range: field.start()..field.end(),
            new: json::quoted(name),
        })
    }

    /// The change that asks for the usage at the end of a stream, for OpenAI's chat
    /// completions and completions. None if the client asks for it itself.
    pub fn ask_for_usage(&self) -> Option<BodyEdit> {
        if self.include_usage {
            return None;
        }
        let (range, new) = match self.usage.clone() {
            UsagePlace::None => return None,
            UsagePlace::Body { at, is_empty: true } => {
                (at..at, r#""stream_options":{"include_usage":true}"#)
            }
            UsagePlace::Body { at, .. } => (at..at, r#""stream_options":{"include_usage":true},"#),
            UsagePlace::Null(range) => (range, r#"{"include_usage":true}"#),
            UsagePlace::Options { at, is_empty: true } => (at..at, r#""include_usage":true"#),
            UsagePlace::Options { at, .. } => (at..at, r#""include_usage":true,"#),
            UsagePlace::Value(range) => (range, "true"),
        };
        let new = Bytes::from_static(new.as_bytes());
        Some(BodyEdit { range, new })
    }
}
