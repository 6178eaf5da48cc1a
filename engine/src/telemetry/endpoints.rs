//! How the endpoints of upstreams do, as Prometheus metrics.

use std::time::Duration;

use penstock_plugins::Shared;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::Families;
use crate::upstream::Standing;

/// One series for each endpoint of a generation that is alive, read when they are asked
/// for: what a request takes is counted in one place only.
pub(super) struct Endpoints {
    up: IntGaugeVec,
    in_flight: IntGaugeVec,
    ejections: IntCounterVec,
}

impl Endpoints {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Endpoints> {
        let labels = &["upstream", "endpoint"];
        Ok(Endpoints {
            up: families.gauges(
                "endpoint_up",
                "Whether an endpoint takes requests: 0 while it is ejected, unwell or paused",
                labels,
            )?,
            in_flight: families.gauges(
                "endpoint_requests",
                "Requests in flight at an endpoint",
                labels,
            )?,
            ejections: families.counters(
                "endpoint_ejections_total",
                "How often an endpoint was ejected, for failures or for being slow",
                &["upstream", "endpoint", "reason"],
            )?,
        })
    }

    /// Copies how they do now. Those that are gone are shown no more.
    pub(super) fn show(&self, shared: &Shared, now: Duration) {
        self.up.reset();
        self.in_flight.reset();
        self.ejections.reset();
        for standing in shared.alive::<Standing>() {
            let address = standing.address.to_string();
            let labels = &[standing.upstream.as_str(), &address];
            let vitals = &standing.vitals;
            let in_flight = i64::from(vitals.in_flight());
            self.up
                .with_label_values(labels)
                .set(vitals.is_up(now).into());
            self.in_flight.with_label_values(labels).set(in_flight);
            for (reason, times) in [
                ("failures", vitals.ejections()),
                ("latency", vitals.ejections_for_slowness()),
            ] {
                let labels = &[standing.upstream.as_str(), &address, reason];
                self.ejections.with_label_values(labels).inc_by(times);
            }
        }
    }
}
