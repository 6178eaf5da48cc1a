//! The usage that a JSON text states, found as the text streams past.
//!
//! No tree is built and nothing is kept of the text but the key at hand. What is not
//! JSON has no usage: an answer is judged by the client, not here. Usage stands in an
//! object `usage` of the outermost object, or of its member `message` (the first event
//! of Anthropic's streams) or `response` (the events of OpenAI's Responses API).
//!
//! On the way it notes what tells an event that was asked for by the proxy alone: whether
//! `choices` has an element, and where a member `"usage":null` stands.

use std::ops::Range;

use memchr::memchr2;

use super::Usage;

/// The longest key that is looked for has 27 bytes.
const KEY_BYTES_MAX: usize = 32;

/// Deepest nesting that is followed. A text that is nested deeper is not read on.
const DEPTH_MAX: usize = 128;

/// A count in a usage object that is greater is a mistake, and would shut a key out
/// for as long as its window is: a million million.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// Reads one JSON text in pieces.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    state: State,
    /// Bytes read so far, of the text alone.
    at: usize,
    depth: usize,
    /// Which of the open brackets are objects, by depth.
    objects: u128,
    key: Key,
    /// Where the key begins, and the comma before it if there is one.
    key_at: usize,
    comma_at: Option<usize>,
    /// Where an object that usage may stand in is open, by the depth of its members.
    place: Place,
    number: Option<u64>,
    /// How much of the literal `null` the scalar at hand is; none if it is not.
    null: Option<usize>,
    found: Found,
}

/// What a JSON text was found to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What was used, as far as it is stated.
    pub(super) usage: Usage,
    /// Whether the outermost object has a usage object of its own.
    pub(super) at_top: bool,
    /// Whether that, or the one of a `response`, was there: the usage of the whole
    /// answer and not of its beginning.
    pub(super) is_whole: bool,
    /// Whether `choices` is a list without elements.
    pub(super) no_choices: bool,
    /// The member `"usage":null` of the outermost object, with a comma that belongs to
    /// it, in bytes of the text.
    pub(super) null: Option<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value is to come, or the end of an empty list.
    Value,
    /// A key is to come, or the end of the object.
    Key,
    /// In a key.
    InKey { escaped: bool },
    /// After a key.
    Colon,
    /// In a string that is skipped.
    InText { escaped: bool },
    /// In a number or a literal.
    Scalar,
    /// After a value.
    Next,
    /// After the outermost value, or where the text is not JSON.
    Done,
}

/// Which object of interest the members at hand belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Elsewhere,
    /// `usage` of the outermost object.
    Usage,
    /// `message`, or `response`.
    Envelope { response: bool },
    /// `usage` in one of these.
    EnvelopeUsage { response: bool },
}

/// The key at hand, as far as it may be one that is looked for.
#[derive(Clone, Debug, Default)]
struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    length: usize,
}

