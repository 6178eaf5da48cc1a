//! The rings' counters as Prometheus metrics.

use penstock_uring::{Counter, Metrics};
use prometheus::{IntCounterVec, IntGaugeVec};

use super::Families;

/// A counter's place among a ring's.
type Place = fn(&Metrics) -> &Counter;

/// Name, meaning and place of each counter. A name that ends in `_total` only grows.
const COUNTERS: [(&str, &str, Place); 17] = [
    ("operations_total", "Operations handed to the ring", |m| {
        &m.operations
    }),
    (
        "direct_total",
        "Receives and sends made without the ring",
        |m| &m.direct,
    ),
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

/// One family for each counter of a ring, labelled by worker.
pub(super) struct Rings {
    families: Vec<(Family, Place)>,
}

enum Family {
    Total(IntCounterVec),
    Now(IntGaugeVec),
}

impl Rings {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Rings> {
        let made = COUNTERS.into_iter().map(|(name, help, counter)| {
            let full = format!("uring_{name}");
            let family = if name.ends_with("_total") {
                Family::Total(families.counters(&full, help, &["worker"])?)
            } else {
                Family::Now(families.gauges(&full, help, &["worker"])?)
            };
            Ok((family, counter))
        });
        Ok(Rings {
            families: made.collect::<prometheus::Result<_>>()?,
        })
    }

    /// Copies a ring's counters as they are now. Scrapes do not overlap: the caller holds
    /// the lock on the list of rings.
    pub(super) fn show(&self, worker: &str, ring: &Metrics) {
        for (family, counter) in &self.families {
            let value = counter(ring).value();
            match family {
                Family::Total(family) => {
                    let total = family.with_label_values(&[worker]);
                    total.inc_by(value.saturating_sub(total.get()));
                }
                Family::Now(family) => {
                    let now = i64::try_from(value).unwrap_or(i64::MAX);
                    family.with_label_values(&[worker]).set(now);
                }
            }
        }
    }
}
