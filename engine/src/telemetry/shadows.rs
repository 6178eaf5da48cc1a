//! What became of copies of requests, by route.

use std::sync::Arc;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::Families;
use super::named::Named;
use crate::shadows::ShadowOutcome;

/// Handles of one route and one upstream.
pub struct ShadowMetrics {
    /// From the beginning of a copied request to the answer's end, in seconds.
    pub duration: Histogram,
    outcomes: [IntCounter; ShadowOutcome::ALL.len()],
}

impl ShadowMetrics {
    /// Counts what became of one.
    pub fn count(&self, outcome: ShadowOutcome) {
        for (one, counter) in ShadowOutcome::ALL.iter().zip(&self.outcomes) {
            if *one == outcome {
                counter.inc();
            }
        }
    }
}

/// The families of which each route with copies has its own metrics.
pub(super) struct ShadowFamilies {
    outcomes: IntCounterVec,
    durations: HistogramVec,
    /// By the route's name, a space, and the upstream's: names have no spaces.
    named: Named<ShadowMetrics>,
}

impl ShadowFamilies {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<ShadowFamilies> {
        Ok(ShadowFamilies {
            outcomes: families.counters(
                "shadow_total",
                "What became of requests that were to be copied to another upstream",
                &["route", "upstream", "outcome"],
            )?,
            durations: families.seconds(
                "shadow_duration_seconds",
                "From the beginning of a copied request to the answer's end",
                &["route", "upstream"],
            )?,
            named: Named::new(),
        })
    }

    pub(super) fn of(&self, route: &str, upstream: &str) -> Arc<ShadowMetrics> {
        self.named
            .of(&format!("{route} {upstream}"), || ShadowMetrics {
                duration: self.durations.with_label_values(&[route, upstream]),
                outcomes: ShadowOutcome::ALL.map(|outcome| {
                    let labels = &[route, upstream, outcome.as_str()];
                    self.outcomes.with_label_values(labels)
                }),
            })
    }

    /// Removes the series of routes and upstreams that no generation names.
    pub(super) fn forget_gone(&self) {
        self.named.forget_gone(|names| {
            let Some((route, upstream)) = names.split_once(' ') else {
                return;
            };
            for outcome in ShadowOutcome::ALL {
                // An error means that there was none.
                let labels = &[route, upstream, outcome.as_str()];
                let _ = self.outcomes.remove_label_values(labels);
            }
            let _ = self.durations.remove_label_values(&[route, upstream]);
        });
    }
}
