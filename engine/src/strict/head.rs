//! The head of an HTTP/1 request, checked as its bytes arrive.

use std::ops::Range;

use super::bytes::{end_of, end_of_text, is_path, is_query, is_token, trimmed, without_spaces};
use super::host;
use super::rule::Rule;

/// Longest method. The longest that is registered has 17 letters.
const METHOD_MAX: usize = 32;

/// Longest version that is looked at, to say that it is another one.
const VERSION_MAX: usize = 16;

/// Bounds on heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a target.
    pub target: usize,
    /// Bytes of a head, from its first to those of the empty line at its end.
    pub head: usize,
    /// Fields of a head.
    pub fields: usize,
}

/// What a checked head says of its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where it stands in the bytes: an empty line before it is left out (RFC 9112 section
    /// 2.2).
    pub bytes: Range<usize>,
    /// Where its target stands.
    pub target: Range<usize>,
    /// Where the path and query of its target begin. Before it, in a target of absolute
    /// form, stand a scheme and an authority that say nothing new.
    pub path: usize,
    /// What follows it.
    pub framing: Framing,
    /// Another protocol may follow, once a 101 was the answer.
    pub upgrade: bool,
    /// It asks what the server can do in general.
    pub options: bool,
    /// It may wait for leave to send its body.
    pub expects: bool,
}

/// What follows a head (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Start,
    Method,
    Path,
    Query,
    Version,
    Name,
    Value,
    End,
}

/// Reads a head once, however many pieces it arrives in: the verdict depends on its bytes
/// alone.
#[derive(Clone, Debug, Default)]
pub struct HeadCheck {
    part: Part,
    /// All before it has been looked at.
    at: usize,
    /// Where the present part begins.
    from: usize,
    start: usize,
    method: Range<usize>,
    target: Range<usize>,
    name: Range<usize>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    fields: usize,
    is_old: bool,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
    expects: bool,
}

/// What there is of a head by now. No part: it goes on in bytes that are not here yet.
type Step = Result<Option<Part>, Rule>;

