//! The fields that the chain acts on, and the facts that they make.

use crate::facts::{Facts, UsagePlace};

use super::text::Value;
use super::{Fault, Field};

/// A field that the chain acts on. All stand in the outermost object, except
/// `include_usage`, which stands in `stream_options`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    N,
    BestOf,
    Messages,
    Input,
    Prompt,
    Tools,
    Functions,
    System,
    Instructions,
}

impl Known {
    /// Those of the outermost object.
    const OUTER: &'static [Self] = &[
        Self::Model,
        Self::Stream,
        Self::StreamOptions,
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::MaxOutputTokens,
        Self::N,
        Self::BestOf,
        Self::Messages,
        Self::Input,
        Self::Prompt,
        Self::Tools,
        Self::Functions,
        Self::System,
        Self::Instructions,
    ];

    /// Those of `stream_options`.
    const INNER: &'static [Self] = &[Self::IncludeUsage];

    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::IncludeUsage => "include_usage",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::MaxOutputTokens => "max_output_tokens",
            Self::N => "n",
            Self::BestOf => "best_of",
            Self::Messages => "messages",
            Self::Input => "input",
            Self::Prompt => "prompt",
            Self::Tools => "tools",
            Self::Functions => "functions",
            Self::System => "system",
            Self::Instructions => "instructions",
        }
    }

    /// What its value must be, as the client reads it. A list may also be something
    /// else: what an upstream makes of that is for it to say.
    fn wanted(self) -> Option<&'static str> {
        match self {
            Self::Model => Some("a string"),
            Self::Stream | Self::IncludeUsage => Some("true or false"),
            Self::StreamOptions => Some("an object"),
            Self::MaxTokens | Self::MaxCompletionTokens | Self::MaxOutputTokens => Some("a number"),
            Self::N | Self::BestOf => Some("a number"),
            Self::Messages | Self::Input | Self::Prompt | Self::Tools | Self::Functions => None,
            Self::System | Self::Instructions => None,
        }
    }

    /// Whether a value that begins with `byte` can be one of this field. Except for the
    /// model, null stands for a field that is not there.
    fn may_begin_with(self, byte: u8) -> bool {
        match self {
            Self::Model => byte == b'"',
            Self::Stream | Self::IncludeUsage => matches!(byte, b't' | b'f' | b'n'),
            Self::StreamOptions => matches!(byte, b'{' | b'n'),
            _ => self.wanted().is_none() || matches!(byte, b'-' | b'0'..=b'9' | b'n'),
        }
    }

    /// Whether servers may read a body as they like that has two of it or another spelling:
    /// it only says which of them are asked.
    fn is_lax(self) -> bool {
        matches!(self, Self::System | Self::Instructions)
    }

    fn mistyped(self) -> Fault {
        Fault::Mistyped(self.name(), self.wanted().unwrap_or_default())
    }
}

/// The facts of a body while it is read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    facts: Facts,
    /// The outermost object's field whose value is being read, if it is known.
    outer: Option<Known>,
    /// The field whose value comes next.
    awaited: Option<Known>,
    /// Fields that were there, a bit for each.
    seen: u16,
    /// Where the value of a known field begins.
    start: usize,
}

impl Findings {
    /// Enters an object or array which is now the innermost of `depth`. `at` is the
    /// offset of what follows its bracket.
    pub(super) fn opened(&mut self, at: usize, depth: usize) {
        self.facts.depth = self.facts.depth.max(depth);
        match (depth, self.outer) {
            (1, _) => self.facts.usage = UsagePlace::Body { at, is_empty: true },
            (2, Some(Known::StreamOptions)) => {
                self.facts.usage = UsagePlace::Options { at, is_empty: true };
            }
            _ => {}
        }
    }

    /// Whether the outermost object's field that is read is `stream_options`.
    pub(super) fn is_in_options(&self) -> bool {
        self.outer == Some(Known::StreamOptions)
    }

