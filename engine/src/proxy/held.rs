//! An answer that is held back while another server could still give a better one.
//!
//! Until a stream has said something, or an answer in one piece is there in full, its
//! client has seen nothing of it. If it breaks before, the request is sent elsewhere and
//! the client never knows. What is held is bounded, and costs no time: a preamble is of no
//! use to a client, and neither is half a JSON object.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use penstock_plugins::preamble::{Failure, Opening, Preamble};
use penstock_plugins::{Dialect, media_type};
use pingora_http::ResponseHeader;

use super::body::joined;
use super::context::Context;

/// Bytes of an answer that are held. A larger one is let go, whatever it is.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// The beginning of an answer, out of its client's sight.
pub(super) struct Held {
    /// Judges a stream of events; none for an answer in one piece.
    preamble: Option<Preamble>,
    pieces: Vec<Bytes>,
    bytes: usize,
}

/// What to do with a piece that has arrived.
pub(super) enum Ruling {
    /// Wait for more.
    Hold,
    /// Let all of it go.
    Release(Bytes),
    /// It will not become an answer.
    Failed(Failure),
}

impl Held {
    /// Begins to hold an answer with such a head, if there is a reason to: it is an answer
    /// of a model, and looks good. Also that of a last attempt: if it breaks now, its client
    /// gets a proper error.
    pub(super) fn begin(ctx: &Context, head: &ResponseHeader, has_body: bool) -> Option<Held> {
        let worth = ctx.exchange.dialect() != Dialect::Plain && head.status == StatusCode::OK;
        if !worth || !has_body || ctx.hold.is_none() {
            return None;
        }
        let content_type = head.headers.get(CONTENT_TYPE)?;
        let is_stream = is_stream(head);
        let is_json = media_type::essence_is(content_type, "application/json");
        (is_stream || is_json).then(|| Held {
            preamble: is_stream.then(Preamble::default),
            pieces: Vec::new(),
            bytes: 0,
        })
    }

    /// Whether it is a stream, whose first output is not there with its head.
    pub(super) fn is_stream(&self) -> bool {
        self.preamble.is_some()
    }

    /// Takes a piece. A stream that ends and has said nothing is a failure; where there
    /// `is_other` server to ask, so is one that tells of an error or makes no sense.
    pub(super) fn take(&mut self, piece: Bytes, last: bool, is_other: bool) -> Ruling {
        let opening = match &mut self.preamble {
            Some(preamble) => match preamble.read(&piece) {
                Opening::Preamble if last => preamble.finish(),
                opening => opening,
            },
            None if last => Opening::Output,
            None => Opening::Preamble,
        };
        self.bytes += piece.len();
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
        match opening {
            Opening::Failed(failure) if is_other || failure == Failure::Ended => {
                Ruling::Failed(failure)
            }
            Opening::Preamble if self.bytes <= BYTES_MAX => Ruling::Hold,
            _ => Ruling::Release(joined(&std::mem::take(&mut self.pieces))),
        }
    }
}

/// Whether an answer of a model with such a head is a stream that can be looked into.
pub(super) fn is_stream(head: &ResponseHeader) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE);
    let is_stream =
        content_type.is_some_and(|value| media_type::essence_is(value, "text/event-stream"));
    // What is compressed cannot be looked into.
    is_stream && head.status == StatusCode::OK && !head.headers.contains_key(CONTENT_ENCODING)
}