impl HeadCheck {
    /// Looks at what is new in `bytes`, which begin with the head and only ever get longer.
    /// None: the head is not here in full yet.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&mut self, limits: &Limits, bytes: &[u8]) -> Result<Option<Head>, Rule> {
        let seen = bytes.get(..limits.head).unwrap_or(bytes);
        while self.part != Part::End {
            let step = match self.part {
                Part::Start => self.start(seen),
                Part::Method => self.method(seen),
                Part::Path => self.path(seen, limits.target),
                Part::Query => self.query(seen, limits.target),
                Part::Version => self.version(seen),
                Part::Name => self.name(seen, limits.fields),
                Part::Value => self.value(seen),
                Part::End => Ok(None),
            };
            match step? {
                Some(part) => self.part = part,
                None if bytes.len() >= limits.head => return Err(Rule::HeadLength),
                None => return Ok(None),
            }
        }
        self.head(bytes).map(Some)
    }

    /// The target as far as it is known, to choose the words of a refusal by.
    pub fn target<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let target = match self.part {
            Part::Path | Part::Query => self.from..self.at.max(self.from),
            _ => self.target.clone(),
        };
        bytes.get(target).unwrap_or_default()
    }

    /// The method, likewise.
    pub fn method_name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        bytes.get(self.method.clone()).unwrap_or_default()
    }

    fn begin(&mut self, at: usize, part: Part) -> Step {
        self.at = at;
        self.from = at;
        Ok(Some(part))
    }

    fn start(&mut self, bytes: &[u8]) -> Step {
        match bytes {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                self.start = 2;
                self.begin(2, Part::Method)
            }
            [b'\r' | b'\n', ..] => Err(Rule::LineEnding),
            _ => self.begin(0, Part::Method),
        }
    }

    fn method(&mut self, bytes: &[u8]) -> Step {
        self.at = end_of(bytes, self.at, is_token);
        if self.at - self.from > METHOD_MAX {
            return Err(Rule::Method);
        }
        match bytes.get(self.at) {
            None => Ok(None),
            Some(b' ') => {
                self.method = self.from..self.at;
                let method = bytes.get(self.method.clone()).unwrap_or_default();
                if method.is_empty() || method.iter().any(u8::is_ascii_lowercase) {
                    return Err(Rule::Method);
                }
                self.begin(self.at + 1, Part::Path)
            }
            Some(b'\r' | b'\n' | b'\t') => Err(Rule::RequestLine),
            Some(_) => Err(Rule::Method),
        }
    }

    fn path(&mut self, bytes: &[u8], limit: usize) -> Step {
        self.at = end_of(bytes, self.at, is_path);
        match bytes.get(self.at) {
            Some(b'?') if self.at - self.from <= limit => Ok(Some(Part::Query)),
            next => self.target_end(next, limit),
        }
    }

    fn query(&mut self, bytes: &[u8], limit: usize) -> Step {
        self.at = end_of(bytes, self.at, is_query);
        self.target_end(bytes.get(self.at), limit)
    }

    fn target_end(&mut self, next: Option<&u8>, limit: usize) -> Step {
        let len = self.at - self.from;
        if len > limit {
            return Err(Rule::TargetLength);
        }
        match next {
            None => Ok(None),
            Some(b' ') if len > 0 => {
                self.target = self.from..self.at;
                self.begin(self.at + 1, Part::Version)
            }
            Some(b' ' | b'\r' | b'\n' | b'\t') => Err(Rule::RequestLine),
            Some(_) => Err(Rule::Target),
        }
    }

    fn version(&mut self, bytes: &[u8]) -> Step {
        self.at = end_of(bytes, self.at, |byte| byte.is_ascii_graphic());
        if self.at - self.from > VERSION_MAX {
            return Err(Rule::RequestLine);
        }
        let end = match bytes.get(self.at..).unwrap_or_default() {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => self.at + 2,
            [b'\r' | b'\n', ..] => return Err(Rule::LineEnding),
            _ => return Err(Rule::RequestLine),
        };
        match bytes.get(self.from..self.at).unwrap_or_default() {
            b"HTTP/1.1" => {}
            b"HTTP/1.0" => self.is_old = true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Rule::Version);
            }
            name => {
                let begins = name.get(..5).unwrap_or(name);
                return Err(
                    match begins.eq_ignore_ascii_case(b"HTTP/") || begins.is_empty() {
                        true => Rule::RequestLine,
                        false => Rule::Protocol,
                    },
                );
            }
        }
        self.begin(end, Part::Name)
    }

    fn name(&mut self, bytes: &[u8], fields_max: usize) -> Step {
        self.at = end_of(bytes, self.at, is_token);
        let is_first = self.at == self.from;
        match bytes.get(self.at..).unwrap_or_default() {
            [] | [b'\r'] => Ok(None),
            [b':', ..] if is_first => Err(Rule::FieldName),
            [b':', ..] => {
                self.fields += 1;
                if self.fields > fields_max {
                    return Err(Rule::FieldCount);
                }
                self.name = self.from..self.at;
                self.begin(self.at + 1, Part::Value)
            }
            [b'\r', b'\n', ..] if is_first => self.begin(self.at + 2, Part::End),
            [b' ' | b'\t', ..] if is_first => Err(Rule::Folding),
            [b' ' | b'\t', ..] => Err(Rule::FieldSpace),
            // A line without a colon.
            [b'\r', b'\n', ..] => Err(Rule::FieldName),
            [b'\r' | b'\n', ..] => Err(Rule::LineEnding),
            _ => Err(Rule::FieldName),
        }
    }

    fn value(&mut self, bytes: &[u8]) -> Step {
        self.at = end_of_text(bytes, self.at);
        match bytes.get(self.at..).unwrap_or_default() {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                self.field(bytes)?;
                self.begin(self.at + 2, Part::Name)
            }
            [b'\r' | b'\n', ..] => Err(Rule::LineEnding),
            _ => Err(Rule::FieldValue),
        }
    }

    /// A field is here in full. What it is about is found by its length first: most are
    /// not looked at.
    fn field(&mut self, bytes: &[u8]) -> Result<(), Rule> {
        let name = bytes.get(self.name.clone()).unwrap_or_default();
        let value = bytes.get(self.from..self.at).unwrap_or_default();
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        match name.len() {
            4 if is(b"host") => {
                if self.host.is_some() || !host::is_authority(trimmed(value)) {
                    return Err(Rule::Host);
                }
                self.host = Some(self.from..self.at);
            }
            6 if is(b"expect") => self.expects = true,
            7 if is(b"upgrade") => self.upgrade = true,
            10 if is(b"connection") => self.connection(value)?,
            14 if is(b"content-length") => {
                if self.length.is_some() {
                    return Err(Rule::ContentLength);
                }
                self.length = Some(plain_number(without_spaces(value))?);
            }
            17 if is(b"transfer-encoding") => {
                let is_chunked = without_spaces(value).eq_ignore_ascii_case(b"chunked");
                if self.chunked || self.is_old || !is_chunked {
                    return Err(Rule::TransferEncoding);
                }
                self.chunked = true;
            }
            // To whoever makes variables of fields these are the same (RFC 3875 section
            // 4.1.18).
            14 if is(b"content_length") => return Err(Rule::FieldName),
            17 if is(b"transfer_encoding") => return Err(Rule::FieldName),
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Rule> {
        for option in value.split(|&byte| byte == b',') {
            let option = trimmed(option);
            let is = |wanted: &[u8]| option.eq_ignore_ascii_case(wanted);
            let is_needed = is(b"host") || is(b"content-length") || is(b"transfer-encoding");
            if is_needed || !option.iter().all(|&byte| is_token(byte)) {
                return Err(Rule::Connection);
            }
            self.connection_upgrade |= is(b"upgrade");
        }
        Ok(())
    }

    /// All fields are here: whether they go together.
    fn head(&self, bytes: &[u8]) -> Result<Head, Rule> {
        let host = match &self.host {
            Some(host) => trimmed(bytes.get(host.clone()).unwrap_or_default()),
            None if self.is_old => b"",
            None => return Err(Rule::Host),
        };
        let framing = match (self.length, self.chunked) {
            (Some(_), true) => return Err(Rule::Framing),
            (_, true) => Framing::Chunked,
            (length, false) => Framing::Length(length.unwrap_or(0)),
        };
        // HTTP/1.0 knows no upgrades (RFC 9110 section 7.8).
        let upgrade = self.upgrade && !self.is_old;
        if upgrade && !self.connection_upgrade {
            return Err(Rule::Upgrade);
        }
        let method = bytes.get(self.method.clone()).unwrap_or_default();
        if matches!(method, b"CONNECT" | b"TRACE") {
            return Err(Rule::MethodUnsupported);
        }
        let options = method == b"OPTIONS";
        let target = bytes.get(self.target.clone()).unwrap_or_default();
        let path = match target {
            [b'/', ..] => 0,
            b"*" if options => 0,
            _ => absolute(target, host)?,
        };
        Ok(Head {
            bytes: self.start..self.at,
            target: self.target.clone(),
            path: self.target.start + path,
            framing,
            upgrade,
            expects: self.expects,
            options,
        })
    }
}

/// Where the path begins in a target of absolute form (RFC 9112 section 3.2.2).
fn absolute(target: &[u8], host: &[u8]) -> Result<usize, Rule> {
    let is = |scheme: &[u8]| {
        let beginning = target.get(..scheme.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(scheme))
    };
    let (from, default_port) = match () {
        () if is(b"http://") => (7, 80),
        () if is(b"https://") => (8, 443),
        () => return Err(Rule::Target),
    };
    let end = end_of(target, from, |byte| !matches!(byte, b'/' | b'?'));
    let authority = target.get(from..end).unwrap_or_default();
    if !host::is_authority(authority) {
        return Err(Rule::Target);
    }
    match host.is_empty() || host::agree(authority, host, default_port) {
        true => Ok(end),
        false => Err(Rule::Authority),
    }
}

/// Digits and nothing else, and only as many as are needed: what an octal or a signed
/// number is to one server is another number to the next.
fn plain_number(digits: &[u8]) -> Result<u64, Rule> {
    let is_plain = match digits {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 18 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_plain {
        return Err(Rule::ContentLength);
    }
    let number = |number, digit: &u8| number * 10 + u64::from(digit - b'0');
    Ok(digits.iter().fold(0, number))
}