    /// Whether values at any depth below the outermost object's field that is read are
    /// [counted](Self::count), and not only the elements of its list.
    pub(super) fn counts_all(&self) -> bool {
        matches!(self.outer, Some(Known::Input | Known::Prompt))
    }

    /// Whether keys of the innermost object may be known.
    pub(super) fn wants_keys(&self, depth: usize) -> bool {
        depth == 1 || depth == 2 && self.outer == Some(Known::StreamOptions)
    }

    /// Takes a key that is [wanted](Self::wants_keys).
    pub(super) fn key(&mut self, key: &Key, depth: usize) -> Result<(), Fault> {
        match (&mut self.facts.usage, depth) {
            (UsagePlace::Body { is_empty, .. }, 1) => *is_empty = false,
            (UsagePlace::Options { is_empty, .. }, 2) => *is_empty = false,
            _ => {}
        }
        let known = if depth == 1 {
            Known::OUTER
        } else {
            Known::INNER
        };
        self.awaited = key.find(known)?;
        if depth == 1 {
            self.outer = self.awaited;
        }
        if let Some(field) = self.awaited {
            let bit = 1 << field as u16;
            if self.seen & bit != 0 && !field.is_lax() {
                return Err(Fault::Duplicate(field.name()));
            }
            self.seen |= bit;
        }
        Ok(())
    }

    /// Takes the first byte of a value. Gives the known field that it is of.
    pub(super) fn begin(
        &mut self,
        byte: u8,
        at: usize,
        depth: usize,
        in_object: bool,
    ) -> Result<Option<Known>, Fault> {
        let awaited = self.awaited.take();
        match awaited {
            Some(field) if !field.may_begin_with(byte) => return Err(field.mistyped()),
            Some(field) => {
                self.start = at;
                self.place(field, at);
            }
            None => self.count(byte, depth == 2 && !in_object),
        }
        Ok(awaited)
    }

    /// Notes where the value of a field begins that is part of a prompt.
    fn place(&mut self, field: Known, at: usize) {
        let places = &mut self.facts.places;
        let place = match field {
            Known::System => &mut places.system,
            Known::Instructions => &mut places.instructions,
            Known::Messages => &mut places.messages,
            Known::Input => &mut places.input,
            Known::Prompt => &mut places.prompt,
            _ => return,
        };
        place.get_or_insert(at);
    }

    /// Counts a value below the outermost object; `element`, of a list that is the
    /// value of an outermost field.
    pub(super) fn count(&mut self, byte: u8, element: bool) {
        let Some(outer) = self.outer else { return };
        let facts = &mut self.facts;
        match (outer, byte) {
            (Known::Messages, _) if element => facts.messages += 1,
            (Known::Tools | Known::Functions, _) if element => facts.tools += 1,
            (Known::Input, b'{') if element => facts.messages += 1,
            (Known::Input | Known::Prompt, b'"' | b'[') if element => facts.inputs += 1,
            (Known::Input | Known::Prompt, b'-' | b'0'..=b'9') => facts.token_ids += 1,
            _ => {}
        }
    }

    /// Takes bytes of text that a model may get to read.
    pub(super) fn text(&mut self, bytes: usize) {
        self.facts.text_bytes += bytes as u64;
    }

    /// Takes the model's name, which ends before `end`.
    pub(super) fn model(&mut self, value: Value, end: usize) -> Result<(), Fault> {
        self.facts.model = Some(Field {
            start: self.start,
            end,
            value: value.finish()?,
        });
        Ok(())
    }

