//! Clients that are too slow, as errors of their connections.

use std::fmt;
use std::io;

use pingora_error::Error;

/// What a client was too slow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Sending a request's head.
    Head,
    /// Sending a request's body.
    Body,
    /// Taking an answer.
    Answer,
}

impl Late {
    /// What ended an exchange, if it was that.
    pub fn of(error: &Error) -> Option<Late> {
        let met = error.root_cause().downcast_ref::<io::Error>()?;
        met.get_ref()?.downcast_ref::<Late>().copied()
    }

    /// The limit that it has reached, as the configuration names it.
    pub fn limit(self) -> &'static str {
        match self {
            Late::Head => "head_timeout",
            Late::Body => "read_timeout",
            Late::Answer => "write_timeout",
        }
    }
}

impl From<Late> for io::Error {
    fn from(late: Late) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, late)
    }
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Late::Head => "the client was too slow to send the head",
            Late::Body => "the client was too slow to send the body",
            Late::Answer => "the client was too slow to take the answer",
        })
    }
}

impl std::error::Error for Late {}
