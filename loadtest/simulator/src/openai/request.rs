//! Requests, read without a tree: strings are borrowed or only counted, what is not needed is
//! passed over.
//!
//! A prompt token is a word: a longest run of characters that are not white space. Of chat messages
//! the words of every `content` count, of its parts those of `text`; a prompt or an input that is
//! given as token numbers counts each number.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::openai::error::ApiError;
use crate::random::body_hash;

/// A request for text, chat or not.
#[derive(Debug)]
pub(crate) struct TextRequest<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) model: Cow<'a, str>,
    pub(crate) prompt_tokens: u64,
    pub(crate) tokens_max: Option<u64>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

/// Which of the two text endpoints speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Completions,
}

/// A request for embeddings.
#[derive(Debug)]
pub(crate) struct EmbeddingsRequest<'a> {
    pub(crate) model: Cow<'a, str>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) dimensions: usize,
    pub(crate) base64: bool,
}

/// One text or one list of token numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input {
    pub(crate) hash: u64,
    pub(crate) tokens: u64,
}

/// The most inputs of one request (OpenAI's reference, `input` of "Create embeddings").
const INPUTS_MAX: usize = 2048;
const DIMENSIONS_DEFAULT: u64 = 1536;
const DIMENSIONS_MAX: u64 = 4096;
/// The most numbers in one answer, some 45 MB of JSON.
const NUMBERS_MAX: usize = 4 << 20;

impl<'a> TextRequest<'a> {
    pub(crate) fn chat(body: &'a [u8]) -> Result<TextRequest<'a>, ApiError> {
        let raw: RawChat<'a> =
            serde_json::from_slice(body).map_err(|error| ApiError::json(&error))?;
        let messages = raw.messages.ok_or_else(|| ApiError::missing("messages"))?;
        if messages.count == 0 {
            return Err(ApiError::unsupported(
                "messages",
                "must have at least one message.",
            ));
        }
        let limit = raw
            .max_completion_tokens
            .map(|limit| ("max_completion_tokens", limit));
        TextRequest {
            dialect: Dialect::Chat,
            model: model(raw.model)?,
            prompt_tokens: messages.words,
            tokens_max: None,
            stream: raw.stream.unwrap_or(false),
            include_usage: include_usage(raw.stream_options),
        }
        .with_limits(
            raw.n,
            limit.or(raw.max_tokens.map(|limit| ("max_tokens", limit))),
        )
    }

    pub(crate) fn completions(body: &'a [u8]) -> Result<TextRequest<'a>, ApiError> {
        let raw: RawCompletions<'a> =
            serde_json::from_slice(body).map_err(|error| ApiError::json(&error))?;
        let prompts = raw.prompt.ok_or_else(|| ApiError::missing("prompt"))?.0;
        let prompt_tokens = match prompts.as_slice() {
            [] => 0,
            [prompt] => prompt.tokens,
            _ => {
                return Err(ApiError::unsupported(
                    "prompt",
                    "must be one prompt with this model.",
                ));
            }
        };
        TextRequest {
            dialect: Dialect::Completions,
            model: model(raw.model)?,
            prompt_tokens,
            tokens_max: None,
            stream: raw.stream.unwrap_or(false),
            include_usage: include_usage(raw.stream_options),
        }
        .with_limits(raw.n, raw.max_tokens.map(|limit| ("max_tokens", limit)))
    }

    fn with_limits(
        mut self,
        n: Option<u64>,
        tokens_max: Option<(&'static str, u64)>,
    ) -> Result<TextRequest<'a>, ApiError> {
        if n.is_some_and(|n| n != 1) {
            return Err(ApiError::unsupported("n", "must be 1 with this model."));
        }
        if let Some((param, 0)) = tokens_max {
            return Err(ApiError::out_of_range(param, "a value of at least 1", 0));
        }
        self.tokens_max = tokens_max.map(|(_, limit)| limit);
        Ok(self)
    }
}

impl<'a> EmbeddingsRequest<'a> {
    pub(crate) fn read(body: &'a [u8]) -> Result<EmbeddingsRequest<'a>, ApiError> {
        let raw: RawEmbeddings<'a> =
            serde_json::from_slice(body).map_err(|error| ApiError::json(&error))?;
        let inputs = raw.input.ok_or_else(|| ApiError::missing("input"))?.0;
        if inputs.is_empty() {
            return Err(ApiError::unsupported("input", "cannot be an empty list."));
        }
        let dimensions = raw.dimensions.unwrap_or(DIMENSIONS_DEFAULT);
        if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
            return Err(ApiError::out_of_range(
                "dimensions",
                "a value from 1 to 4096",
                dimensions,
            ));
        }
        let dimensions = dimensions as usize;
        if inputs.len() * dimensions > NUMBERS_MAX {
            return Err(ApiError::unsupported(
                "input",
                "asks for more than 4194304 numbers in all.",
            ));
        }
        let base64 = match raw
            .encoding_format
            .as_ref()
            .map_or("float", |format| format.0.as_ref())
        {
            "float" => false,
            "base64" => true,
            _ => {
                return Err(ApiError::unsupported(
                    "encoding_format",
                    "must be float or base64.",
                ));
            }
        };
        Ok(EmbeddingsRequest {
            model: model(raw.model)?,
            inputs,
            dimensions,
            base64,
        })
    }
}

fn model(model: Option<Text<'_>>) -> Result<Cow<'_, str>, ApiError> {
    model
        .map(|model| model.0)
        .ok_or_else(|| ApiError::missing("model"))
}

fn include_usage(options: Option<StreamOptions>) -> bool {
    options
        .and_then(|options| options.include_usage)
        .unwrap_or(false)
}

/// The fields as written; `null` is the same as absent.
#[derive(serde::Deserialize)]
struct RawChat<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    messages: Option<Messages>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<u64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(serde::Deserialize)]
struct RawCompletions<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    prompt: Option<Inputs>,
    max_tokens: Option<u64>,
    n: Option<u64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(serde::Deserialize)]
struct RawEmbeddings<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    input: Option<Inputs>,
    dimensions: Option<u64>,
    encoding_format: Option<Text<'a>>,
}

