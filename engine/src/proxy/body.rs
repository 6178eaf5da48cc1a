//! A request's body that was read before an upstream was chosen.
//!
//! It is kept as the pieces that it arrived in: they are scanned as they come and sent
//! on as they are, so that a body is not copied for having been looked at. Editing it
//! cuts the pieces around what changes.

use bytes::{Bytes, BytesMut};
use pingora_error::Error;
use pingora_proxy::Session;
use prometheus::IntGauge;

use penstock_plugins::BodyEdits;
use penstock_plugins::json::Scanner;

/// A whole body.
pub struct Body {
    /// Not empty, and none of them is.
    pieces: Vec<Bytes>,
    len: usize,
    _kept: Kept,
}

/// Why a body could not be read.
pub(super) enum ReadError {
    /// It is larger than the limit.
    TooLarge,
    /// The client's connection failed.
    Client(Box<Error>),
}

impl Body {
    /// Reads the body to its end, showing each piece to the scanner. `None` if the
    /// request has no body or an empty one.
    pub(super) async fn read(
        session: &mut Session,
        limit: usize,
        scanner: Option<&mut Scanner>,
        kept: &IntGauge,
    ) -> Result<Option<Body>, ReadError> {
        if session.is_body_empty() {
            return Ok(None);
        }
        if declared_length(session).is_some_and(|declared| declared > limit) {
            return Err(ReadError::TooLarge);
        }
        if expects_continue(session) {
            session
                .write_continue_response()
                .await
                .map_err(ReadError::Client)?;
        }
        let mut scanner = scanner;
        let mut body = Body {
            pieces: Vec::new(),
            len: 0,
            _kept: Kept::new(kept),
        };
        while let Some(piece) = session
            .read_request_body()
            .await
            .map_err(ReadError::Client)?
        {
            if piece.is_empty() {
                continue;
            }
            body.len += piece.len();
            if body.len > limit {
                return Err(ReadError::TooLarge);
            }
            body._kept.add(piece.len());
            if let Some(scanner) = &mut scanner {
                // The scanner keeps its first error and tells it at the end.
                let _ = scanner.push(&piece);
            }
            body.pieces.push(piece);
        }
        Ok(if body.len == 0 { None } else { Some(body) })
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Its pieces in order, none of them empty.
    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The whole of it in one piece, copied if it arrived in several.
    pub(super) fn joined(&mut self) -> Bytes {
        let joined = joined(&self.pieces);
        self.pieces = vec![joined.clone()];
        joined
    }

    /// Makes the changes that plugins asked for.
    pub(super) fn edit(&mut self, edits: &BodyEdits) {
        self.pieces = edits.apply(&self.pieces);
        self.len = self.pieces.iter().map(Bytes::len).sum();
    }
}

/// Pieces in one, copied if they are several.
pub(super) fn joined(pieces: &[Bytes]) -> Bytes {
    if let [only] = pieces {
        return only.clone();
    }
    let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        joined.extend_from_slice(piece);
    }
    joined.freeze()
}

/// The length that the client declared, if it did.
pub(super) fn declared_length(session: &Session) -> Option<usize> {
    let value = session
        .req_header()
        .headers
        .get(http::header::CONTENT_LENGTH)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// The client waits for leave to send the body (RFC 9110 section 10.1.1).
pub(super) fn expects_continue(session: &Session) -> bool {
    let head = session.req_header();
    head.version == http::Version::HTTP_11
        && head
            .headers
            .get(http::header::EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Counts kept bytes while they are kept.
struct Kept {
    gauge: IntGauge,
    bytes: i64,
}

impl Kept {
    fn new(gauge: &IntGauge) -> Self {
        Kept {
            gauge: gauge.clone(),
            bytes: 0,
        }
    }

    fn add(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.bytes += bytes;
        self.gauge.add(bytes);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.gauge.sub(self.bytes);
    }
}
