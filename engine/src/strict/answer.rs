//! What the head of an upstream's answer must be to be passed on.
//!
//! An upstream is no more trusted than a client: whoever decides what it answers must not get
//! to decide what the next client of its connection reads. Pingora's parser refuses names and
//! values with control characters, and lengths that differ; folded values become one line.
//! What it lets through beyond that is found here, but for what it takes out, a length beside
//! chunks: [`AnswerHead`](super::AnswerHead) sees that before.

use std::fmt;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};

/// Heads in a row that only say that there will be an answer. RFC 9110 section 15.2 bounds
/// them nowhere; Go's client takes five, and nobody has a use for as many as these.
pub const INFORMATIONAL_MAX: usize = 16;

/// Bounds on the heads of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Bytes of all names and values, with four for each that separate them.
    pub head: usize,
    /// Headers.
    pub fields: usize,
}

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFault {
    /// A status over 599 has no meaning (RFC 9110 section 15).
    Status,
    /// One of `Content-Length` that is no number, or stands there twice, or where nothing
    /// can follow (RFC 9110 section 8.6).
    ContentLength,
    /// Any coding but one `chunked`, or where there can be none (RFC 9112 section 6.1).
    TransferEncoding,
    /// A length beside a coding (RFC 9112 section 6.3).
    Framing,
    /// More headers than are let through.
    FieldCount,
    /// A longer head than is let through.
    HeadLength,
    /// It goes on to say that there will be an answer.
    Informational,
    /// It goes over to another protocol, for which nobody has asked (RFC 9110 section 15.2.2).
    Switch,
}

impl AnswerFault {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            AnswerFault::Status => "malformed_status",
            AnswerFault::ContentLength => "malformed_content_length",
            AnswerFault::TransferEncoding => "malformed_transfer_encoding",
            AnswerFault::Framing => "malformed_framing",
            AnswerFault::FieldCount => "too_many_fields",
            AnswerFault::HeadLength => "head_too_long",
            AnswerFault::Informational => "too_many_informational",
            AnswerFault::Switch => "protocol_not_asked_for",
        }
    }
}

impl fmt::Display for AnswerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for AnswerFault {}

/// Looks at the head of an answer of HTTP/1 or HTTP/2.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check_answer(
    limits: &AnswerLimits,
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), AnswerFault> {
    if status.as_u16() > 599 {
        return Err(AnswerFault::Status);
    }
    if headers.len() > limits.fields {
        return Err(AnswerFault::FieldCount);
    }
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len() + 4;
    }
    if bytes > limits.head {
        return Err(AnswerFault::HeadLength);
    }
    let is_empty = status.is_informational() || status == StatusCode::NO_CONTENT;
    check_coding(version, is_empty, headers)?;
    check_length(is_empty, headers)
}

fn check_coding(version: Version, is_empty: bool, headers: &HeaderMap) -> Result<(), AnswerFault> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let is_good = is_chunked && codings.next().is_none() && version == Version::HTTP_11;
    match is_good && !is_empty {
        true => Ok(()),
        false => Err(AnswerFault::TransferEncoding),
    }
}

/// `Content-Length: 0` where nothing follows is needless, common and plain.
fn check_length(is_empty: bool, headers: &HeaderMap) -> Result<(), AnswerFault> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    let Some(length) = lengths.next() else {
        return Ok(());
    };
    let length = length.as_bytes();
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    let is_good = is_number && lengths.next().is_none() && (!is_empty || length == b"0");
    match is_good {
        true => Ok(()),
        false => Err(AnswerFault::ContentLength),
    }
}