#[derive(serde::Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// A string that is borrowed unless it contains an escape. The wrapper is what makes serde borrow
/// inside an `Option`.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// How many messages there are and how many words they have.
#[derive(serde::Deserialize)]
#[serde(from = "Vec<Message>")]
struct Messages {
    count: usize,
    words: u64,
}

impl From<Vec<Message>> for Messages {
    fn from(messages: Vec<Message>) -> Messages {
        let words = messages
            .iter()
            .filter_map(|message| message.content.as_ref());
        Messages {
            count: messages.len(),
            words: words.map(|content| content.0).sum(),
        }
    }
}

#[derive(serde::Deserialize)]
struct Message {
    content: Option<Words>,
}

/// Words between white space.
pub(super) fn words(text: &str) -> u64 {
    // White space beyond ASCII begins with one of these bytes. Without them the loops have no
    // branch, and look at sixteen bytes at a time.
    let may_be_space = |byte: u8| byte == 0xc2 || (0xe1..=0xe3).contains(&byte);
    let bytes = text.as_bytes();
    if bytes
        .iter()
        .fold(false, |any, &byte| any | may_be_space(byte))
    {
        return text.split_whitespace().count() as u64;
    }
    let is_space = |byte: u8| byte == b' ' || (b'\t'..=b'\r').contains(&byte);
    let first = bytes.first().is_some_and(|&byte| !is_space(byte));
    let later = bytes.iter().zip(bytes.iter().skip(1));
    let later = later.filter(|&(&before, &byte)| is_space(before) & !is_space(byte));
    u64::from(first) + later.count() as u64
}

/// The number of words in a string, or in the texts of a list of parts.
struct Words(u64);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Words, D::Error> {
        deserializer.deserialize_any(WordsVisitor).map(Words)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content parts")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }

    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(words(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<u64, A::Error> {
        let mut total = 0;
        while let Some(Words(words)) = parts.next_element()? {
            total += words;
        }
        Ok(total)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<u64, A::Error> {
        let mut total = 0;
        while let Some(Text(key)) = part.next_key()? {
            if key == "text" {
                total += part.next_value::<Words>()?.0;
            } else {
                part.next_value::<IgnoredAny>()?;
            }
        }
        Ok(total)
    }
}

/// A string, a list of strings, a list of token numbers, or a list of such lists.
struct Inputs(Vec<Input>);

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Inputs, D::Error> {
        match deserializer.deserialize_any(InputVisitor)? {
            Element::List(inputs) => Ok(Inputs(inputs)),
            Element::Number(_) => Err(serde::de::Error::custom("a number is no input")),
            Element::Text(input) => Ok(Inputs(vec![input])),
        }
    }
}

enum Element {
    Number(u64),
    Text(Input),
    List(Vec<Input>),
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Element, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a list of strings, or lists of token numbers")
    }

    fn visit_str<E>(self, text: &str) -> Result<Element, E> {
        Ok(Element::Text(Input {
            hash: body_hash(text.as_bytes()),
            tokens: words(text),
        }))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Element, E> {
        Ok(Element::Number(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Element, A::Error> {
        let mut inputs = Vec::new();
        let mut numbers: Option<Input> = None;
        while let Some(element) = elements.next_element()? {
            match element {
                Element::Text(input) => inputs.push(input),
                Element::List(mut list) => inputs.append(&mut list),
                Element::Number(number) => {
                    let list = numbers.get_or_insert(Input { hash: 0, tokens: 0 });
                    list.hash = body_hash(&(list.hash ^ number.rotate_left(32)).to_le_bytes());
                    list.tokens += 1;
                }
            }
            if inputs.len() > INPUTS_MAX {
                return Err(serde::de::Error::custom("more than 2048 inputs"));
            }
        }
        inputs.extend(numbers);
        Ok(Element::List(inputs))
    }
}
