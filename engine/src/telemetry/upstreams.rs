//! What became of attempts, by upstream.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec};

use super::Families;
use super::named::Named;

const RESULTS: [&str; 6] = [
    "connected",
    "reused",
    "connect_failed",
    "failed",
    "bad_answer",
    "late",
];

const RETRIES: [&str; 3] = ["made", "over_budget", "fallback"];

/// Handles of one upstream.
pub struct UpstreamMetrics {
    /// Attempts over a new connection.
    pub connected: IntCounter,
    /// Attempts over a connection that was used before.
    pub reused: IntCounter,
    /// Attempts that made no connection.
    pub connect_failed: IntCounter,
    /// Attempts whose connection failed after it was made.
    pub failed: IntCounter,
    /// Requests that found no endpoint.
    pub unavailable: IntCounter,
    /// Attempts whose answer was not passed on, for its status or since it had none in it.
    pub bad_answer: IntCounter,
    /// Attempts whose answer did not begin in time.
    pub late: IntCounter,
    /// Attempts that were made here because an earlier one had failed.
    pub retries: IntCounter,
    /// Attempts that were not made since the upstream's retries were spent.
    pub over_budget: IntCounter,
    /// Requests that went on to the next target of their route.
    pub fallbacks: IntCounter,
}

/// The family of which each upstream has its own metrics.
pub(super) struct Upstreams {
    attempts: IntCounterVec,
    unavailable: IntCounterVec,
    retries: IntCounterVec,
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
                "Requests that found no endpoint that could be sent any",
                &["upstream"],
            )?,
            retries: families.counters(
                "upstream_retries_total",
                "Attempts after a failed one: made here, not made, or made at the next target",
                &["upstream", "result"],
            )?,
            named: Named::new(),
        })
    }

    pub(super) fn of(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.named.of(name, || {
            let [connected, reused, connect_failed, failed, bad_answer, late] =
                RESULTS.map(|result| self.attempts.with_label_values(&[name, result]));
            let [retries, over_budget, fallbacks] =
                RETRIES.map(|result| self.retries.with_label_values(&[name, result]));
            UpstreamMetrics {
                connected,
                reused,
                connect_failed,
                failed,
                unavailable: self.unavailable.with_label_values(&[name]),
                bad_answer,
                late,
                retries,
                over_budget,
                fallbacks,
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
            for result in RETRIES {
                let _ = self.retries.remove_label_values(&[name, result]);
            }
        });
    }
}
