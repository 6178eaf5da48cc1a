//! The rings' counters as Prometheus metrics.

use penstock_uring::{Counter, Metrics};
use prometheus::IntGaugeVec;

use super::Families;

/// One family for each counter of a ring, labelled by worker.
pub(super) struct Rings {
    families: Vec<(IntGaugeVec, fn(&Metrics) -> &Counter)>,
}

impl Rings {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Rings> {
        let listed: [(&str, &str, fn(&Metrics) -> &Counter); 16] = [
            ("operations_total", "Operations handed to the ring", |m| {
                &m.operations
            }),
            (
                "completions_total",
                "Completions taken from the ring",
                |m| &m.completions,
            ),
            ("enters_total", "System calls that entered the ring", |m| {
                &m.enters
            }),
            ("wakeups_total", "Times that the event loop woke up", |m| {
                &m.wakeups
            }),
            ("connections", "Connections that the ring holds", |m| {
                &m.connections
            }),
            (
                "buffers_in_use",
                "Receive buffers filled and not yet read",
                |m| &m.buffers_in_use,
            ),
            (
                "buffer_exhaustion_total",
                "Receives that found no free buffer",
                |m| &m.buffer_exhaustion,
            ),
            (
                "buffers_spilled_total",
                "Chunks copied because buffers ran low",
                |m| &m.buffers_spilled,
            ),
            (
                "submission_full_total",
                "Operations that found the submission queue full",
                |m| &m.submission_full,
            ),
            (
                "completion_overflow_total",
                "Times that the completion queue was full",
                |m| &m.completion_overflow,
            ),
            (
                "short_sends_total",
                "Sends that were taken in part and continued",
                |m| &m.short_sends,
            ),
            ("accept_errors_total", "Accepts that failed", |m| {
                &m.accept_errors
            }),
            (
                "late_completions_total",
                "Completions for a slot that was reused",
                |m| &m.late_completions,
            ),
            (
                "linger_timeouts_total",
                "Last bytes that did not leave in time",
                |m| &m.linger_timeouts,
            ),
            (
                "foreign_polls_total",
                "Streams polled on another thread",
                |m| &m.foreign_polls,
            ),
            (
                "foreign_drops_total",
                "Streams dropped on another thread",
                |m| &m.foreign_drops,
            ),
        ];
        let made = listed.into_iter().map(|(name, help, counter)| {
            let family = families.gauges(&format!("uring_{name}"), help, &["worker"])?;
            Ok((family, counter))
        });
        Ok(Rings {
            families: made.collect::<prometheus::Result<_>>()?,
        })
    }

    /// Copies a ring's counters as they are now.
    pub(super) fn show(&self, worker: &str, ring: &Metrics) {
        for (family, counter) in &self.families {
            let value = i64::try_from(counter(ring).value()).unwrap_or(i64::MAX);
            family.with_label_values(&[worker]).set(value);
        }
    }
}
