//! The scanner's states.

use super::text::{Escape, Key, Symbol, Value, plain_length};
use super::{DEPTH_MAX, Fault, Field, ScanError};

/// Finds the top-level `model` field of a JSON object that arrives in pieces.
///
/// It allocates nothing but the field's value.
///
/// ```
/// use penstock_plugins::json::ModelScanner;
///
/// let mut scanner = ModelScanner::new();
/// scanner.push(br#"{"mod"#)?;
/// scanner.push(br#"el": "gpt-4o", "stream": true}"#)?;
/// let model = scanner.finish()?;
/// assert_eq!(model.as_ref().map(|field| field.value()), Some("gpt-4o"));
/// # Ok::<(), penstock_plugins::json::ScanError>(())
/// ```
#[derive(Debug)]
pub struct ModelScanner {
    state: State,
    /// Arrays and objects around the place of reading.
    depth: usize,
    /// Which of them are objects: bit 0 is the outermost. It has [`DEPTH_MAX`] bits.
    objects: u128,
    /// Bytes in the pieces so far.
    length: usize,
    model: Model,
}

/// What the next byte may be.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The opening brace of the whole.
    Start,
    /// A key; `first`, also the end of an empty object.
    Key { first: bool },
    /// The colon after a key.
    Colon { model: bool },
    /// A value; `first`, also the end of an empty array.
    Value { first: bool },
    /// The value of `model`.
    ModelValue,
    /// The inside of a string that is of no interest.
    Skipped { is_key: bool, escape: Escape },
    /// The inside of a key of the outermost object.
    TopKey { key: Key, escape: Escape },
    /// The inside of the value of `model`.
    ModelText { escape: Escape },
    /// The rest of a number or a literal.
    Scalar,
    /// A comma or a closing bracket.
    Next,
    /// White space.
    End,
    /// Nothing: this went wrong.
    Failed(ScanError),
}

/// How much is known of the field.
#[derive(Debug)]
enum Model {
    Unseen,
    Reading { start: usize, value: Value },
    Found(Field),
}

