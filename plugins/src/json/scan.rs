//! The scanner's states.

mod inside;

use crate::facts::Facts;

use super::known::{Findings, Key, Known, Scalar};
use super::text::{Escape, Symbol, UNIT_BYTES, Value, plain};
use super::{DEPTH_MAX, Fault, ScanError};

/// Finds the [`Facts`] of a JSON object that arrives in pieces.
///
/// It allocates nothing but the model's name.
///
/// ```
/// use penstock_plugins::json::Scanner;
///
/// let mut scanner = Scanner::new();
/// scanner.push(br#"{"mod"#)?;
/// scanner.push(br#"el": "gpt-4o", "stream": true}"#)?;
/// let facts = scanner.finish()?;
/// assert_eq!(facts.model(), Some("gpt-4o"));
/// assert!(facts.stream);
/// # Ok::<(), penstock_plugins::json::ScanError>(())
/// ```
#[derive(Debug, Default)]
pub struct Scanner {
    state: State,
    /// Arrays and objects around the place of reading.
    depth: usize,
    /// Which of them are objects: the first bit of the first word is the outermost.
    objects: [u64; DEPTH_MAX / 64],
    /// Bytes in the pieces so far.
    length: usize,
    /// What was found so far.
    findings: Findings,
    /// The key that is read in [`State::KnownKey`].
    key: Key,
    /// The value that is read in [`State::Scalar`] of a field.
    scalar: Scalar,
    /// The value that is read in [`State::ModelText`].
    model: Value,
}

/// What the next byte may be.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// The opening brace of the whole.
    #[default]
    Start,
    /// A key; `first`, also the end of an empty object.
    Key { first: bool },
    /// The colon after a key.
    Colon,
    /// A value; `first`, also the end of an empty array.
    Value { first: bool },
    /// The inside of a string that is of no interest but for its length.
    Skipped { is_key: bool, escape: Escape },
    /// The inside of a key that may be a known field's.
    KnownKey { escape: Escape },
    /// The inside of the value of `model`.
    ModelText { escape: Escape },
    /// The rest of a number or a literal, which may be a known field's.
    Scalar { field: Option<Known> },
    /// A comma or a closing bracket.
    Next,
    /// White space.
    End,
    /// Nothing: this went wrong.
    Failed(ScanError),
}

