//! What an operator can see: counters for Prometheus, and log lines.
//!
//! Handles are resolved when a generation is built, so that a request updates them
//! without looking anything up. Labels come from the configuration alone, never from
//! requests, so that their number is bounded.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use penstock_plugins::Shared;
use penstock_plugins::cache::Stats;
use penstock_plugins::waf::Counts;
use penstock_uring::RingMetrics;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

mod answers;
mod firewall;
mod limits;
pub mod log;
mod reloads;
mod rings;

use answers::Answers;
use firewall::Firewall;
use limits::Limits;
pub use reloads::Reloads;
use rings::Rings;

/// Seconds: 1 ms to about 17 minutes. Model servers think for minutes.
const DURATION_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 1000.0,
];

/// All metrics of the process.
pub struct Telemetry {
    registry: Registry,
    rings: Mutex<Vec<(String, RingMetrics)>>,
    ring_families: Rings,
    answers: Answers,
    limits: Limits,
    firewall: Firewall,

    /// Client connections open now.
    pub connections_open: IntGauge,
    /// Client connections accepted.
    pub connections: IntCounter,
    /// Limits that were reached, by their names in the configuration.
    pub limit_reached: IntCounterVec,
    /// Accepts that failed.
    pub accept_errors: IntCounter,
    /// Requests that no route matched.
    pub unmatched: RouteMetrics,
    /// The generation that serves.
    pub generation: IntGauge,
    /// Generations in memory: the one that serves, the one kept for a rollback, and
    /// those that requests still run on.
    pub generations_alive: IntGauge,
    /// What became of reloads.
    pub reloads: Reloads,
    /// Bytes of request bodies that are kept in memory now.
    pub bodies_kept: IntGauge,

    key_set_fetches: IntCounterVec,
    key_set_fetched_at: IntGaugeVec,
    routes: Routes,
    attempts: IntCounterVec,
}

/// Handles of one route.
#[derive(Clone)]
pub struct RouteMetrics {
    by_class: [IntCounter; 6],
    /// From the request head to the end of the answer, in seconds.
    pub duration: Histogram,
    /// From the request head to the first byte of the answer's body, in seconds.
    pub first_byte: Histogram,
    outcomes: [IntCounter; 6],
    /// Requests that were answered from the cache.
    pub cache_hits: IntCounter,
    /// Requests that found no answer in the cache.
    pub cache_misses: IntCounter,
    /// Requests that the cache was not for.
    pub cache_bypasses: IntCounter,
}

/// Handles of one upstream.
#[derive(Clone)]
pub struct UpstreamMetrics {
    /// Attempts over a new connection.
    pub connected: IntCounter,
    /// Attempts over a connection that was used before.
    pub reused: IntCounter,
    /// Attempts that made no connection.
    pub connect_failed: IntCounter,
    /// Attempts that failed after the connection was made.
    pub failed: IntCounter,
}

