//! How short the process is of memory and descriptors, and what it has refused for that.

use penstock_config::server::Priority;
use prometheus::{IntCounter, IntGauge};

use super::Families;
use super::outcomes::{Family, Outcomes};
use crate::overload::Shed;
use crate::overload::monitor::Seen;

/// Gauges of the pressure, and counters of what was given up.
pub struct Overload {
    level: IntGauge,
    memory: [IntGauge; 2],
    descriptors: [IntGauge; 2],
    requests: IntGauge,
    waiting: [IntGauge; Priority::ALL.len()],
    shed: Outcomes<Shed>,
    /// Times that a worker stopped accepting.
    pub pauses: IntCounter,
    /// Idle connections that were closed to make room.
    pub idle_closed: IntCounter,
}

impl Overload {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Overload> {
        let shed = Family::new(
            families,
            "shed_total",
            "Requests refused with 503 since the process is short of something",
            &["cause"],
        )?;
        let waiting = families.gauges(
            "queue_waiting",
            "Requests that wait for others to end, by class",
            &["class"],
        )?;
        Ok(Overload {
            level: families.gauge(
                "overload_level",
                "0: calm, 1: new requests are refused, 2: no connections are accepted either",
            )?,
            memory: [
                families.gauge("memory_resident_bytes", "Memory that is resident")?,
                families.gauge("memory_limit_bytes", "Memory that may be resident")?,
            ],
            descriptors: [
                families.gauge("descriptors_open", "Descriptors that are open")?,
                families.gauge("descriptors_limit", "Descriptors that may be open")?,
            ],
            requests: families.gauge(
                "requests_in_flight",
                "Requests that have gone or may go to an upstream",
            )?,
            waiting: Priority::ALL.map(|class| waiting.with_label_values(&[class.as_str()])),
            shed: shed.of(&[]),
            pauses: families.counter(
                "accept_pauses_total",
                "Times that a worker stopped accepting since memory or descriptors were short",
            )?,
            idle_closed: families.counter(
                "idle_connections_closed_total",
                "Idle connections closed since memory or descriptors were short",
            )?,
        })
    }

    /// Shows what was last seen.
    pub fn show(&self, seen: &Seen) {
        let set =
            |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.level.set(seen.level as i64);
        self.requests.set(i64::from(seen.under_way.requests));
        for (gauge, waiting) in self.waiting.iter().zip(seen.waiting) {
            set(gauge, waiting as u64);
        }
        for (gauges, seen) in [
            (&self.memory, seen.memory),
            (&self.descriptors, seen.descriptors),
        ] {
            let ((used, limit), [used_gauge, limit_gauge]) = (seen.unwrap_or_default(), gauges);
            set(used_gauge, used);
            set(limit_gauge, limit);
        }
    }

    /// Counts a request that is refused.
    pub fn shed(&self, why: Shed) {
        self.shed.count(why);
    }
}
