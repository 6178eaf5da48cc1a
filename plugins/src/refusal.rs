//! A request that is refused: what the client reads and what the log reads.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderName, HeaderValue, StatusCode};
use smallvec::SmallVec;

/// Why a request goes no further. The engine renders it, in the dialect that the
/// client speaks; a plugin writes nothing to the client itself.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Status of the answer.
    pub status: StatusCode,
    /// The error's class: OpenAI's and Anthropic's `type` field.
    pub kind: Kind,
    /// The error's identifier for programs: OpenAI's `code` field.
    pub code: &'static str,
    /// What the client reads. Names nothing that the client did not send or may
    /// not know.
    pub message: Cow<'static, str>,
    /// What the log reads. Holds no secret and no prompt.
    pub reason: Cow<'static, str>,
    /// Headers that belong to this answer, such as `retry-after` or
    /// `www-authenticate`.
    pub headers: SmallVec<[(HeaderName, HeaderValue); 1]>,
}

impl Refusal {
    /// A refusal whose log reads what the client reads, with no headers.
    ///
    /// It is boxed because a filter's usual answer is "continue", and that one
    /// should stay a single machine word.
    pub fn new(
        status: StatusCode,
        kind: Kind,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Box<Self> {
        let message = message.into();
        Box::new(Self {
            status,
            kind,
            code,
            reason: message.clone(),
            message,
            headers: SmallVec::new(),
        })
    }

    /// The same refusal with its own words for the log.
    pub fn because(mut self: Box<Self>, reason: impl Into<Cow<'static, str>>) -> Box<Self> {
        self.reason = reason.into();
        self
    }

    /// The same refusal with one more header.
    pub fn with_header(mut self: Box<Self>, name: HeaderName, value: HeaderValue) -> Box<Self> {
        self.headers.push((name, value));
        self
    }
}

impl fmt::Display for Refusal {
    /// For the log: the status, the code and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.reason)
    }
}

impl std::error::Error for Refusal {}

/// Classes of errors that the SDKs tell apart. The names are those of Anthropic's
/// API (<https://docs.anthropic.com/en/api/errors>); OpenAI's `type` field uses the
/// same words where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be served as it is written.
    InvalidRequest,
    /// Who the client is could not be established.
    Authentication,
    /// The client is known and may not do this.
    Permission,
    /// Nothing is configured for this request.
    NotFound,
    /// The body is larger than the configured limit.
    TooLarge,
    /// A limit on rate, concurrency or spending is reached.
    RateLimit,
    /// No upstream can take the request now.
    Overloaded,
    /// The proxy or the upstream failed.
    Api,
}

impl Kind {
    /// The value of the `type` field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request_error",
            Self::Authentication => "authentication_error",
            Self::Permission => "permission_error",
            Self::NotFound => "not_found_error",
            Self::TooLarge => "request_too_large",
            Self::RateLimit => "rate_limit_error",
            Self::Overloaded => "overloaded_error",
            Self::Api => "api_error",
        }
    }
}
