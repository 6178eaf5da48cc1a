//! Which fields of a request's body are prompts.
//!
//! The lists follow the APIs of OpenAI (chat completions, completions, responses,
//! embeddings, moderations, images, audio, batches, assistants), Anthropic (messages,
//! batches), and what vLLM, TGI, Cohere's and Google's APIs call the same things. They
//! go by the field and not by the request's path, since gateways mount these APIs where
//! they like.
//!
//! At the top of a body every field is ordinary that is not listed. Within messages,
//! inputs and tools it is the other way round, because what stands there is the
//! client's own: only the fields that name something are looked at.

use super::super::rule::Target;

/// What kind of place a value stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// The top of a request.
    Root,
    /// An ordinary field, and all that is below it.
    Plain,
    /// One that is known by its name, which is not looked at.
    Known,
    /// An ordinary field that is named like an address to be fetched.
    Link,
    /// A condition over stored data, whose operators are the API's.
    Filter,
    /// Text of the client, and all that is below it.
    Prompt,
    /// Messages and their parts.
    Messages,
    /// Images, sounds and files.
    Media,
    /// An address within a prompt that a server fetches.
    Address,
    /// A call of a tool by a model.
    Call,
    /// Tools that a model may call, and servers that have some.
    Tools,
    /// The form of an answer.
    Format,
    /// Requests in a batch.
    Batch,
}

impl Zone {
    /// The zone of the value that `key` has in this zone.
    pub(super) fn below(self, key: &[u8]) -> Self {
        match self {
            Self::Root => below_root(key),
            Self::Plain | Self::Known | Self::Link if is_shape(key) => Self::Prompt,
            Self::Plain | Self::Known | Self::Link if is_link(key) => Self::Link,
            Self::Plain | Self::Known | Self::Link => Self::Plain,
            Self::Filter => Self::Filter,
            Self::Prompt | Self::Address => Self::Prompt,
            Self::Messages => below_messages(key),
            Self::Media => match key {
                b"url" | b"file_url" | b"image_url" | b"uri" | b"fileUri" => Self::Address,
                b"type" | b"media_type" | b"mime_type" | b"mimeType" | b"detail" | b"id"
                | b"file_id" | b"filename" | b"format" => Self::Known,
                b"content" => Self::Messages,
                _ => Self::Prompt,
            },
            Self::Call => match key {
                b"name" | b"id" | b"type" => Self::Known,
                b"function" | b"custom" => Self::Call,
                _ => Self::Prompt,
            },
            Self::Tools => match key {
                b"name" | b"type" | b"id" | b"server_label" | b"model" => Self::Known,
                b"server_url" | b"url" => Self::Address,
                b"function" | b"custom" => Self::Tools,
                _ => Self::Prompt,
            },
            Self::Format => match key {
                b"name" | b"type" | b"strict" | b"verbosity" => Self::Known,
                b"format" | b"json_schema" => Self::Format,
                _ => Self::Prompt,
            },
            Self::Batch => match key {
                b"params" | b"body" => Self::Root,
                _ => Self::Plain,
            },
        }
    }

    /// What a string in this zone is; none for one that is not looked at.
    pub(super) fn target(self, text: &[u8]) -> Option<Target> {
        match self {
            Self::Root | Self::Plain | Self::Known | Self::Filter | Self::Batch => {
                Some(Target::Json)
            }
            Self::Link => Some(Target::JsonLink),
            // What is in the address itself is fetched from nowhere.
            Self::Media | Self::Address if is_inline(text) => None,
            Self::Media | Self::Address => Some(Target::JsonMedia),
            Self::Prompt | Self::Messages | Self::Call | Self::Tools | Self::Format => None,
        }
    }

    /// Whether the keys of objects in this zone are looked at.
    pub(super) fn shows_keys(self) -> bool {
        matches!(
            self,
            Self::Root | Self::Plain | Self::Known | Self::Link | Self::Batch
        )
    }

    /// Whether the field's own name is one of the lists here.
    pub(super) fn is_known(self) -> bool {
        !matches!(self, Self::Plain | Self::Link)
    }
}