    /// Takes the number or literal that is the value of a field, and ends before `end`.
    pub(super) fn scalar(
        &mut self,
        field: Known,
        scalar: &Scalar,
        end: usize,
    ) -> Result<(), Fault> {
        let facts = &mut self.facts;
        let place = self.start..end;
        match (field, scalar.bytes()) {
            (Known::Stream, Some(b"true")) => facts.stream = true,
            (Known::Stream, Some(b"false" | b"null")) => {}
            (Known::IncludeUsage, Some(text @ (b"true" | b"false" | b"null"))) => {
                facts.include_usage = text == b"true";
                facts.usage = UsagePlace::Value(place);
            }
            (Known::StreamOptions, Some(b"null")) => facts.usage = UsagePlace::Null(place),
            (Known::Stream | Known::IncludeUsage | Known::StreamOptions, _) => {
                return Err(field.mistyped());
            }
            (Known::MaxTokens | Known::MaxCompletionTokens | Known::MaxOutputTokens, _) => {
                let number = scalar.number().ok_or(field.mistyped())?;
                facts.max_tokens = facts.max_tokens.max(number);
            }
            (Known::N | Known::BestOf, _) => {
                let number = scalar.number().ok_or(field.mistyped())?;
                facts.n = facts.n.max(number);
            }
            _ => {}
        }
        Ok(())
    }

    /// The facts of a body that ended well.
    pub(super) fn finish(self) -> Facts {
        Facts {
            is_object: true,
            ..self.facts
        }
    }
}

/// A key that may be that of a known field, without its escapes.
#[derive(Debug, Default)]
pub(super) struct Key {
    bytes: Short,
}

impl Key {
    /// Takes one byte of UTF-8.
    pub(super) fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Takes a UTF-16 code unit. Half a surrogate pair is no part of a known name.
    pub(super) fn push_unit(&mut self, unit: u16) {
        let character = char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            self.push(byte);
        }
    }

    /// Which of `known` it is. Another spelling of one is a fault where a parser that
    /// ignores case would take the two for the same: Go's `encoding/json` does, and
    /// folds two letters beyond ASCII with those within.
    fn find(&self, known: &[Known]) -> Result<Option<Known>, Fault> {
        let Some(key) = self.bytes.get() else {
            return Ok(None);
        };
        for field in known {
            if key == field.name().as_bytes() {
                return Ok(Some(*field));
            }
            if !field.is_lax() && folds_to(key, field.name()) {
                return Err(Fault::Misspelled(field.name()));
            }
        }
        Ok(None)
    }
}

/// Whether the key differs from a name in lower case only by case, as Unicode's simple
/// case folding has it (CaseFolding.txt): U+017F is an `s` and U+212A a `k`.
fn folds_to(key: &[u8], name: &str) -> bool {
    let mut rest = key;
    for wanted in name.bytes() {
        rest = match (wanted, rest) {
            (_, [byte, after @ ..]) if byte.eq_ignore_ascii_case(&wanted) => after,
            (b's', [0xc5, 0xbf, after @ ..]) => after,
            (b'k', [0xe2, 0x84, 0xaa, after @ ..]) => after,
            _ => return false,
        };
    }
    rest.is_empty()
}

/// The number or literal of a known field.
#[derive(Debug, Default)]
pub(super) struct Scalar {
    bytes: Short,
}

impl Scalar {
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        // Past what is kept, more makes no difference.
        for byte in bytes.iter().take(Short::BYTES_MAX + 1) {
            self.bytes.push(*byte);
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        self.bytes.get()
    }

    /// The whole number that is not below it: a fraction is rounded up, since some
    /// parsers take 1.0 for 1, and what is larger than all whole numbers is the largest.
    /// Null and a negative number are none. None in the outer sense if it is no number.
    fn number(&self) -> Option<Option<u64>> {
        let text = std::str::from_utf8(self.bytes()?).ok()?;
        if text == "null" {
            return Some(None);
        }
        if let Ok(whole) = text.parse::<u64>() {
            return Some(Some(whole));
        }
        let number: f64 = text.parse().ok()?;
        // The conversion saturates.
        Some((number >= 0.0).then_some(number.ceil() as u64))
    }
}

/// A text that is kept as long as it is short.
#[derive(Debug, Default)]
struct Short {
    bytes: [u8; Self::BYTES_MAX],
    len: usize,
}

impl Short {
    /// Longer than every known field's name in every spelling.
    const BYTES_MAX: usize = 32;

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    /// The text, unless it is too long.
    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len)
    }
}