impl Telemetry {
    /// A registry with everything in it at zero.
    ///
    /// # Errors
    /// Two metrics have one name, which a test would have shown.
    pub fn new() -> prometheus::Result<Telemetry> {
        let registry = Registry::new_custom(Some("penstock".into()), None)?;
        let families = Families(&registry);
        let attempts = families.counters(
            "upstream_attempts_total",
            "Attempts to send a request",
            &["upstream", "result"],
        )?;
        let build = families.gauges("build_info", "Version of this binary", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let routes = Routes::new(&families)?;
        let unmatched = routes.of("");
        Ok(Telemetry {
            ring_families: Rings::new(&families)?,
            answers: Answers::new(&families)?,
            firewall: Firewall::new(&families)?,
            rings: Mutex::new(Vec::new()),
            limits: Limits::new(&families)?,
            connections_open: families.gauge("connections_open", "Client connections open now")?,
            connections: families.counter("connections_total", "Client connections accepted")?,
            limit_reached: families.counters(
                "limit_reached_total",
                "Limits that were reached",
                &["limit"],
            )?,
            accept_errors: families.counter("accept_errors_total", "Accepts that failed")?,
            unmatched,
            generation: families
                .gauge("generation", "Generation of the configuration that serves")?,
            generations_alive: families.gauge(
                "generations_alive",
                "Generations in memory: the one that serves, the one before, and those that requests still run on",
            )?,
            reloads: Reloads::new(&families)?,
            bodies_kept: families.gauge(
                "request_bodies_kept_bytes",
                "Request bodies kept in memory now",
            )?,
            key_set_fetches: families.counters(
                "key_set_fetches_total",
                "Fetches of token issuers' keys by verdict",
                &["url", "verdict"],
            )?,
            key_set_fetched_at: families.gauges(
                "key_set_fetched_timestamp_seconds",
                "When a token issuer's keys were last fetched, since the Unix epoch",
                &["url"],
            )?,
            routes,
            attempts,
            registry,
        })
    }

    /// The handles of a route, which keep their values from generation to generation.
    pub fn route(&self, name: &str) -> RouteMetrics {
        self.routes.of(name)
    }

    /// The handles of an upstream.
    pub fn upstream(&self, name: &str) -> UpstreamMetrics {
        let attempts = |result| self.attempts.with_label_values(&[name, result]);
        UpstreamMetrics {
            connected: attempts("connected"),
            reused: attempts("reused"),
            connect_failed: attempts("connect_failed"),
            failed: attempts("failed"),
        }
    }

    /// Counts a fetch of a token issuer's keys, and notes when the last one succeeded,
    /// since the Unix epoch. The URL is the configuration's.
    pub fn count_key_set_fetch(&self, url: &str, verdict: &str, fetched_at: Option<Duration>) {
        let labels = &[url, verdict];
        self.key_set_fetches.with_label_values(labels).inc();
        let seconds = fetched_at.map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
        self.key_set_fetched_at
            .with_label_values(&[url])
            .set(seconds);
    }

    /// Shows what the store of answers says of itself.
    pub fn show_answers(&self, stats: &Stats) {
        self.answers.show(stats);
    }

    /// Shows a worker's ring from now on.
    pub fn watch_ring(&self, worker: usize, metrics: RingMetrics) {
        self.rings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((worker.to_string(), metrics));
    }

    /// Shows the limits that are kept there from now on.
    pub fn watch_limits(&self, shared: Arc<Shared>) {
        self.limits.watch(shared);
    }

    /// Shows the firewall's counts from now on.
    pub fn watch_firewall(&self, counts: Arc<Counts>) {
        self.firewall.watch(counts);
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// A metric could not be encoded, which would be a mistake of ours.
    pub fn render(&self) -> prometheus::Result<Vec<u8>> {
        for (worker, ring) in self
            .rings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            self.ring_families.show(worker, ring);
        }
        self.limits.show();
        self.firewall.show();
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// The families of which each route has its own metrics.
struct Routes {
    requests: IntCounterVec,
    durations: HistogramVec,
    first_bytes: HistogramVec,
    outcomes: IntCounterVec,
    cache: IntCounterVec,
}

impl Routes {
    fn new(families: &Families<'_>) -> prometheus::Result<Routes> {
        let requests =
            families.counters("requests_total", "Finished requests", &["route", "code"])?;
        let durations = families.seconds(
            "request_duration_seconds",
            "From the request's head to the answer's end",
        )?;
        let first_bytes = families.seconds(
            "first_byte_seconds",
            "From the request's head to the first byte of the answer's body",
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
        })
    }

    fn of(&self, route: &str) -> RouteMetrics {
        let class = |code| self.requests.with_label_values(&[route, code]);
        let outcome = |outcome| self.outcomes.with_label_values(&[route, outcome]);
        let cached = |result| self.cache.with_label_values(&[route, result]);
        RouteMetrics {
            by_class: [
                class("none"),
                class("1xx"),
                class("2xx"),
                class("3xx"),
                class("4xx"),
                class("5xx"),
            ],
            duration: self.durations.with_label_values(&[route]),
            first_byte: self.first_bytes.with_label_values(&[route]),
            outcomes: [
                outcome("completed"),
                outcome("refused"),
                outcome("client_gone"),
                outcome("upstream_failed"),
                outcome("upstream_timeout"),
                outcome("internal"),
            ],
            cache_hits: cached("hit"),
            cache_misses: cached("miss"),
            cache_bypasses: cached("bypass"),
        }
    }
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
    pub fn count_outcome(&self, outcome: penstock_plugins::Outcome) {
        use penstock_plugins::Outcome;
        let [
            completed,
            refused,
            client_gone,
            upstream_failed,
            upstream_timeout,
            internal,
        ] = &self.outcomes;
        match outcome {
            Outcome::Completed => completed.inc(),
            Outcome::Refused => refused.inc(),
            Outcome::ClientGone => client_gone.inc(),
            Outcome::UpstreamFailed => upstream_failed.inc(),
            Outcome::UpstreamTimeout => upstream_timeout.inc(),
            Outcome::Internal => internal.inc(),
        }
    }
}

/// Counts something as there for as long as it lives.
#[derive(Debug)]
pub struct Held(IntGauge);

impl Held {
    /// Counts one more in `gauge`.
    pub fn new(gauge: &IntGauge) -> Held {
        gauge.inc();
        Held(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Registers metrics as it makes them.
struct Families<'a>(&'a Registry);

impl Families<'_> {
    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        let counter = IntCounter::new(name, help)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counters.clone()))?;
        Ok(counters)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        let gauge = IntGauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn number(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        let gauge = Gauge::new(name, help)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauges.clone()))?;
        Ok(gauges)
    }

    fn seconds(&self, name: &str, help: &str) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
        let histograms = HistogramVec::new(options, &["route"])?;
        self.0.register(Box::new(histograms.clone()))?;
        Ok(histograms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own_and_is_shown() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.route("chat").count_status(200);
        telemetry.route("chat").count_status(0);
        telemetry.route("chat").count_status(999);
        let text = String::from_utf8(telemetry.render().unwrap()).unwrap();
        assert!(
            text.contains(r#"penstock_requests_total{code="2xx",route="chat"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"penstock_requests_total{code="none",route="chat"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"penstock_requests_total{code="5xx",route="chat"} 1"#),
            "{text}"
        );
    }

    #[test]
    fn what_is_held_counts_until_dropped() {
        let telemetry = Telemetry::new().unwrap();
        let held = Held::new(&telemetry.connections_open);
        assert_eq!(telemetry.connections_open.get(), 1);
        drop(held);
        assert_eq!(telemetry.connections_open.get(), 0);
    }
}
