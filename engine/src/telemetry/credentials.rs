//! Which credentials of upstreams are left alone, as Prometheus metrics.

use std::time::Duration;

use penstock_plugins::Shared;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::Families;
use crate::upstream::{Pauses, Why};

/// One series for each credential of a generation that is alive, by its name or its place in
/// the list, read when they are asked for.
pub(super) struct Credentials {
    paused: IntGaugeVec,
    pauses: IntCounterVec,
}

impl Credentials {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Credentials> {
        Ok(Credentials {
            paused: families.gauges(
                "credential_paused",
                "At how many endpoints of its upstream a credential is left alone",
                &["upstream", "credential"],
            )?,
            pauses: families.counters(
                "credential_pauses_total",
                "How often a credential was left alone at an endpoint: `limited` there, or `refused`",
                &["upstream", "credential", "reason"],
            )?,
        })
    }

    /// Copies how they do now. Those that are gone are shown no more.
    pub(super) fn show(&self, shared: &Shared, now: Duration) {
        self.paused.reset();
        self.pauses.reset();
        for pauses in shared.alive::<Pauses>() {
            let (upstream, credential) = (pauses.upstream.as_str(), pauses.credential.as_str());
            let servers = i64::try_from(pauses.servers(now)).unwrap_or(i64::MAX);
            // A secret that was replaced may be in use beside its successor of that name.
            let paused = self.paused.with_label_values(&[upstream, credential]);
            paused.add(servers);
            for why in Why::ALL {
                let labels = &[upstream, credential, why.as_str()];
                let counter = self.pauses.with_label_values(labels);
                counter.inc_by(pauses.count(why));
            }
        }
    }
}
