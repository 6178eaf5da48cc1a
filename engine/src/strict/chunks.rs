//! The chunks of a request's body, checked as their bytes arrive (RFC 9112 section 7.1).

use super::bytes::is_token;
use super::rule::Rule;

/// Longest size in digits: more do not fit into any number that it is read into.
const DIGITS_MAX: u8 = 15;

/// Bytes of extensions in a whole body. Nobody uses any, and what is ignored is not worth
/// more (CVE-2023-39326).
const EXTENSIONS_MAX: u16 = 1024;

/// Bytes of trailers.
const TRAILERS_MAX: u16 = 8 * 1024;

/// Longest name among those that may not come late.
const NAME_MAX: usize = 19;

/// Fields that frame, route, authenticate or describe a message, or ask something of whoever
/// gets it: they are acted on before a trailer comes (RFC 9110 section 6.5.1).
const EARLY: [&[u8]; 33] = [
    b"accept-encoding",
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"expires",
    b"host",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"keep-alive",
    b"location",
    b"max-forwards",
    b"pragma",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"x-api-key",
    b"x-forwarded-for",
];

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Size,
    BeforeName,
    Name,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterValue,
    SizeEnd,
    Data,
    DataEnd,
    DataEnded,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    Last,
    End,
}

/// Finds where a chunked body ends, and what is wrong with it. The verdict depends on its
/// bytes alone, not on the pieces that they arrive in.
#[derive(Clone, Debug, Default)]
pub struct ChunkCheck {
    part: Part,
    digits: u8,
    left: u64,
    extensions: u16,
    trailers: u16,
    name: [u8; NAME_MAX],
    named: usize,
}

impl ChunkCheck {
    /// Looks at the next bytes. Gives how many of them belong to the body.
    ///
    /// # Errors
    /// The first rule that they break.
    pub fn check(&mut self, bytes: &[u8]) -> Result<usize, Rule> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.part {
                Part::End => break,
                Part::Data => {
                    let here = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
                    let taken = self.left.min(here);
                    self.left -= taken;
                    at += usize::try_from(taken).unwrap_or(usize::MAX);
                    if self.left == 0 {
                        self.part = Part::DataEnd;
                    }
                }
                _ => {
                    self.part = self.next(byte)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    /// The body has ended.
    pub fn is_done(&self) -> bool {
        self.part == Part::End
    }

    fn next(&mut self, byte: u8) -> Result<Part, Rule> {
        match self.part {
            Part::Size | Part::SizeEnd => self.size(byte),
            Part::DataEnd => expect(byte, b'\r', Part::DataEnded, Rule::ChunkEnd),
            Part::DataEnded => {
                self.digits = 0;
                expect(byte, b'\n', Part::Size, Rule::ChunkEnd)
            }
            Part::Trailer | Part::TrailerName | Part::TrailerValue | Part::TrailerEnd => {
                self.trailers += 1;
                if self.trailers > TRAILERS_MAX {
                    return Err(Rule::Trailer);
                }
                self.trailer(byte)
            }
            Part::Last => expect(byte, b'\n', Part::End, Rule::Trailer),
            Part::Data | Part::End => Ok(self.part),
            _ => {
                self.extensions += 1;
                if self.extensions > EXTENSIONS_MAX {
                    return Err(Rule::ChunkExtension);
                }
                self.extension(byte)
            }
        }
    }

    fn size(&mut self, byte: u8) -> Result<Part, Rule> {
        match (self.part, byte) {
            (Part::Size, _) if byte.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > DIGITS_MAX {
                    return Err(Rule::ChunkSize);
                }
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                self.left = self.left << 4 | u64::from(digit);
                Ok(Part::Size)
            }
            (Part::Size, _) if self.digits == 0 => Err(Rule::ChunkSize),
            (Part::Size, b';') => Ok(Part::BeforeName),
            (Part::Size, b'\r') => Ok(Part::SizeEnd),
            (Part::SizeEnd, b'\n') if self.left == 0 => Ok(Part::Trailer),
            (Part::SizeEnd, b'\n') => Ok(Part::Data),
            _ => Err(Rule::ChunkSize),
        }
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, of which no
    /// whitespace is taken: nobody writes it, and it is what such lines were smuggled with.
    fn extension(&mut self, byte: u8) -> Result<Part, Rule> {
        let part = match (self.part, byte) {
            (Part::BeforeName | Part::Name, _) if is_token(byte) => Part::Name,
            (Part::Name, b'=') => Part::BeforeValue,
            (Part::BeforeValue, b'"') => Part::Quoted,
            (Part::BeforeValue | Part::Value, _) if is_token(byte) => Part::Value,
            (Part::Name | Part::Value | Part::AfterValue, b';') => Part::BeforeName,
            (Part::Name | Part::Value | Part::AfterValue, b'\r') => Part::SizeEnd,
            (Part::Quoted, b'"') => Part::AfterValue,
            (Part::Quoted, b'\\') => Part::Escaped,
            (Part::Quoted | Part::Escaped, _) if is_text(byte) => Part::Quoted,
            _ => return Err(Rule::ChunkExtension),
        };
        Ok(part)
    }

    fn trailer(&mut self, byte: u8) -> Result<Part, Rule> {
        match (self.part, byte) {
            (Part::Trailer, b'\r') => Ok(Part::Last),
            (Part::Trailer | Part::TrailerName, _) if is_token(byte) => {
                if self.part == Part::Trailer {
                    self.named = 0;
                }
                if let Some(place) = self.name.get_mut(self.named) {
                    *place = byte.to_ascii_lowercase();
                }
                self.named += 1;
                Ok(Part::TrailerName)
            }
            (Part::TrailerName, b':') if !self.is_early() => Ok(Part::TrailerValue),
            (Part::TrailerValue, b'\r') => Ok(Part::TrailerEnd),
            (Part::TrailerValue, _) if is_text(byte) => Ok(Part::TrailerValue),
            (Part::TrailerEnd, b'\n') => Ok(Part::Trailer),
            _ => Err(Rule::Trailer),
        }
    }

    fn is_early(&self) -> bool {
        let name = self.name.get(..self.named).unwrap_or_default();
        EARLY.contains(&name)
    }
}

fn expect(byte: u8, wanted: u8, then: Part, rule: Rule) -> Result<Part, Rule> {
    match byte == wanted {
        true => Ok(then),
        false => Err(rule),
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
