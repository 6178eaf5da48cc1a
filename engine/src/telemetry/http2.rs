//! What HTTP/2 clients did too much of.

use std::net::IpAddr;
use std::time::Instant;

use prometheus::{IntCounter, IntCounterVec};
use tracing::{debug, warn};

use super::Families;
use super::bounded::Bounded;
use crate::frames::Abuse;

/// Counts what HTTP/2 clients did too much of, and tells of it.
pub struct Http2 {
    ended: IntCounterVec,
    /// Streams that were reset since the client took nothing of an answer, or sent nothing of
    /// a body.
    pub stalled: IntCounter,
    /// Requests that were malformed beyond an answer of ours.
    pub malformed: IntCounter,
    lines: Bounded,
}

impl Http2 {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Http2> {
        let help = "HTTP/2 connections that were ended for what their clients did, by kind";
        let ended = families.counters("http2_connections_ended_total", help, &["kind"])?;
        // Each kind is shown from the start, so that an alert sees the first one.
        for abuse in Abuse::ALL {
            ended.with_label_values(&[abuse.as_str()]);
        }
        Ok(Http2 {
            ended,
            stalled: families.counter(
                "http2_streams_stalled_total",
                "HTTP/2 streams that were reset since their clients did not go on",
            )?,
            malformed: families.counter(
                "http2_requests_malformed_total",
                "HTTP/2 requests that were reset or answered with 400 before a rule was asked",
            )?,
            lines: Bounded::default(),
        })
    }

    /// A connection is ended.
    pub fn end(&self, abuse: Abuse, client: Option<IpAddr>) {
        self.ended.with_label_values(&[abuse.as_str()]).inc();
        let client = client.map(tracing::field::display);
        if abuse == Abuse::Protocol {
            // Whoever does not speak HTTP/2 does no harm.
            return debug!(client, "HTTP/2 connection ended for a fault");
        }
        if let Some(left_out) = self.lines.next(Instant::now()) {
            warn!(
                client,
                kind = abuse.as_str(),
                left_out,
                "HTTP/2 connection ended: there is too much of something"
            );
        }
    }
}
