//! How many tokens an answer used, read from the answer as it streams past.
//!
//! OpenAI's and Anthropic's APIs state it: in the `usage` of a JSON body, in the last
//! event of an OpenAI stream (if it was asked for), in the first and the last events of
//! an Anthropic stream, in the last event of a stream of the Responses API. A
//! [`Reader`] finds it in bounded memory, wherever the pieces of the answer begin and
//! end, and leaves it in [`Exchange::usage`].

mod events;
mod scan;
mod strip;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{HeaderMap, header};

use crate::exchange::Exchange;
use crate::media_type;
use crate::role::BodyReader;

use events::{Event, Events};
use scan::Scan;
use strip::Strip;

/// Tokens that an answer states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    /// Anthropic counts what was written to its cache and what was read from it beside
    /// the rest of the input.
    input: Option<u64>,
    cache_creation: Option<u64>,
    cache_read: Option<u64>,
    output: Option<u64>,
    is_whole: bool,
    events: u64,
}

impl Usage {
    /// Tokens of the prompt, those that a cache had included.
    pub fn prompt_tokens(&self) -> Option<u64> {
        let cached = self.cache_creation.unwrap_or(0) + self.cache_read.unwrap_or(0);
        self.prompt.or_else(|| Some(self.input? + cached))
    }

    /// Tokens of the answer. While the usage [is not whole](Self::is_whole), of its
    /// beginning.
    pub fn completion_tokens(&self) -> Option<u64> {
        self.completion.or(self.output)
    }

    /// All tokens. Some providers count tokens in it that are in neither part.
    pub fn total_tokens(&self) -> Option<u64> {
        let parts = self
            .prompt_tokens()
            .map(|prompt| prompt + self.completion_tokens().unwrap_or(0));
        self.total.max(parts)
    }

    /// Whether the answer has stated what it used in all. An Anthropic stream that is
    /// cut states the prompt only.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Events with data that the answer had: hardly more than it had tokens.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Records a member of a usage object.
    fn state(&mut self, name: &[u8], tokens: u64) {
        let place = match name {
            b"prompt_tokens" => &mut self.prompt,
            b"completion_tokens" => &mut self.completion,
            b"total_tokens" => &mut self.total,
            b"input_tokens" => &mut self.input,
            b"cache_creation_input_tokens" => &mut self.cache_creation,
            b"cache_read_input_tokens" => &mut self.cache_read,
            b"output_tokens" => &mut self.output,
            _ => return,
        };
        *place = Some(tokens);
    }

    /// Records what a later event states: what it is silent about stays.
    fn update(&mut self, later: &Self, is_whole: bool) {
        self.prompt = later.prompt.or(self.prompt);
        self.completion = later.completion.or(self.completion);
        self.total = later.total.or(self.total);
        self.input = later.input.or(self.input);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.output = later.output.or(self.output);
        self.is_whole |= is_whole && *later != Self::default();
    }
}

/// Reads the usage of one answer.
pub struct Reader {
    usage: Usage,
    form: Form,
}

enum Form {
    Json(Box<Scan>),
    Stream(Box<Events>),
    Stripped(Box<(Events, Strip)>),
}

impl Reader {
    /// A reader for an answer with such headers; none where no usage can be read: it is
    /// neither JSON nor a stream of events, or it is compressed. `strip` says to take
    /// out of a stream what is there because the proxy asked for its usage.
    pub fn new(headers: &HeaderMap, strip: bool) -> Option<Self> {
        let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let mut encodings = encodings.filter(|encoding| *encoding != "identity");
        if encodings.next().is_some() {
            return None;
        }
        let form = match media(headers)? {
            Media::Json => Form::Json(Box::new(Scan::new())),
            Media::Events if strip => Form::Stripped(Box::new((Events::new(), Strip::default()))),
            Media::Events => Form::Stream(Box::new(Events::new())),
        };
        Some(Self {
            usage: Usage::default(),
            form,
        })
    }

    /// Whether it may give back other pieces than it gets.
    pub fn rewrites(&self) -> bool {
        matches!(self.form, Form::Stripped(_))
    }

    /// Reads a piece, and gives what the client gets.
    fn read(&mut self, chunk: Bytes, last: bool) -> Bytes {
        let usage = &mut self.usage;
        let mut see = |event: &Event| {
            if let Some(found) = &event.found {
                usage.events += 1;
                usage.update(&found.usage, found.is_whole);
            }
        };
        match &mut self.form {
            Form::Json(scan) => {
                scan.push(&chunk);
                usage.update(&scan.found().usage, scan.found().is_whole);
                chunk
            }
            Form::Stream(events) => {
                let mut rest: &[u8] = &chunk;
                while let (read, Some(event)) = events.next(rest) {
                    see(&event);
                    rest = rest.get(read..).unwrap_or_default();
                }
                if last {
                    see(&events.finish());
                }
                chunk
            }
            Form::Stripped(form) => {
                let (events, strip) = &mut **form;
                let out = strip.chunk(events, chunk, &mut see);
                if !last {
                    return out;
                }
                see(&events.finish());
                let held = strip.finish();
                match held.is_empty() {
                    true => out,
                    false => [out.as_ref(), &held].concat().into(),
                }
            }
        }
    }
}

impl BodyReader for Reader {
    fn chunk(&mut self, exchange: &mut Exchange, chunk: Bytes, last: bool) -> Bytes {
        let chunk = self.read(chunk, last);
        exchange.used(self.usage);
        chunk
    }
}

enum Media {
    Json,
    Events,
}

fn media(headers: &HeaderMap) -> Option<Media> {
    let essence = media_type::essence(headers.get(header::CONTENT_TYPE)?.as_bytes());
    if essence.eq_ignore_ascii_case(b"text/event-stream") {
        return Some(Media::Events);
    }
    let ends = |end| media_type::ends_with(essence, end);
    (ends("/json") || ends("+json")).then_some(Media::Json)
}
