//! What became of answers whose clients had gone, by route.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Families;
use super::named::Named;
use crate::drains::Drained;

/// Handles of one route.
#[derive(Debug)]
pub struct DrainMetrics {
    /// Those that are read on now, of all routes.
    pub open: IntGauge,
    results: [IntCounter; Drained::ALL.len()],
}

impl DrainMetrics {
    /// Counts one that has ended.
    pub fn count(&self, drained: Drained) {
        for (result, counter) in Drained::ALL.iter().zip(&self.results) {
            if *result == drained {
                counter.inc();
            }
        }
    }
}

/// The families of which each route that reads answers on has its own metrics.
pub(super) struct DrainFamilies {
    open: IntGauge,
    results: IntCounterVec,
    named: Named<DrainMetrics>,
}

impl DrainFamilies {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<DrainFamilies> {
        Ok(DrainFamilies {
            open: families.gauge(
                "drains_open",
                "Answers that are read on now though their clients have gone",
            )?,
            results: families.counters(
                "drains_total",
                "How answers ended whose clients had gone",
                &["route", "result"],
            )?,
            named: Named::new(),
        })
    }

    pub(super) fn open(&self) -> &IntGauge {
        &self.open
    }

    pub(super) fn of(&self, route: &str) -> Arc<DrainMetrics> {
        self.named.of(route, || DrainMetrics {
            open: self.open.clone(),
            results: Drained::ALL
                .map(|result| self.results.with_label_values(&[route, result.as_str()])),
        })
    }

    /// Removes the series of routes that no generation names.
    pub(super) fn forget_gone(&self) {
        self.named.forget_gone(|route| {
            for result in Drained::ALL {
                // An error means that there was none.
                let _ = self.results.remove_label_values(&[route, result.as_str()]);
            }
        });
    }
}