impl Scanner {
    /// A scanner at the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the next piece.
    ///
    /// # Errors
    ///
    /// The first fault in the text. After it the scanner takes no more and repeats
    /// the error.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        self.length = self.length.saturating_add(piece.len());
        let mut input = Input {
            rest: piece,
            end: self.length,
        };
        while !input.rest.is_empty() {
            self.read_inside(&mut input);
            if input.rest.is_empty() {
                break;
            }
            if let Err(fault) = self.step(&mut input) {
                let error = ScanError {
                    fault,
                    at: input.offset().saturating_sub(1),
                };
                self.state = State::Failed(error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The facts, once the body is whole.
    ///
    /// # Errors
    ///
    /// [`Fault::Truncated`] when the object has not ended, or the error of an
    /// earlier [`push`](Self::push).
    pub fn finish(self) -> Result<Facts, ScanError> {
        match self.state {
            State::Failed(error) => Err(error),
            State::End => Ok(self.findings.finish()),
            _ => Err(ScanError {
                fault: Fault::Truncated,
                at: self.length,
            }),
        }
    }

    /// Reads on by one byte, one string or one scalar. A fault is in the last byte read.
    fn step(&mut self, input: &mut Input<'_>) -> Result<(), Fault> {
        match self.state {
            State::Skipped { is_key, escape } => self.skip_text(input, is_key, escape),
            State::KnownKey { escape } => self.read_key(input, escape),
            State::ModelText { escape } => self.read_model(input, escape),
            State::Scalar { field } => self.read_scalar(input, field),
            _ => match input.next() {
                Some(b' ' | b'\t' | b'\n' | b'\r') | None => Ok(()),
                Some(byte) => self.punctuate(byte, input.offset() - 1),
            },
        }
    }

    /// Takes a byte between strings and scalars that is not white space.
    fn punctuate(&mut self, byte: u8, at: usize) -> Result<(), Fault> {
        self.state = match (self.state, byte) {
            (State::Start, b'{') => self.open(true, at)?,
            (State::Start, _) => return Err(Fault::NotAnObject),
            (State::Key { .. }, b'"') if self.findings.wants_keys(self.depth) => {
                self.key = Key::default();
                State::KnownKey {
                    escape: Escape::None,
                }
            }
            (State::Key { .. }, b'"') => State::Skipped {
                is_key: true,
                escape: Escape::None,
            },
            (State::Key { first: true }, b'}') => self.close(true)?,
            (State::Colon, b':') => State::Value { first: false },
            (State::Value { first: true }, b']') => self.close(false)?,
            (State::Value { .. }, _) => self.begin(byte, at)?,
            (State::Next, b',') if self.in_object() => State::Key { first: false },
            (State::Next, b',') => State::Value { first: false },
            (State::Next, b'}') => self.close(true)?,
            (State::Next, b']') => self.close(false)?,
            (State::End, _) => return Err(Fault::Trailing),
            _ => return Err(Fault::Unexpected),
        };
        Ok(())
    }

    /// Takes the first byte of a value.
    fn begin(&mut self, byte: u8, at: usize) -> Result<State, Fault> {
        let field = self
            .findings
            .begin(byte, at, self.depth, self.in_object())?;
        Ok(match byte {
            b'"' if field == Some(Known::Model) => {
                self.model = Value::default();
                State::ModelText {
                    escape: Escape::None,
                }
            }
            b'"' => State::Skipped {
                is_key: false,
                escape: Escape::None,
            },
            b'{' => self.open(true, at)?,
            b'[' => self.open(false, at)?,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                self.scalar = Scalar::default();
                self.scalar.extend(&[byte]);
                State::Scalar { field }
            }
            _ => return Err(Fault::Unexpected),
        })
    }

    /// Enters an object or an array.
    fn open(&mut self, object: bool, at: usize) -> Result<State, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        if let Some(word) = self.objects.get_mut(self.depth / 64) {
            let bit = self.depth % 64;
            *word = *word & !(1 << bit) | u64::from(object) << bit;
        }
        self.depth += 1;
        self.findings.opened(at + 1, self.depth);
        Ok(match object {
            true => State::Key { first: true },
            false => State::Value { first: true },
        })
    }

    /// Leaves an object or an array.
    fn close(&mut self, object: bool) -> Result<State, Fault> {
        if self.in_object() != object {
            return Err(Fault::Unexpected);
        }
        self.depth -= 1;
        Ok(match self.depth {
            0 => State::End,
            _ => State::Next,
        })
    }

    /// Whether the innermost bracket is an object's. There is one in every state
    /// but the first and the last.
    fn in_object(&self) -> bool {
        let outer = self.depth - 1;
        let word = self.objects.get(outer / 64);
        word.is_some_and(|word| word >> (outer % 64) & 1 == 1)
    }

    /// Skips to the end of a string. Here megabytes pass, so it looks at nothing but
    /// quotes and backslashes.
    fn skip_text(
        &mut self,
        input: &mut Input<'_>,
        is_key: bool,
        mut escape: Escape,
    ) -> Result<(), Fault> {
        loop {
            if escape == Escape::None {
                self.findings.text(input.skip_plain());
            }
            let Some(byte) = input.next() else { break };
            match escape.step(byte)? {
                Some(Symbol::Close) => {
                    self.state = match is_key {
                        true => State::Colon,
                        false => State::Next,
                    };
                    return Ok(());
                }
                Some(Symbol::Byte(_)) => self.findings.text(1),
                Some(Symbol::Unit(_)) => self.findings.text(UNIT_BYTES),
                None => {}
            }
        }
        self.state = State::Skipped { is_key, escape };
        Ok(())
    }

    /// Reads a key that may be a known field's.
    fn read_key(&mut self, input: &mut Input<'_>, mut escape: Escape) -> Result<(), Fault> {
        while let Some(byte) = input.next() {
            match escape.step(byte)? {
                Some(Symbol::Close) => {
                    self.findings.key(&self.key, self.depth)?;
                    self.state = State::Colon;
                    return Ok(());
                }
                Some(Symbol::Byte(byte)) => self.key.push(byte),
                Some(Symbol::Unit(unit)) => self.key.push_unit(unit),
                None => {}
            }
        }
        self.state = State::KnownKey { escape };
        Ok(())
    }

    /// Reads the value of `model`.
    fn read_model(&mut self, input: &mut Input<'_>, mut escape: Escape) -> Result<(), Fault> {
        while let Some(byte) = input.next() {
            if byte < b' ' {
                return Err(Fault::ModelNotText);
            }
            let Some(symbol) = escape.step(byte)? else {
                continue;
            };
            self.model.push(symbol)?;
            if symbol == Symbol::Close {
                let model = std::mem::take(&mut self.model);
                self.findings.model(model, input.offset())?;
                self.state = State::Next;
                return Ok(());
            }
        }
        self.state = State::ModelText { escape };
        Ok(())
    }

    /// Reads a number or a literal up to what can be no part of one.
    fn read_scalar(&mut self, input: &mut Input<'_>, field: Option<Known>) -> Result<(), Fault> {
        let length = input.rest.iter().take_while(|b| is_scalar(**b)).count();
        if field.is_some() {
            let (part, _) = input.rest.split_at(length);
            self.scalar.extend(part);
        }
        input.advance(length);
        if input.rest.is_empty() {
            return Ok(());
        }
        self.state = State::Next;
        match field {
            Some(field) => self.findings.scalar(field, &self.scalar, input.offset()),
            None => Ok(()),
        }
    }
}

/// Characters of numbers and literals. `+` and the letters of exponents included;
/// whether they stand in order is not looked at.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// A piece of the body and where it lies.
struct Input<'a> {
    rest: &'a [u8],
    /// Offset of the piece's end in the body.
    end: usize,
}

impl Input<'_> {
    /// Offset in the body of what comes next.
    fn offset(&self) -> usize {
        self.end.saturating_sub(self.rest.len())
    }

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// Skips the inside of a string up to its closing quote, or to an escape that is
    /// wrong or not all here. Gives the bytes that the skipped part stands for.
    fn skip_plain(&mut self) -> usize {
        let plain = plain(self.rest);
        self.advance(plain.length);
        plain.text
    }

    /// Skips bytes that are known to be there.
    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}
