//! The way through the values of outermost fields, where no key is known: most of a body.
//!
//! Here a token at a time is read, as long as it is all in the piece and can stand where
//! it does. Anything else is left, unread, to the scanner's ordinary steps, which alone
//! know of faults and of tokens in pieces.

use super::super::text::whole;
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
        let offset = input.offset();
        let mut at = 0;
        let Some(mut place) = Place::of(self.state) else {
            return;
        };
        if self.depth < 2 || self.findings.is_in_options() {
            return;
        }
        let mut in_object = self.in_object();
        while let Some(byte) = text.get(at) {
            let rest = text.get(at + 1..).unwrap_or_default();
            let mut length = 0;
            match (place, *byte) {
                (_, b' ' | b'\t' | b'\n' | b'\r') => {}
                (Place::Value { first: true }, b']')
                | (Place::Key { first: true }, b'}')
                | (Place::Next, b']' | b'}') => {
                    if self.close(*byte == b'}').is_err() {
                        break;
                    }
                    (place, in_object) = (Place::Next, self.in_object());
                }
                (Place::Value { .. }, b'{' | b'[') => {
                    let is_element = self.depth == 2 && !in_object;
                    in_object = *byte == b'{';
                    if self.open(in_object, offset + at).is_err() {
                        break;
                    }
                    self.findings.count(*byte, is_element);
                    place = match in_object {
                        true => Place::Key { first: true },
                        false => Place::Value { first: true },
                    };
                }
                (Place::Value { .. }, _) => {
                    let Some(value) = self.leaf(*byte, rest, in_object) else {
                        break;
                    };
                    (place, length) = (Place::Next, value);
                }
                (Place::Next, b',') if in_object => place = Place::Key { first: false },
                (Place::Next, b',') => place = Place::Value { first: false },
                (Place::Key { .. }, b'"') => {
                    let Some(key) = whole(rest) else { break };
                    self.findings.text(key.text);
                    (place, length) = (Place::Colon, key.length + 1);
                    // Most clients write the colon at once.
                    if rest.get(length) == Some(&b':') {
                        (place, length) = (Place::Value { first: false }, length + 1);
                    }
                }
                (Place::Colon, b':') => place = Place::Value { first: false },
                _ => break,
            }
            at += 1 + length;
            if self.depth < 2 {
                break;
            }
        }
        self.state = place.state();
        input.advance(at);
    }

    /// Takes a string, a number or a literal. Gives its length after the first byte; none
    /// if it is left.
    #[inline(always)]
    fn leaf(&mut self, byte: u8, rest: &[u8], in_object: bool) -> Option<usize> {
        let length = match byte {
            b'"' => {
                let text = whole(rest)?;
                self.findings.text(text.text);
                text.length + 1
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let length = rest.iter().take_while(|b| is_scalar(**b)).count();
                // It may go on in the next piece.
                rest.get(length)?;
                length
            }
            _ => return None,
        };
        self.findings.count(byte, self.depth == 2 && !in_object);
        Some(length)
    }
}
