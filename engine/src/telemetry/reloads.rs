//! What became of reloads, as metrics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounterVec, IntGauge};

use super::Families;
use crate::history::{Action, Refused};

/// Counters of reloads and rollbacks.
pub struct Reloads {
    verdicts: IntCounterVec,
    refusals: IntCounterVec,
    last_successful: IntGauge,
    last_success: Gauge,
    last_duration: Gauge,
}

impl Reloads {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Reloads> {
        let reloads = Reloads {
            verdicts: families.counters("reloads_total", "Reloads by verdict", &["verdict"])?,
            refusals: families.counters(
                "reload_refusals_total",
                "Reloads and rollbacks that changed nothing, by reason",
                &["reason"],
            )?,
            last_successful: families.gauge(
                "config_last_reload_successful",
                "Whether the last reload or rollback was applied",
            )?,
            last_success: families.number(
                "config_last_reload_success_timestamp_seconds",
                "When the generation that serves took force",
            )?,
            last_duration: families.number(
                "config_last_reload_duration_seconds",
                "How long the last reload or rollback took",
            )?,
        };
        // The start was a load that succeeded.
        reloads.last_successful.set(1);
        reloads.last_success.set(since_epoch(SystemTime::now()));
        Ok(reloads)
    }

    /// Counts what became of one.
    pub fn count(&self, action: Action, at: SystemTime, took: Duration, refused: Option<&Refused>) {
        let verdict = match (action, refused) {
            (_, Some(_)) => "refused",
            (Action::Reload, None) => "applied",
            (Action::Rollback, None) => "rolled_back",
        };
        self.verdicts.with_label_values(&[verdict]).inc();
        self.last_duration.set(took.as_secs_f64());
        self.last_successful.set(i64::from(refused.is_none()));
        match refused {
            Some(refused) => self.refusals.with_label_values(&[refused.kind]).inc(),
            None => self.last_success.set(since_epoch(at)),
        }
    }
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
