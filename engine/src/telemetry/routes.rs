//! What became of requests, by route.

use std::sync::Arc;

use penstock_plugins::Outcome;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};

use super::Families;
use super::named::Named;

/// Classes of a status, the first for requests without an answer.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

const OUTCOMES: [&str; 7] = [
    "completed",
    "refused",
    "client_gone",
    "client_slow",
    "upstream_failed",
    "upstream_timeout",
    "internal",
];

const CACHED: [&str; 3] = ["hit", "miss", "bypass"];

/// Handles of one route.
#[derive(Clone)]
pub struct RouteMetrics {
    by_class: [IntCounter; 6],
    /// From the request head to the end of the answer, in seconds.
    pub duration: Histogram,
    /// From the request head to the first byte of the answer's body, in seconds.
    pub first_byte: Histogram,
    outcomes: [IntCounter; 7],
    /// Requests that were answered from the cache.
    pub cache_hits: IntCounter,
    /// Requests that found no answer in the cache.
    pub cache_misses: IntCounter,
    /// Requests that the cache was not for.
    pub cache_bypasses: IntCounter,
}

impl RouteMetrics {
    /// Counts a finished request by the class of its status; 0 for one without an answer.
    pub fn count_status(&self, status: u16) {
        let [none, .., last] = &self.by_class;
        let counter = self.by_class.get(usize::from(status / 100)).unwrap_or(last);
        if status == 0 {
            none.inc()
        } else {
            counter.inc()
        }
    }

    /// Counts how an exchange ended.
    pub fn count_outcome(&self, outcome: Outcome) {
        let [
            completed,
            refused,
            client_gone,
            client_slow,
            upstream_failed,
            upstream_timeout,
            internal,
        ] = &self.outcomes;
        match outcome {
            Outcome::Completed => completed.inc(),
            Outcome::Refused => refused.inc(),
            Outcome::ClientGone => client_gone.inc(),
            Outcome::ClientSlow => client_slow.inc(),
            Outcome::UpstreamFailed => upstream_failed.inc(),
            Outcome::UpstreamTimeout => upstream_timeout.inc(),
            Outcome::Internal => internal.inc(),
        }
    }
}

/// The families of which each route has its own metrics.
pub(super) struct Routes {
    requests: IntCounterVec,
    durations: HistogramVec,
    first_bytes: HistogramVec,
    outcomes: IntCounterVec,
    cache: IntCounterVec,
    named: Named<RouteMetrics>,
}

impl Routes {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Routes> {
        let requests =
            families.counters("requests_total", "Finished requests", &["route", "code"])?;
        let durations = families.seconds(
            "request_duration_seconds",
            "From the request's head to the answer's end",
            &["route"],
        )?;
        let first_bytes = families.seconds(
            "first_byte_seconds",
            "From the request's head to the first byte of the answer's body",
            &["route"],
        )?;
        let outcomes = families.counters(
            "outcomes_total",
            "How exchanges ended",
            &["route", "outcome"],
        )?;
        let cache = families.counters(
            "cache_requests_total",
            "Requests on routes with a cache",
            &["route", "result"],
        )?;
        Ok(Routes {
            requests,
            durations,
            first_bytes,
            outcomes,
            cache,
            named: Named::new(),
        })
    }

    pub(super) fn of(&self, route: &str) -> Arc<RouteMetrics> {
        self.named.of(route, || self.handles(route))
    }

    /// Those of requests without a route, which are never forgotten.
    pub(super) fn unmatched(&self) -> RouteMetrics {
        self.handles("")
    }

    fn handles(&self, route: &str) -> RouteMetrics {
        let [cache_hits, cache_misses, cache_bypasses] =
            CACHED.map(|result| self.cache.with_label_values(&[route, result]));
        RouteMetrics {
            by_class: CLASSES.map(|class| self.requests.with_label_values(&[route, class])),
            duration: self.durations.with_label_values(&[route]),
            first_byte: self.first_bytes.with_label_values(&[route]),
            outcomes: OUTCOMES.map(|outcome| self.outcomes.with_label_values(&[route, outcome])),
            cache_hits,
            cache_misses,
            cache_bypasses,
        }
    }

    /// Removes the series of routes that no generation names.
    pub(super) fn forget_gone(&self) {
        self.named.forget_gone(|route| {
            // An error means that there was none.
            for (family, labels) in [
                (&self.requests, CLASSES.as_slice()),
                (&self.outcomes, &OUTCOMES),
                (&self.cache, &CACHED),
            ] {
                for label in labels {
                    let _ = family.remove_label_values(&[route, label]);
                }
            }
            for family in [&self.durations, &self.first_bytes] {
                let _ = family.remove_label_values(&[route]);
            }
        });
    }
}
