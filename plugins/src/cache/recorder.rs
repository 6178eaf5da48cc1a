//! An answer on its way into the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, response};

use super::endpoint::Endpoint;
use super::entry::Entry;
use super::store::Store;
use super::verdict::{self, Flaw};
use crate::media_type;
use crate::role::CacheKey;

/// Headers of the upstream's that belong to the answer and not to the exchange. What
/// else there is (identifiers of requests, limits that are left, cookies, times,
/// credentials) was true for one request only.
const KEPT: [HeaderName; 4] = [
    CONTENT_TYPE,
    CONTENT_LANGUAGE,
    HeaderName::from_static("openai-model"),
    HeaderName::from_static("openai-version"),
];

/// Headers that let a page of one origin read the answer (Fetch, section 3.3.3). The
/// origin is part of every key.
const KEPT_PREFIX: &str = "access-control-";

/// Most bytes of headers that are kept.
const HEADERS_BYTES_MAX: usize = 4096;

/// Records one answer of an upstream's, and stores it when it has turned out to be whole.
/// One that is dropped before leaves nothing behind.
pub struct Recorder {
    pub(super) store: Arc<Store>,
    pub(super) key: CacheKey,
    pub(super) ttl: Duration,
    pub(super) size_max: usize,
    pub(super) endpoint: Endpoint,
    pub(super) wants_stream: bool,
    pub(super) tenant: Option<Box<str>>,
    pub(super) model: Option<Box<str>>,
    /// Headers that the key depends on.
    pub(super) vary: Arc<[HeaderName]>,
    /// How often something had been purged when the answer was asked for.
    pub(super) purges: u64,
    pub(super) taken: Taken,
}

/// What has come so far.
#[derive(Default)]
pub(super) struct Taken {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    made_at: Duration,
    /// Bytes that the store counts as being recorded.
    counted: usize,
}

impl Recorder {
    /// Takes the answer's head, which arrived at the time `now`. None if such an answer
    /// is not stored.
    pub fn head(mut self: Box<Self>, head: &response::Parts, now: Duration) -> Option<Box<Self>> {
        let headers = &head.headers;
        let is_type = |wanted: &str| {
            let value = headers.get(CONTENT_TYPE);
            value.is_some_and(|value| media_type::essence_is(value, wanted))
        };
        let media_type_fits = match self.wants_stream {
            true => is_type("text/event-stream"),
            false => is_type("application/json"),
        };
        let storable = head.status == StatusCode::OK
            && media_type_fits
            && is_identity(headers)
            && !is_private(headers)
            && self.varies_by_key(headers);
        if !storable {
            return None;
        }
        let age = headers.get(AGE).and_then(|value| value.to_str().ok());
        let age = age.and_then(|age| age.trim().parse().ok()).unwrap_or(0);
        self.taken.made_at = now.saturating_sub(Duration::from_secs(age));
        self.taken.headers = kept(headers)?;
        Some(self)
    }

    /// Takes a piece of the body. None if the answer has become too large.
    pub fn chunk(mut self: Box<Self>, chunk: &[u8]) -> Option<Box<Self>> {
        let length = self.taken.body.len() + chunk.len();
        if length > self.size_max || !self.store.begin_recording(chunk.len() as u64) {
            return None;
        }
        self.taken.counted += chunk.len();
        self.taken.body.extend_from_slice(chunk);
        Some(self)
    }

    /// The body has ended properly: stores the answer, if it is whole and tells of no
    /// error. What became of it is fit for a log.
    pub fn finish(mut self) -> &'static str {
        let taken = std::mem::take(&mut self.taken);
        self.store.end_recording(taken.counted as u64);
        match verdict::examine(self.endpoint, self.wants_stream, &taken.body) {
            Err(Flaw::Incomplete) => return "incomplete",
            Err(Flaw::Error) => return "error",
            Err(Flaw::Declined) => return "declined",
            Ok(()) => {}
        }
        let entry = Entry::new(
            taken.headers,
            taken.body,
            self.wants_stream,
            self.tenant.take(),
            self.model.take(),
            (taken.made_at, self.ttl),
        );
        let inserted = self
            .store
            .insert(self.key, entry, taken.made_at, self.purges);
        if inserted { "stored" } else { "not_admitted" }
    }

    /// Whether every header that the upstream chose the answer by is part of the key, or
    /// is always sent alike (RFC 9111 section 4.1).
    fn varies_by_key(&self, headers: &HeaderMap) -> bool {
        let names = headers.get_all(VARY).into_iter();
        let mut names = names.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        names.all(|name| {
            let name = name.trim_ascii();
            name.is_empty()
                || name.eq_ignore_ascii_case(b"accept-encoding")
                || super::key::varies_by(&self.vary, name)
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.store.end_recording(self.taken.counted as u64);
    }
}

/// Whether the body is as it was made. The cache asks upstreams for this; in a coded one
/// it could not see the end.
fn is_identity(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether the upstream forbids storing the answer for others (RFC 9111 section 5.2.2).
/// `no-cache` and `max-age=0` do not: servers put them on every stream to keep proxies
/// from holding it back, and how long answers are kept is the operator's to say.
fn is_private(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let mut directives = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    directives.any(|directive| {
        let name = directive.split(|byte| *byte == b'=').next();
        let name = name.unwrap_or_default().trim_ascii();
        name.eq_ignore_ascii_case(b"no-store") || name.eq_ignore_ascii_case(b"private")
    })
}

/// Copies of the headers that are kept; none if they are too large.
fn kept(headers: &HeaderMap) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut bytes = 0;
    let mut kept = Vec::new();
    for (name, value) in headers {
        if !KEPT.contains(name) && !name.as_str().starts_with(KEPT_PREFIX) {
            continue;
        }
        bytes += name.as_str().len() + value.len();
        // What comes from a connection may share its buffer.
        kept.push((
            name.clone(),
            HeaderValue::from_bytes(value.as_bytes()).ok()?,
        ));
    }
    (bytes <= HEADERS_BYTES_MAX).then_some(kept)
}

impl fmt::Debug for Recorder {
    /// Nothing of what the answer says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("bytes", &self.taken.body.len())
            .finish_non_exhaustive()
    }
}
