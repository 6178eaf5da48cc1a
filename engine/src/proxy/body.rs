//! A request's body that was read before an upstream was chosen.
//!
//! It is kept as the pieces that it arrived in: they are scanned as they come and sent
//! on as they are, so that a body is not copied for having been looked at. Editing it for
//! an upstream cuts the pieces around what changes, and leaves them as they were for the
//! next one.

use bytes::{Bytes, BytesMut};
use http::Version;
use pingora_error::Error;
use pingora_proxy::Session;
use prometheus::IntGauge;

use penstock_plugins::BodyEdits;
use penstock_plugins::json::Scanner;

use super::slow;
use crate::edge::{Bound, Watch};

/// A whole body.
pub struct Body {
    /// As the client sent them; none of them is empty.
    pieces: Vec<Bytes>,
    len: usize,
    sent_len: usize,
    _kept: Kept,
}

/// Why a body could not be read.
pub(super) enum ReadError {
    /// It is larger than the limit.
    TooLarge,
    /// Bodies take all the memory that they may.
    NoRoom,
    /// The client's connection failed.
    Client(Box<Error>),
}

/// Memory for bodies that are kept.
pub(super) struct Room<'a> {
    /// What they take.
    pub(super) kept: &'a IntGauge,
    /// What they may take.
    pub(super) max: u64,
}

impl Room<'_> {
    fn is_enough(&self) -> bool {
        u64::try_from(self.kept.get()).unwrap_or_default() < self.max
    }
}

impl Body {
    /// One of which nothing is there yet.
    pub(super) fn empty(kept: &IntGauge) -> Body {
        Body {
            pieces: Vec::new(),
            len: 0,
            sent_len: 0,
            _kept: Kept::new(kept),
        }
    }

    /// Takes its next piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self._kept.add(piece.len());
            self.pieces.push(piece);
        }
    }

    /// Reads the body to its end, showing each piece to the scanner. `None` if the
    /// request has no body or an empty one. Its client may fall behind as far as `bound` says.
    pub(super) async fn read(
        session: &mut Session,
        limit: usize,
        scanner: Option<&mut Scanner>,
        room: &Room<'_>,
        bound: Bound,
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
        let mut body = Body::empty(room.kept);
        let mut watch = Watch::new(bound);
        while let Some(piece) = next(session, &mut watch).await.map_err(ReadError::Client)? {
            if body.len + piece.len() > limit {
                return Err(ReadError::TooLarge);
            }
            if !room.is_enough() {
                return Err(ReadError::NoRoom);
            }
            if let Some(scanner) = &mut scanner {
                // The scanner keeps its first error and tells it at the end.
                let _ = scanner.push(&piece);
            }
            body.push(piece);
        }
        Ok(if body.len == 0 { None } else { Some(body) })
    }

    /// Bytes that the client sent.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are sent of it.
    pub(super) fn sent_len(&self) -> usize {
        self.sent_len
    }

    /// The whole of it in one piece, copied if it arrived in several.
    pub(super) fn joined(&mut self) -> Bytes {
        let joined = joined(&self.pieces);
        self.pieces = vec![joined.clone()];
        joined
    }

    /// As the client sent it, or as it is sent if it is a copy; none is empty.
    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// What is sent of it with these changes, as a body of its own in the same memory.
    pub(super) fn copy(&self, edits: &BodyEdits) -> Body {
        let pieces = edits.apply(&self.pieces);
        let len = pieces.iter().map(Bytes::len).sum();
        let mut kept = Kept::new(&self._kept.gauge);
        kept.add(len);
        Body {
            pieces,
            len,
            sent_len: len,
            _kept: kept,
        }
    }

    /// What is sent of it: its pieces with these changes, none of them empty, and copied
    /// into one if there are more than `pieces_max`.
    pub(super) fn edited(&mut self, edits: &BodyEdits, pieces_max: Option<usize>) -> Box<[Bytes]> {
        let pieces = edits.apply(&self.pieces);
        self.sent_len = pieces.iter().map(Bytes::len).sum();
        match pieces_max.is_some_and(|most| pieces.len() > most) {
            true => [joined(&pieces)].into(),
            false => pieces.into(),
        }
    }

    /// It will not be edited again: what the client sent need not be kept beside what is
    /// sent.
    pub(super) fn forget_original(&mut self) {
        self.pieces = Vec::new();
    }
}

/// The next piece that a client sends. Over HTTP/1 its connection watches how fast that is.
async fn next(session: &mut Session, watch: &mut Watch) -> Result<Option<Bytes>, Box<Error>> {
    if session.req_header().version < Version::HTTP_2 {
        return session.read_request_body().await;
    }
    let len = |read: &Result<Option<Bytes>, _>| match read {
        Ok(Some(piece)) => piece.len(),
        Ok(None) | Err(_) => 0,
    };
    let read = watch.bounded(session.read_request_body(), len).await;
    read.unwrap_or_else(|| Err(slow::error()))
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
    head.version == Version::HTTP_11
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
