//! What became of second attempts beside the first ones, by route.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec};

use super::Families;
use super::named::Named;
use crate::hedges::Hedged;

/// Handles of one route.
#[derive(Debug)]
pub struct HedgeMetrics {
    results: [IntCounter; Hedged::ALL.len()],
}

impl HedgeMetrics {
    /// Counts what became of one.
    pub fn count(&self, hedged: Hedged) {
        for (result, counter) in Hedged::ALL.iter().zip(&self.results) {
            if *result == hedged {
                counter.inc();
            }
        }
    }
}

/// The family of which each route that hedges has its own metrics.
pub(super) struct HedgeFamilies {
    results: IntCounterVec,
    named: Named<HedgeMetrics>,
}

impl HedgeFamilies {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<HedgeFamilies> {
        Ok(HedgeFamilies {
            results: families.counters(
                "hedges_total",
                "Second attempts beside slow first ones: started, and what became of them; or why there was none",
                &["route", "result"],
            )?,
            named: Named::new(),
        })
    }

    pub(super) fn of(&self, route: &str) -> Arc<HedgeMetrics> {
        self.named.of(route, || HedgeMetrics {
            results: Hedged::ALL
                .map(|result| self.results.with_label_values(&[route, result.as_str()])),
        })
    }

    /// Removes the series of routes that no generation names.
    pub(super) fn forget_gone(&self) {
        self.named.forget_gone(|route| {
            for result in Hedged::ALL {
                // An error means that there was none.
                let _ = self.results.remove_label_values(&[route, result.as_str()]);
            }
        });
    }
}
