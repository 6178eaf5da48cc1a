//! What the limits count, as Prometheus metrics.

use penstock_plugins::Shared;
use penstock_plugins::limits::meter::{Meter, Reading};
use prometheus::{IntCounterVec, IntGaugeVec};

use super::Families;

/// One series for each limit of the configuration, read when they are asked for: what a
/// request takes is counted in one place only.
pub(super) struct Limits {
    keys: IntGaugeVec,
    reserved: IntGaugeVec,
    spent: IntGaugeVec,
    refusals: IntCounterVec,
}

impl Limits {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Limits> {
        let gauges = |name, help| families.gauges(name, help, &["limit"]);
        Ok(Limits {
            keys: gauges("limit_keys", "Keys that a limit has counters for")?,
            reserved: gauges("limit_reserved", "Reserved by requests under way")?,
            spent: gauges("limit_spent", "Spent within the window, of all keys")?,
            refusals: families.counters(
                "limit_refusals_total",
                "Requests that a limit refused, would refuse, or had no room to count",
                &["limit", "verdict"],
            )?,
        })
    }

    /// Copies what the limits count now. Those that are gone are shown no more.
    pub(super) fn show(&self, shared: &Shared) {
        for gauges in [&self.keys, &self.reserved, &self.spent] {
            gauges.reset();
        }
        self.refusals.reset();
        // Of one name there can be two for a while: a window was changed, and requests
        // are under way that the old one counted.
        for meter in Meter::all(shared) {
            self.add(meter.name(), &meter.read());
        }
    }

    fn add(&self, name: &str, reading: &Reading) {
        let held = reading.held;
        for (gauges, value) in [
            (&self.keys, held.keys),
            (&self.reserved, held.reserved),
            (&self.spent, held.spent),
        ] {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauges.with_label_values(&[name]).add(value);
        }
        for (verdict, count) in [
            ("refused", reading.refused),
            ("would_refuse", reading.would_refuse),
            ("keys_full", reading.keys_full),
        ] {
            self.refusals
                .with_label_values(&[name, verdict])
                .inc_by(count);
        }
    }
}
