//! The rules by name, and what a client that breaks one is told.

use std::fmt;

use http::StatusCode;

/// A rule that a request breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A method is a token in upper case (RFC 9110 section 9.1).
    Method,
    /// Methods that change what follows, or that tell of the proxy (RFC 9110 sections 9.3.6
    /// and 9.3.8).
    MethodUnsupported,
    /// One space between each of the three parts of the first line (RFC 9112 section 3).
    RequestLine,
    /// What is spoken is HTTP (RFC 9112 section 2.3).
    Protocol,
    /// A target's form and its bytes (RFC 9112 section 3.2, RFC 3986).
    Target,
    /// A target's length.
    TargetLength,
    /// HTTP/1.1 or HTTP/1.0 (RFC 9112 section 2.3).
    Version,
    /// Lines end with CR LF, and neither stands alone (RFC 9112 section 2.2).
    LineEnding,
    /// No value goes on on the next line (RFC 9112 section 5.2).
    Folding,
    /// A field's name is a token (RFC 9110 section 5.1).
    FieldName,
    /// Nothing stands between name and colon (RFC 9112 section 5.1).
    FieldSpace,
    /// A value holds no control character (RFC 9110 section 5.5).
    FieldValue,
    /// How many fields a head may have.
    FieldCount,
    /// How long a head may be.
    HeadLength,
    /// One valid `Host` (RFC 9112 section 3.2).
    Host,
    /// A target with an authority names the same as `Host` (RFC 9112 section 3.2.2).
    Authority,
    /// A host that the connection's certificate is for (RFC 9110 section 15.5.20).
    Misdirected,
    /// One `Content-Length` of plain digits (RFC 9110 section 8.6).
    ContentLength,
    /// One `Transfer-Encoding`, which is `chunked`, and not with HTTP/1.0 (RFC 9112 section
    /// 6.1).
    TransferEncoding,
    /// Not both of them (RFC 9112 section 6.3).
    Framing,
    /// `Connection` holds tokens, and nominates nothing that the message depends on (RFC
    /// 9110 section 7.6.1).
    Connection,
    /// `Upgrade` only with `Connection: upgrade` (RFC 9110 section 7.8).
    Upgrade,
    /// A chunk's size is hexadecimal (RFC 9112 section 7.1).
    ChunkSize,
    /// Chunk extensions are well formed and short (RFC 9112 section 7.1.1).
    ChunkExtension,
    /// A chunk is as long as it says (RFC 9112 section 7.1).
    ChunkEnd,
    /// Trailers are fields that may come late (RFC 9110 section 6.5.1).
    Trailer,
    /// A path's escapes are two hexadecimal digits and no other way to write ASCII (RFC 3986
    /// section 2.1, RFC 3629 section 3).
    PathEscape,
    /// No NUL in a path.
    PathNul,
    /// No escaped slash or backslash in a path, unless it is configured.
    PathSeparator,
    /// A path does not leave its root, and is not made to by a server that takes parts of a
    /// segment for parameters (RFC 3986 sections 3.3 and 5.2.4).
    PathDots,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 30] = [
        Rule::Method,
        Rule::MethodUnsupported,
        Rule::RequestLine,
        Rule::Protocol,
        Rule::Target,
        Rule::TargetLength,
        Rule::Version,
        Rule::LineEnding,
        Rule::Folding,
        Rule::FieldName,
        Rule::FieldSpace,
        Rule::FieldValue,
        Rule::FieldCount,
        Rule::HeadLength,
        Rule::Host,
        Rule::Authority,
        Rule::Misdirected,
        Rule::ContentLength,
        Rule::TransferEncoding,
        Rule::Framing,
        Rule::Connection,
        Rule::Upgrade,
        Rule::ChunkSize,
        Rule::ChunkExtension,
        Rule::ChunkEnd,
        Rule::Trailer,
        Rule::PathEscape,
        Rule::PathNul,
        Rule::PathSeparator,
        Rule::PathDots,
    ];

    /// Its name in metrics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Method => "method",
            Rule::MethodUnsupported => "method_unsupported",
            Rule::RequestLine => "request_line",
            Rule::Protocol => "protocol",
            Rule::Target => "target",
            Rule::TargetLength => "target_length",
            Rule::Version => "version",
            Rule::LineEnding => "line_ending",
            Rule::Folding => "folding",
            Rule::FieldName => "field_name",
            Rule::FieldSpace => "field_space",
            Rule::FieldValue => "field_value",
            Rule::FieldCount => "field_count",
            Rule::HeadLength => "head_length",
            Rule::Host => "host",
            Rule::Authority => "authority",
            Rule::Misdirected => "misdirected",
            Rule::ContentLength => "content_length",
            Rule::TransferEncoding => "transfer_encoding",
            Rule::Framing => "framing",
            Rule::Connection => "connection",
            Rule::Upgrade => "upgrade",
            Rule::ChunkSize => "chunk_size",
            Rule::ChunkExtension => "chunk_extension",
            Rule::ChunkEnd => "chunk_end",
            Rule::Trailer => "trailer",
            Rule::PathEscape => "path_escape",
            Rule::PathNul => "path_nul",
            Rule::PathSeparator => "path_separator",
            Rule::PathDots => "path_dots",
        }
    }

    /// The status that whoever breaks it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Rule::TargetLength => StatusCode::URI_TOO_LONG,
            Rule::FieldCount | Rule::HeadLength => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Rule::MethodUnsupported => StatusCode::METHOD_NOT_ALLOWED,
            Rule::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Rule::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What the client is told.
    pub fn message(self) -> &'static str {
        match self {
            Rule::Method => "The method is not a short token in upper case.",
            Rule::MethodUnsupported => "The methods CONNECT and TRACE are not supported.",
            Rule::RequestLine => "The request line is not a method, a target and a version.",
            Rule::Protocol => "This is not HTTP.",
            Rule::Target => "The request target has a form or a character that is not allowed.",
            Rule::TargetLength => "The request target is too long.",
            Rule::Version => "Only HTTP/1.1 and HTTP/1.0 are spoken on this connection.",
            Rule::LineEnding => "A line does not end with CR LF.",
            Rule::Folding => "A header's value goes on on the next line.",
            Rule::FieldName => "A header's name is not a token.",
            Rule::FieldSpace => "There is whitespace before a header's colon.",
            Rule::FieldValue => "A header's value has a control character.",
            Rule::FieldCount => "The request has too many headers.",
            Rule::HeadLength => "The request's head is too long.",
            Rule::Host => "The request needs exactly one valid Host header.",
            Rule::Authority => "The request target and the Host header name different hosts.",
            Rule::Misdirected => {
                "This connection was made for another host: ask for this one by its name (SNI)."
            }
            Rule::ContentLength => "Content-Length is not one plain number.",
            Rule::TransferEncoding => "Transfer-Encoding is not chunked, and nothing else.",
            Rule::Framing => "The request has both Content-Length and Transfer-Encoding.",
            Rule::Connection => "The Connection header nominates what it may not.",
            Rule::Upgrade => "Upgrade needs Connection: upgrade.",
            Rule::ChunkSize => "A chunk's size is not a hexadecimal number.",
            Rule::ChunkExtension => "A chunk extension is malformed or too long.",
            Rule::ChunkEnd => "A chunk does not end where its size says.",
            Rule::Trailer => "A trailer is malformed, or is a field that may not come late.",
            Rule::PathEscape => "The path has an invalid escape.",
            Rule::PathNul => "The path has a NUL character.",
            Rule::PathSeparator => "The path has an escaped slash or backslash.",
            Rule::PathDots => "The path leaves its root.",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A broken rule, as an error of the connection that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub Rule);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request breaks the rule `{}`", self.0)
    }
}

impl std::error::Error for Fault {}
