//! The firewall's counters as a Prometheus metric.

use std::sync::{Arc, Mutex};

use penstock_plugins::Shared;
use penstock_plugins::waf::Counts;
use prometheus::IntCounterVec;

use super::{Families, lock};

/// How often each rule matched. The series are those of rules that did.
pub(super) struct Firewall {
    matches: IntCounterVec,
    /// Kept here, so that the counters do not begin again where a firewall is taken out
    /// of the configuration and put in again. There is one in a process.
    counts: Mutex<Option<Arc<Counts>>>,
}

impl Firewall {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Firewall> {
        let matches = families.counters(
            "waf_matches_total",
            "Requests that a rule matched, and whether that blocked them",
            &["rule", "action"],
        )?;
        Ok(Firewall {
            matches,
            counts: Mutex::new(None),
        })
    }

    /// Shows what the firewalls that build on `shared` count from now on.
    pub(super) fn watch(&self, shared: &Shared) {
        *lock(&self.counts) = Some(Counts::of(shared));
    }

    /// Takes the counts over.
    pub(super) fn show(&self) {
        let counts = lock(&self.counts);
        for (rule, action, count) in counts.iter().flat_map(|counts| counts.iter()) {
            let rule = rule.to_string();
            let shown = self.matches.with_label_values(&[&rule, action.as_str()]);
            shown.inc_by(count.saturating_sub(shown.get()));
        }
    }
}
