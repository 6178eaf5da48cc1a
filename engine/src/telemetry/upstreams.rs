//! What became of attempts, by upstream.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec};

use super::Families;
use super::named::Named;

const RESULTS: [&str; 4] = ["connected", "reused", "connect_failed", "failed"];

/// Handles of one upstream.
pub struct UpstreamMetrics {
    /// Attempts over a new connection.
    pub connected: IntCounter,
    /// Attempts over a connection that was used before.
    pub reused: IntCounter,
    /// Attempts that made no connection.
    pub connect_failed: IntCounter,
    /// Attempts that failed after the connection was made.
    pub failed: IntCounter,
    /// Requests that found no endpoint.
    pub unavailable: IntCounter,
}

/// The family of which each upstream has its own metrics.
pub(super) struct Upstreams {
    attempts: IntCounterVec,
    unavailable: IntCounterVec,
    named: Named<UpstreamMetrics>,
}

impl Upstreams {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Upstreams> {
        Ok(Upstreams {
            attempts: families.counters(
                "upstream_attempts_total",
                "Attempts to send a request",
                &["upstream", "result"],
            )?,
            unavailable: families.counters(
                "upstream_unavailable_total",
                "Requests refused because no endpoint could be sent any",
                &["upstream"],
            )?,
            named: Named::new(),
        })
    }

    pub(super) fn of(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.named.of(name, || {
            let [connected, reused, connect_failed, failed] =
                RESULTS.map(|result| self.attempts.with_label_values(&[name, result]));
            UpstreamMetrics {
                connected,
                reused,
                connect_failed,
                failed,
                unavailable: self.unavailable.with_label_values(&[name]),
            }
        })
    }

    /// Removes the series of upstreams that no generation names.
    pub(super) fn forget_gone(&self) {
        self.named.forget_gone(|name| {
            for result in RESULTS {
                // An error means that there was none.
                let _ = self.attempts.remove_label_values(&[name, result]);
            }
            let _ = self.unavailable.remove_label_values(&[name]);
        });
    }
}
