//! A stored answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

/// What it costs to keep an entry beside its own bytes: its places in the map and the
/// queues, in the memory of keys, and the allocations' own. Measured it is less.
const OVERHEAD_BYTES: u64 = 512;

/// What a header costs beside its text.
const HEADER_BYTES: u64 = 96;

/// Longest piece in which a stream is replayed, unless one event is longer.
const PIECE_BYTES: usize = 16 * 1024;

/// A whole answer with status 200, as the upstream gave it.
///
/// It owns copies of its own: a slice of what was read from a connection would keep
/// alive a buffer many times its size.
pub struct Entry {
    headers: Box<[(HeaderName, HeaderValue)]>,
    body: Bytes,
    is_stream: bool,
    tenant: Option<Box<str>>,
    model: Option<Box<str>>,
    /// When the upstream made it, since the Unix epoch.
    made_at: Duration,
    ttl: Duration,
}

impl Entry {
    pub(super) fn new(
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Vec<u8>,
        is_stream: bool,
        tenant: Option<Box<str>>,
        model: Option<Box<str>>,
        (made_at, ttl): (Duration, Duration),
    ) -> Self {
        Self {
            headers: headers.into(),
            // Without the room that it was recorded into.
            body: Bytes::from(body.into_boxed_slice()),
            is_stream,
            tenant,
            model,
            made_at,
            ttl,
        }
    }

    /// The headers to answer with. They do not say how the body is framed.
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether the body is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The body in pieces as they are to be written: of a stream, whole events.
    pub fn pieces(&self) -> Pieces {
        Pieces {
            rest: self.body.clone(),
            is_stream: self.is_stream,
        }
    }

    /// How old it is.
    pub fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.made_at)
    }

    /// Bytes that it takes up.
    pub(super) fn size(&self) -> u64 {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| HEADER_BYTES + name.as_str().len() as u64 + value.len() as u64);
        let names = [&self.tenant, &self.model].into_iter().flatten();
        let names: usize = names.map(|name| name.len()).sum();
        OVERHEAD_BYTES + headers.sum::<u64>() + (names + self.body.len()) as u64
    }

    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        self.age(now) < self.ttl
    }

    /// How long it stays fresh.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

impl std::fmt::Debug for Entry {
    /// Nothing of what the answer says.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("bytes", &self.body.len())
            .field("is_stream", &self.is_stream)
            .field("made_at", &self.made_at)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// A body in pieces.
pub struct Pieces {
    rest: Bytes,
    is_stream: bool,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        let length = match self.is_stream {
            true => events_up_to(&self.rest, PIECE_BYTES),
            false => self.rest.len(),
        };
        Some(self.rest.split_to(length))
    }
}

/// Length of as many whole events as fit in `most` bytes, or of the first one.
fn events_up_to(stream: &[u8], most: usize) -> usize {
    let mut length = 0;
    for event in super::events::Events::new(stream) {
        if length > 0 && length + event.len() > most {
            break;
        }
        length += event.len();
    }
    length
}
