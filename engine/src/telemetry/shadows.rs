//! What became of copies of requests, by route.

use std::sync::Arc;

use prometheus::{Histogram, HistogramVec};

use super::Families;
use super::named::Named;
use super::outcomes::{Family, Outcomes};
use crate::shadows::ShadowOutcome;

/// Handles of one route and one upstream.
pub struct ShadowMetrics {
    /// From the beginning of a copied request to the answer's end, in seconds.
    pub duration: Histogram,
    /// What became of them.
    pub outcomes: Outcomes<ShadowOutcome>,
}

/// The families of which each route with copies has its own metrics.
pub(super) struct ShadowFamilies {
    outcomes: Family<ShadowOutcome>,
    durations: HistogramVec,
    /// By the route's name, a space, and the upstream's: names have no spaces.
    named: Named<ShadowMetrics>,
}

impl ShadowFamilies {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<ShadowFamilies> {
        Ok(ShadowFamilies {
            outcomes: Family::new(
                families,
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
                outcomes: self.outcomes.of(&[route, upstream]),
            })
    }

    /// Removes the series of routes and upstreams that no generation names.
    pub(super) fn forget_gone(&self) {
        self.named.forget_gone(|names| {
            let Some((route, upstream)) = names.split_once(' ') else {
                return;
            };
            self.outcomes.forget(&[route, upstream]);
            // An error means that there was none.
            let _ = self.durations.remove_label_values(&[route, upstream]);
        });
    }
}
