//! The model that a request's path names.
//!
//! Azure OpenAI's paths are `/openai/deployments/{deployment}/chat/completions` and the
//! like, and a deployment is what its clients call a model: the body need not name one,
//! and where it does, Azure does not look at it
//! (<https://learn.microsoft.com/azure/ai-services/openai/reference>).
//!
//! What a key may use depends on the name, so there is one spelling of such a path. One
//! that a server may take for another, with dot segments, repeated slashes, other case or
//! escapes, is refused wherever it would lead to a deployment.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::StatusCode;

use crate::refusal::{Kind, Refusal};

const PREFIX: &str = "/openai/deployments/";

/// A word without which no path names a deployment, unless parts of it are escaped.
const WORD: &str = "deployments";

/// A deployment that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment(Box<str>);

impl Deployment {
    /// The deployment of a request for `path`, without the query; none where the path
    /// names none.
    ///
    /// # Errors
    /// The path may be understood in several ways.
    pub fn of(path: &str) -> Result<Option<Self>, Box<Refusal>> {
        if !may_name(path.as_bytes()) {
            return Ok(None);
        }
        let written = path.strip_prefix(PREFIX);
        let written = written.and_then(|rest| rest.split('/').next());
        let name = match written.filter(|name| !name.is_empty()) {
            Some(name) => Some(decoded(name).ok_or_else(ambiguous)?),
            None => None,
        };
        if loosely(&unescaped(path)) != name.as_deref().map(str::as_bytes) {
            return Err(ambiguous());
        }
        Ok(name.map(|name| Self(name.into())))
    }

    /// Its name, with escapes resolved.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the path is worth a closer look.
fn may_name(path: &[u8]) -> bool {
    let is_word = |part: &[u8]| part.eq_ignore_ascii_case(WORD.as_bytes());
    memchr::memchr2(b'%', b'\\', path).is_some() || path.windows(WORD.len()).any(is_word)
}

/// A name as written in a path; none if it is not visible ASCII or has escapes within
/// escapes.
fn decoded(written: &str) -> Option<Cow<'_, str>> {
    let bytes = unescaped(written);
    let sane = bytes
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'%');
    match bytes {
        _ if !sane => None,
        Cow::Borrowed(_) => Some(Cow::Borrowed(written)),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The deployment that the most tolerant of servers would find in a path whose escapes it
/// resolved before anything else: one that takes backslashes for slashes, drops empty
/// segments, resolves dots (RFC 3986 section 5.2.4) and does not care about case.
fn loosely(path: &[u8]) -> Option<&[u8]> {
    let mut kept: [&[u8]; 3] = [&[]; 3];
    let mut depth = 0_usize;
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." => depth = depth.saturating_sub(1),
            segment => {
                if let Some(place) = kept.get_mut(depth) {
                    *place = segment;
                }
                depth += 1;
            }
        }
    }
    let [first, second, name] = kept;
    let leads = depth >= kept.len()
        && first.eq_ignore_ascii_case(b"openai")
        && second.eq_ignore_ascii_case(WORD.as_bytes());
    leads.then_some(name)
}

/// The text with its escapes resolved (RFC 3986 section 2.1). What is no escape stays.
fn unescaped(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    let mut resolved = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        resolved.push(escape.map_or(*first, |(high, low)| high << 4 | low));
        rest = match escape {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    Cow::Owned(resolved)
}

fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

fn ambiguous() -> Box<Refusal> {
    let message = "The path names a deployment in a way that can be understood differently. \
                   Write `/openai/deployments/NAME/` and what follows, plainly.";
    Refusal::new(
        StatusCode::BAD_REQUEST,
        Kind::InvalidRequest,
        "ambiguous_path",
        message,
    )
}