impl Default for ModelScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ModelScanner {
    /// A scanner at the beginning of a body.
    pub fn new() -> Self {
        Self {
            state: State::Start,
            depth: 0,
            objects: 0,
            length: 0,
            model: Model::Unseen,
        }
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

    /// The field, once the body is whole; none if the object has no `model`.
    ///
    /// # Errors
    ///
    /// [`Fault::Truncated`] when the object has not ended, or the error of an
    /// earlier [`push`](Self::push).
    pub fn finish(self) -> Result<Option<Field>, ScanError> {
        match (self.state, self.model) {
            (State::Failed(error), _) => Err(error),
            (State::End, Model::Found(field)) => Ok(Some(field)),
            (State::End, _) => Ok(None),
            _ => Err(ScanError {
                fault: Fault::Truncated,
                at: self.length,
            }),
        }
    }

    /// Reads on by one byte or one string. A fault is in the last byte read.
    fn step(&mut self, input: &mut Input<'_>) -> Result<(), Fault> {
        match self.state {
            State::Skipped { is_key, escape } => self.skip_text(input, is_key, escape),
            State::TopKey { key, escape } => self.read_key(input, key, escape),
            State::ModelText { escape } => self.read_model(input, escape),
            State::Scalar => {
                let length = input.rest.iter().take_while(|b| is_scalar(**b)).count();
                input.advance(length);
                if !input.rest.is_empty() {
                    self.state = State::Next;
                }
                Ok(())
            }
            _ => match input.next() {
                Some(b' ' | b'\t' | b'\n' | b'\r') | None => Ok(()),
                Some(byte) => self.punctuate(byte, input.offset() - 1),
            },
        }
    }

    /// Takes a byte between strings and scalars that is not white space.
    fn punctuate(&mut self, byte: u8, at: usize) -> Result<(), Fault> {
        self.state = match (self.state, byte) {
            (State::Start, b'{') => self.open(true)?,
            (State::Start, _) => return Err(Fault::NotAnObject),
            (State::Key { .. }, b'"') if self.depth == 1 => State::TopKey {
                key: Key::new(),
                escape: Escape::None,
            },
            (State::Key { .. }, b'"') => State::Skipped {
                is_key: true,
                escape: Escape::None,
            },
            (State::Key { first: true }, b'}') => self.close(true)?,
            (State::Colon { model: false }, b':') => State::Value { first: false },
            (State::Colon { model: true }, b':') => State::ModelValue,
            (State::ModelValue, b'"') => {
                let value = Value::default();
                self.model = Model::Reading { start: at, value };
                State::ModelText {
                    escape: Escape::None,
                }
            }
            (State::ModelValue, _) => return Err(Fault::ModelNotString),
            (State::Value { .. }, b'"') => State::Skipped {
                is_key: false,
                escape: Escape::None,
            },
            (State::Value { .. }, b'{') => self.open(true)?,
            (State::Value { .. }, b'[') => self.open(false)?,
            (State::Value { first: true }, b']') => self.close(false)?,
            (State::Value { .. }, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => State::Scalar,
            (State::Next, b',') if self.in_object() => State::Key { first: false },
            (State::Next, b',') => State::Value { first: false },
            (State::Next, b'}') => self.close(true)?,
            (State::Next, b']') => self.close(false)?,
            (State::End, _) => return Err(Fault::Trailing),
            _ => return Err(Fault::Unexpected),
        };
        Ok(())
    }

    /// Enters an object or an array.
    fn open(&mut self, object: bool) -> Result<State, Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        let bit = 1 << self.depth;
        self.objects = self.objects & !bit | u128::from(object) << self.depth;
        self.depth += 1;
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
        self.objects >> (self.depth - 1) & 1 == 1
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
                input.skip_plain();
            }
            let Some(byte) = input.next() else { break };
            if escape.step(byte)? == Some(Symbol::Close) {
                self.state = match is_key {
                    true => State::Colon { model: false },
                    false => State::Next,
                };
                return Ok(());
            }
        }
        self.state = State::Skipped { is_key, escape };
        Ok(())
    }

    /// Reads a key of the outermost object.
    fn read_key(
        &mut self,
        input: &mut Input<'_>,
        mut key: Key,
        mut escape: Escape,
    ) -> Result<(), Fault> {
        while let Some(byte) = input.next() {
            match escape.step(byte)? {
                Some(Symbol::Close) => {
                    let model = key.is_model()?;
                    if model && !matches!(self.model, Model::Unseen) {
                        return Err(Fault::DuplicateModel);
                    }
                    self.state = State::Colon { model };
                    return Ok(());
                }
                Some(symbol) => key.push(symbol),
                None => {}
            }
        }
        self.state = State::TopKey { key, escape };
        Ok(())
    }

    /// Reads the value of `model`.
    fn read_model(&mut self, input: &mut Input<'_>, mut escape: Escape) -> Result<(), Fault> {
        let Model::Reading { start, value } = &mut self.model else {
            return Err(Fault::Unexpected);
        };
        while let Some(byte) = input.next() {
            if byte < b' ' {
                return Err(Fault::ModelNotText);
            }
            let Some(symbol) = escape.step(byte)? else {
                continue;
            };
            value.push(symbol)?;
            if symbol == Symbol::Close {
                self.model = Model::Found(Field {
                    start: *start,
                    end: input.offset(),
                    value: std::mem::take(value).finish()?,
                });
                self.state = State::Next;
                return Ok(());
            }
        }
        self.state = State::ModelText { escape };
        Ok(())
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
    /// wrong or not all here.
    fn skip_plain(&mut self) {
        self.advance(plain_length(self.rest));
    }

    /// Skips bytes that are known to be there.
    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}
