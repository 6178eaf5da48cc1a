//! The way through the values of outermost fields, where no key is known: most of a body.
//!
//! Here a token at a time is read, as long as it is all in the piece and can stand where
//! it does. Anything else is left, unread, to the scanner's ordinary steps, which alone
//! know of faults and of tokens in pieces.

use super::super::text::{Plain, whole};
use super::{Input, Scanner, State, is_scalar};

/// What the next token may be: the states in which a scanner is between tokens, small
/// enough for a register.
#[derive(Clone, Copy)]
enum Place {
    Key { first: bool },
    Colon,
    Value { first: bool },
    Next,
}

impl Place {
    fn of(state: State) -> Option<Self> {
        match state {
            State::Key { first } => Some(Self::Key { first }),
            State::Colon => Some(Self::Colon),
            State::Value { first } => Some(Self::Value { first }),
            State::Next => Some(Self::Next),
            _ => None,
        }
    }

    fn first(in_object: bool) -> Self {
        match in_object {
            true => Self::Key { first: true },
            false => Self::Value { first: true },
        }
    }

    fn after_comma(in_object: bool) -> Self {
        match in_object {
            true => Self::Key { first: false },
            false => Self::Value { first: false },
        }
    }

    fn state(self) -> State {
        match self {
            Self::Key { first } => State::Key { first },
            Self::Colon => State::Colon,
            Self::Value { first } => State::Value { first },
            Self::Next => State::Next,
        }
    }
}

impl Scanner {
    /// Reads on up to the end of the outermost field's value, or to a token that it
    /// leaves.
    pub(super) fn read_inside(&mut self, input: &mut Input<'_>) {
        let text = input.rest;
        let (mut at, mut bytes) = (0, 0);
        let Some(mut place) = self.place_inside() else {
            return;
        };
        let mut in_object = self.in_object();
        let counts_all = self.findings.counts_all();
        while self.depth >= 2
            && let Some(&byte) = text.get(at)
        {
            if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                at += 1;
                continue;
            }
            let rest = text.get(at + 1..).unwrap_or_default();
            let (mut length, mut closes) = (0, false);
            match place {
                Place::Key { first } => match byte {
                    b'"' => {
                        let Some((key, next)) = key(rest) else { break };
                        bytes += key.text;
                        (place, length) = (next, key.length);
                    }
                    b'}' if first => closes = true,
                    _ => break,
                },
                Place::Colon if byte == b':' => place = Place::Value { first: false },
                Place::Colon => break,
                Place::Value { first } => {
                    let is_element = self.depth == 2 && !in_object;
                    match byte {
                        b'{' | b'[' => {
                            in_object = byte == b'{';
                            if self.open(in_object, input.offset() + at).is_err() {
                                break;
                            }
                            place = Place::first(in_object);
                        }
                        b']' if first => closes = true,
                        _ => {
                            let Some((value, next)) = leaf(byte, rest, in_object) else {
                                break;
                            };
                            bytes += value.text;
                            (place, length) = (next, value.length);
                        }
                    }
                    if (is_element || counts_all) && !closes {
                        self.findings.count(byte, is_element);
                    }
                }
                Place::Next => match byte {
                    b',' => place = Place::after_comma(in_object),
                    b'}' | b']' => closes = true,
                    _ => break,
                },
            }
            if closes {
                if self.close(byte == b'}').is_err() {
                    break;
                }
                (place, in_object) = (Place::Next, self.in_object());
            }
            at += 1 + length;
        }
        self.findings.text(bytes);
        self.state = place.state();
        input.advance(at);
    }

    /// The place in the value of an outermost field, between two tokens and where no key is
    /// known.
    fn place_inside(&self) -> Option<Place> {
        let is_inside = self.depth >= 2 && !self.findings.is_in_options();
        Place::of(self.state).filter(|_| is_inside)
    }
}

/// A key: its length after the opening quote, its text, and what comes next. Most clients
/// write the colon at once, and then it is read with the key.
#[inline(always)]
fn key(rest: &[u8]) -> Option<(Plain, Place)> {
    let Plain { length, text } = whole(rest)?;
    let (length, next) = match rest.get(length + 1) {
        Some(b':') => (length + 2, Place::Value { first: false }),
        _ => (length + 1, Place::Colon),
    };
    Some((Plain { length, text }, next))
}

/// A string, a number or a literal: its length after the first byte, its text, and what
/// comes next, be it after a comma. None if it is left.
#[inline(always)]
fn leaf(byte: u8, rest: &[u8], in_object: bool) -> Option<(Plain, Place)> {
    let Plain { length, text } = match byte {
        b'"' => {
            let Plain { length, text } = whole(rest)?;
            Plain {
                length: length + 1,
                text,
            }
        }
        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            let length = rest.iter().take_while(|b| is_scalar(**b)).count();
            // It may go on in the next piece.
            rest.get(length)?;
            Plain { length, text: 0 }
        }
        _ => return None,
    };
    let (length, next) = match rest.get(length) {
        Some(b',') => (length + 1, Place::after_comma(in_object)),
        _ => (length, Place::Next),
    };
    Some((Plain { length, text }, next))
}