/// The fields at the top of a request.
fn below_root(key: &[u8]) -> Zone {
    match key {
        b"messages"
        | b"input"
        | b"system"
        | b"contents"
        | b"content"
        | b"item"
        | b"items"
        | b"additional_messages"
        | b"prediction"
        | b"system_instruction"
        | b"systemInstruction" => Zone::Messages,
        b"tools" | b"functions" | b"mcp_servers" | b"additional_tools" => Zone::Tools,
        b"response_format" | b"text" | b"output_format" | b"output_config" | b"format" => {
            Zone::Format
        }
        b"image" | b"images" | b"mask" | b"image_url" | b"video" | b"audio" | b"input_image"
        | b"reference_image" | b"input_reference" => Zone::Media,
        b"filter" | b"filters" | b"where" | b"metadata_filter" => Zone::Filter,
        b"requests" => Zone::Batch,
        b"thread" | b"session" | b"response" | b"params" | b"body" => Zone::Root,
        // The ordinary ones that almost every request has.
        b"model"
        | b"stream"
        | b"stream_options"
        | b"temperature"
        | b"max_tokens"
        | b"max_completion_tokens"
        | b"max_output_tokens"
        | b"top_p"
        | b"top_k"
        | b"n"
        | b"seed"
        | b"user"
        | b"metadata"
        | b"tool_choice"
        | b"parallel_tool_calls"
        | b"presence_penalty"
        | b"frequency_penalty"
        | b"logprobs"
        | b"reasoning_effort"
        | b"reasoning"
        | b"thinking"
        | b"service_tier"
        | b"store"
        | b"encoding_format"
        | b"dimensions" => Zone::Known,
        _ if is_prompt(key) => Zone::Prompt,
        _ if is_link(key) => Zone::Link,
        _ => Zone::Plain,
    }
}

/// Whether a field at the top of a request is text of the client.
fn is_prompt(key: &[u8]) -> bool {
    /// By all that take prompts.
    const PROMPTS: &[&str] = &[
        "prompt",
        "instructions",
        "suffix",
        "prefix",
        "stop",
        "stop_sequences",
        "documents",
        "document",
        "query",
        "queries",
        "texts",
        "inputs",
        "text_1",
        "text_2",
        "negative_prompt",
        "context",
        "variables",
        "examples",
        "logit_bias",
        "message",
        "chat_history",
        "preamble",
        "data",
        "raw",
        "output",
        "transcript",
        "summary",
        "question",
        "answer",
        "description",
    ];
    /// Shapes of answers, written in code, that vLLM and others take.
    const SHAPES: &[&str] = &[
        "guided_json",
        "guided_regex",
        "guided_grammar",
        "guided_choice",
        "structured_outputs",
        "grammar",
        "json_schema",
        "regex",
        "ebnf",
        "chat_template",
        "chat_template_kwargs",
        "template",
        "bad_words",
    ];
    let among = |names: &[&str]| names.iter().any(|name| name.as_bytes() == key);
    among(PROMPTS) || among(SHAPES)
}

/// The fields of a message, of a part of one, or of another item of an input.
fn below_messages(key: &[u8]) -> Zone {
    match key {
        b"role" | b"name" | b"type" | b"id" | b"call_id" | b"tool_call_id" | b"tool_use_id"
        | b"status" | b"file_id" | b"filename" | b"media_type" | b"mime_type" | b"format"
        | b"detail" | b"server_label" | b"phase" => Zone::Known,
        b"content" | b"parts" => Zone::Messages,
        b"image_url" | b"video_url" | b"audio_url" | b"source" | b"file" | b"input_audio"
        | b"image" | b"inline_data" | b"inlineData" | b"file_data" | b"fileData"
        | b"input_image" => Zone::Media,
        b"url" | b"file_url" | b"server_url" => Zone::Address,
        b"tool_calls" | b"function_call" => Zone::Call,
        _ => Zone::Prompt,
    }
}

/// Whether a field below an ordinary one gives the shape or the end of an answer, as
/// `options.stop` and `generationConfig.stopSequences` do.
fn is_shape(key: &[u8]) -> bool {
    matches!(
        key,
        b"stop"
            | b"stop_sequences"
            | b"stopSequences"
            | b"responseSchema"
            | b"responseJsonSchema"
            | b"schema"
            | b"json_schema"
            | b"grammar"
            | b"regex"
    )
}

/// Whether a field or a parameter of this name holds an address that a server fetches.
/// Addresses to which a browser is sent back are not fetched.
pub(in crate::waf) fn is_link(name: &[u8]) -> bool {
    const ENDS: [&[u8]; 7] = [
        b"url",
        b"uri",
        b"webhook",
        b"endpoint",
        b"host",
        b"proxy",
        b"callback",
    ];
    const SENT_BACK: [&[u8]; 4] = [b"redirect", b"return", b"referer", b"origin"];
    let ends = ENDS.iter().any(|end| {
        let start = name.len().checked_sub(end.len());
        start
            .and_then(|start| name.get(start..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    });
    ends && !SENT_BACK.iter().any(|start| {
        name.get(..start.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(start))
    })
}

/// Whether an address holds its content, as `data:` does (RFC 2397).
fn is_inline(text: &[u8]) -> bool {
    let scheme = text.get(..5).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"data:")
}