impl Key {
    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.length..).unwrap_or_default();
        match room.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.length += bytes.len();
            }
            // Too long for any key that is looked for.
            None => self.length = KEY_BYTES_MAX,
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name() == name
    }

    fn name(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Scan {
    pub(super) fn new() -> Self {
        Self {
            state: State::Value,
            at: 0,
            depth: 0,
            objects: 0,
            key: Key::default(),
            key_at: 0,
            comma_at: None,
            place: Place::default(),
            number: None,
            null: None,
            found: Found::default(),
        }
    }

    /// Reads a piece of the text.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() && self.state != State::Done {
            // None only at the end of a scalar, which is another state.
            let read = self.step(rest);
            rest = rest.get(read..).unwrap_or_default();
            self.at += read;
        }
        self.at += rest.len();
    }

    /// What was found so far.
    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    /// What was found in all.
    pub(super) fn into_found(self) -> Found {
        self.found
    }

    /// Reads on in a piece that is not empty. How many bytes were read.
    fn step(&mut self, rest: &[u8]) -> usize {
        let Some(byte) = rest.first().copied() else {
            return 0;
        };
        match self.state {
            State::InText { escaped } => return self.text(rest, escaped, false),
            State::InKey { escaped } => return self.text(rest, escaped, true),
            State::Scalar => return self.scalar(rest),
            State::Done => return rest.len(),
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => return 1,
            _ => {}
        }
        self.state = match (self.state, byte) {
            (State::Value, b'{') => self.open(true),
            (State::Value, b'[') => self.open(false),
            (State::Value, b'"') => {
                self.has_element();
                State::InText { escaped: false }
            }
            (State::Value, b']') => self.close(false),
            (State::Value, b'-' | b'0'..=b'9' | b'a'..=b'z') => {
                self.has_element();
                (self.number, self.null) = (Some(0), Some(0));
                self.state = State::Scalar;
                return self.scalar(rest);
            }
            (State::Key, b'"') => {
                self.key.length = 0;
                self.key_at = self.at;
                State::InKey { escaped: false }
            }
            (State::Key | State::Next, b'}') => self.close(true),
            (State::Colon, b':') => State::Value,
            (State::Next, b']') => self.close(false),
            (State::Next, b',') if self.in_object() => self.comma(),
            (State::Next, b',') => State::Value,
            _ => State::Done,
        };
        1
    }

    fn open(&mut self, object: bool) -> State {
        self.has_element();
        if self.depth == DEPTH_MAX {
            return State::Done;
        }
        if object {
            self.enter();
        } else if self.depth == 1 && self.key.is(b"choices") {
            self.found.no_choices = true;
        }
        let bit = 1 << self.depth;
        self.objects = self.objects & !bit | u128::from(object) << self.depth;
        self.depth += 1;
        self.comma_at = None;
        match object {
            true => State::Key,
            false => State::Value,
        }
    }

    /// Enters an object of interest, if this is one.
    fn enter(&mut self) {
        if !self.in_object() {
            return;
        }
        match (self.depth, self.place, self.key.name()) {
            (1, _, b"usage") => {
                self.found.at_top = true;
                self.found.is_whole = true;
                self.place = Place::Usage;
            }
            (1, _, b"message") => self.place = Place::Envelope { response: false },
            (1, _, b"response") => self.place = Place::Envelope { response: true },
            (2, Place::Envelope { response }, b"usage") => {
                self.found.is_whole |= response;
                self.place = Place::EnvelopeUsage { response };
            }
            _ => {}
        }
    }

    fn close(&mut self, object: bool) -> State {
        if self.depth == 0 || self.in_object() != object {
            return State::Done;
        }
        self.depth -= 1;
        self.comma_at = None;
        self.place = match (self.depth, self.place) {
            (0 | 1, _) => Place::Elsewhere,
            (2, Place::EnvelopeUsage { response }) => Place::Envelope { response },
            (_, place) => place,
        };
        self.value_ends()
    }

    /// A comma between two members.
    fn comma(&mut self) -> State {
        // The first member of an object has its comma behind it.
        if let Some(null) = &mut self.found.null
            && self.depth == 1
            && null.start == self.key_at
        {
            null.end = self.at + 1;
        }
        self.comma_at = Some(self.at);
        State::Key
    }

    /// Whether the innermost bracket is an object's.
    fn in_object(&self) -> bool {
        self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1
    }

    fn value_ends(&self) -> State {
        match self.depth {
            0 => State::Done,
            _ => State::Next,
        }
    }

    /// A value begins: if it stands in the list `choices`, that is not empty.
    fn has_element(&mut self) {
        if self.depth == 2 && !self.in_object() && self.key.is(b"choices") {
            self.found.no_choices = false;
        }
    }

    /// Reads on in a string or a key.
    fn text(&mut self, rest: &[u8], escaped: bool, key: bool) -> usize {
        if escaped {
            if key {
                // No key that is looked for has an escape when a serializer writes it.
                self.key.length = KEY_BYTES_MAX;
            }
            self.state = inside(key, false);
            return 1;
        }
        let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let (before, after) = rest.split_at(plain);
        if key {
            self.key.push(before);
        }
        match after.first() {
            Some(b'"') if key => self.state = State::Colon,
            Some(b'"') => self.state = self.value_ends(),
            Some(_) => self.state = inside(key, true),
            None => return plain,
        }
        plain + 1
    }

    /// Reads on in a number or a literal.
    fn scalar(&mut self, rest: &[u8]) -> usize {
        let is_part =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(**byte, b'+' | b'-' | b'.');
        let length = rest.iter().take_while(is_part).count();
        let matters = self.depth <= 3 && self.in_object();
        for byte in rest.iter().take(length).filter(|_| matters) {
            self.number = match (self.number, byte) {
                (Some(number), b'0'..=b'9') => Some(
                    number
                        .saturating_mul(10)
                        .saturating_add(u64::from(byte - b'0')),
                ),
                _ => None,
            };
            let same = |place: &usize| b"null".get(*place) == Some(byte);
            self.null = self.null.filter(same).map(|place| place + 1);
        }
        if length < rest.len() {
            self.scalar_ends(self.at + length);
        }
        length
    }

    fn scalar_ends(&mut self, end: usize) {
        if let Some(number) = self.number.filter(|number| *number <= TOKENS_MAX) {
            self.count(number);
        }
        let is_null = self.null == Some(b"null".len());
        if is_null && self.depth == 1 && self.in_object() && self.key.is(b"usage") {
            let start = self.comma_at.unwrap_or(self.key_at);
            self.found.null = Some(start..end);
        }
        self.state = self.value_ends();
    }

    /// Notes a number that counts tokens.
    fn count(&mut self, number: u64) {
        let depth = match self.place {
            Place::Usage => 2,
            Place::EnvelopeUsage { .. } => 3,
            Place::Elsewhere | Place::Envelope { .. } => return,
        };
        if self.depth == depth {
            self.found.usage.state(self.key.name(), number);
        }
    }
}

fn inside(key: bool, escaped: bool) -> State {
    match key {
        true => State::InKey { escaped },
        false => State::InText { escaped },
    }
}
