//! How an exchange ended.

use std::time::Duration;

use http::{Method, StatusCode};

/// What an observer hears when an exchange is over.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// What became of it.
    pub outcome: Outcome,
    /// Method of the request.
    pub method: &'a Method,
    /// Path of the request, without the query.
    pub path: &'a str,
    /// Status that was sent to the client; none when it left before that.
    pub status: Option<StatusCode>,
    /// From the request head's arrival to the end.
    pub duration: Duration,
    /// From the request head's arrival to the first byte of the answer's body that
    /// went to the client; none when there was none.
    pub first_byte: Option<Duration>,
    /// Bytes of request body taken from the client.
    pub request_bytes: u64,
    /// Bytes of answer body given to the client.
    pub response_bytes: u64,
    /// Name of the upstream that the request was sent to last; none when it was
    /// sent to none.
    pub upstream: Option<&'a str>,
    /// How many endpoints were tried.
    pub attempts: usize,
}

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer of the upstream, whatever its status, went to the client.
    Completed,
    /// A filter, a limit or the lack of a route answered instead of an upstream.
    Refused,
    /// The client closed its connection or stopped reading before the end.
    ClientGone,
    /// The client sent its body, or took the answer, more slowly than it may.
    ClientSlow,
    /// No endpoint gave a whole answer.
    UpstreamFailed,
    /// An endpoint was too slow.
    UpstreamTimeout,
    /// The proxy itself failed.
    Internal,
}

impl Outcome {
    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::ClientGone => "client_gone",
            Self::ClientSlow => "client_slow",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Internal => "internal",
        }
    }
}
