//! What the simulator counts and remembers, for tests and load tests to ask about.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method, Version};

/// Counts since the start, of all workers together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted, whether or not still open.
    pub connections_accepted: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// Connections closed at once because `connections_max` were open.
    pub connections_refused: u64,
    /// Requests whose head was read, by what they asked for.
    pub requests: Vec<(Endpoint, u64)>,
    /// Answers that the client did not wait for: it closed the connection or reset the stream
    /// before the end. Answers that a fault ended are not among them.
    pub abandoned: u64,
    /// Streamed answers under way now.
    pub streams_open: u64,
    /// Bytes of request bodies read.
    pub body_bytes: u64,
}

impl Stats {
    /// Requests to all endpoints together.
    pub fn requests_total(&self) -> u64 {
        self.requests.iter().map(|(_, count)| count).sum()
    }

    /// Requests to one endpoint.
    pub fn requests_to(&self, endpoint: Endpoint) -> u64 {
        let found = self.requests.iter().find(|(other, _)| *other == endpoint);
        found.map_or(0, |(_, count)| *count)
    }
}

/// What a request's path asks for, whatever its method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/models` and `/v1/models/{id}`
    Models,
    /// `/` and `/plain`
    Plain,
    /// `/echo`
    Echo,
    /// `/bytes/{n}`
    Bytes,
    /// `/chunked/{n}`
    Chunked,
    /// Everything else, answered with 404.
    Unknown,
}

impl Endpoint {
    /// Every endpoint, in the order of [`Stats::requests`].
    pub const ALL: [Endpoint; 9] = [
        Endpoint::Chat,
        Endpoint::Completions,
        Endpoint::Embeddings,
        Endpoint::Models,
        Endpoint::Plain,
        Endpoint::Echo,
        Endpoint::Bytes,
        Endpoint::Chunked,
        Endpoint::Unknown,
    ];

    pub(crate) fn of(path: &str) -> Endpoint {
        match path {
            "/" | "/plain" => Endpoint::Plain,
            "/v1/chat/completions" => Endpoint::Chat,
            "/v1/completions" => Endpoint::Completions,
            "/v1/embeddings" => Endpoint::Embeddings,
            "/v1/models" => Endpoint::Models,
            "/echo" => Endpoint::Echo,
            _ if path.starts_with("/v1/models/") => Endpoint::Models,
            _ if path.starts_with("/bytes/") => Endpoint::Bytes,
            _ if path.starts_with("/chunked/") => Endpoint::Chunked,
            _ => Endpoint::Unknown,
        }
    }
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// The path with the query, as sent.
    pub path_and_query: String,
    /// HTTP/1.0, 1.1 or 2.
    pub version: Version,
    /// All headers, in order of arrival for each name.
    pub headers: HeaderMap,
    /// The whole body; empty if a fault left it unread.
    pub body: Bytes,
}

/// One worker's counters. Workers share none, so that counting never moves a cache line between
/// cores.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) body_bytes: AtomicU64,
    requests: [AtomicU64; Endpoint::ALL.len()],
}

impl Counters {
    pub(crate) fn request(&self, endpoint: Endpoint) {
        if let Some(count) = self.requests.get(endpoint as usize) {
            add(count, 1);
        }
    }

    pub(crate) fn add_to(&self, stats: &mut Stats) {
        // Closed before accepted: a connection that comes and goes between the two loads is then
        // counted as open, never as minus one.
        let closed = self.closed.load(Ordering::Acquire);
        let accepted = self.accepted.load(Ordering::Acquire);
        stats.connections_accepted += accepted;
        stats.connections_open += accepted.saturating_sub(closed);
        stats.connections_refused += self.refused.load(Ordering::Relaxed);
        stats.abandoned += self.abandoned.load(Ordering::Relaxed);
        stats.body_bytes += self.body_bytes.load(Ordering::Relaxed);
        if stats.requests.is_empty() {
            stats.requests = Endpoint::ALL
                .iter()
                .map(|endpoint| (*endpoint, 0))
                .collect();
        }
        for ((_, total), count) in stats.requests.iter_mut().zip(&self.requests) {
            *total += count.load(Ordering::Relaxed);
        }
    }
}

/// Adds without a locked instruction: each counter has one writer, its worker's thread.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(count),
        Ordering::Release,
    );
}

/// The latest requests.
#[derive(Debug)]
pub(crate) struct Recorder {
    requests_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Recorded>,
    body_bytes: usize,
}

/// What recorded bodies may take together; the oldest requests are forgotten beyond.
const RECORDED_BYTES_MAX: usize = 256 << 20;

impl Recorder {
    pub(crate) fn new(requests_max: usize) -> Recorder {
        Recorder {
            requests_max,
            kept: Mutex::default(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.requests_max > 0
    }

    pub(crate) fn keep(&self, request: Recorded) {
        let mut kept = self.lock();
        kept.body_bytes += request.body.len();
        kept.requests.push_back(request);
        while kept.requests.len() > self.requests_max || kept.body_bytes > RECORDED_BYTES_MAX {
            let Some(oldest) = kept.requests.pop_front() else {
                return;
            };
            kept.body_bytes -= oldest.body.len();
        }
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn forget(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Nothing panics while holding the lock, and a list of requests is never half-changed.
        self.kept
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
