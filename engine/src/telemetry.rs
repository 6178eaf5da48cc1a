//! What an operator can see: counters for Prometheus, and log lines.
//!
//! Handles are resolved when a generation is built, so that a request updates them
//! without looking anything up. Labels come from the configuration alone, never from
//! requests, so that their number is bounded.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use penstock_plugins::Shared;
use penstock_uring::RingMetrics;
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use tracing::error;

mod answers;
mod bounded;
mod credentials;
mod endpoints;
mod firewall;
mod handshakes;
mod http2;
mod limits;
pub mod log;
mod named;
mod outcomes;
mod overload;
mod reloads;
mod rings;
mod routes;
mod shadows;
mod upstreams;

use crate::clients::Refusal;
use crate::clock;
use crate::drains::Drained;
use crate::hedges::Hedged;
use crate::strict::Rule;
use answers::Answers;
use bounded::Bounded;
use credentials::Credentials;
use endpoints::Endpoints;
use firewall::Firewall;
use handshakes::Handshakes;
pub use http2::Http2;
use limits::Limits;
use outcomes::{ByRoute, Family};
pub use outcomes::{Outcome, Outcomes};
pub use overload::Overload;
pub use reloads::Reloads;
use rings::Rings;
pub use routes::RouteMetrics;
use routes::Routes;
use shadows::ShadowFamilies;
pub use shadows::ShadowMetrics;
pub use upstreams::UpstreamMetrics;
use upstreams::Upstreams;

/// Seconds: 1 ms to about 17 minutes. Model servers think for minutes.
const DURATION_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 1000.0,
];

const DRAINS_HELP: &str = "How answers ended whose clients had gone";

const HEDGES_HELP: &str = "Second attempts beside slow first ones: started, and what became of them; or why there was none";

/// All metrics of the process.
pub struct Telemetry {
    registry: Registry,
    rings: Mutex<Vec<(String, RingMetrics)>>,
    ring_families: Rings,
    shared: Mutex<Option<Arc<Shared>>>,
    answers: Answers,
    credentials: Credentials,
    endpoints: Endpoints,
    limits: Limits,
    firewall: Firewall,

    /// Client connections open now.
    pub connections_open: IntGauge,
    /// Client connections accepted.
    pub connections: IntCounter,
    /// Limits that were reached, by their names in the configuration.
    pub limit_reached: IntCounterVec,
    accept_errors: IntCounter,
    accept_lines: Bounded,
    refused_connections: Family<Refusal>,
    rules_broken: IntCounterVec,
    /// TLS handshakes that failed.
    pub handshakes: Handshakes,
    /// What HTTP/2 clients did too much of.
    pub http2: Http2,
    /// How short the process is of memory and descriptors.
    pub overload: Overload,
    /// Requests that no route matched.
    pub unmatched: RouteMetrics,
    /// The generation that serves.
    pub generation: IntGauge,
    /// Generations in memory: the one that serves, the one kept for a rollback, and
    /// those that requests still run on.
    pub generations_alive: IntGauge,
    /// What became of reloads.
    pub reloads: Reloads,
    /// Answers that are read on now though their clients have gone.
    pub drains_open: IntGauge,
    /// Bytes of request bodies that are kept in memory now.
    pub bodies_kept: IntGauge,

    name_lookups: IntCounterVec,
    drains: ByRoute<Drained>,
    hedges: ByRoute<Hedged>,
    key_set_fetches: IntCounterVec,
    key_set_fetched_at: IntGaugeVec,
    routes: Routes,
    shadows: ShadowFamilies,
    upstreams: Upstreams,
}

impl Telemetry {
    /// A registry with everything in it at zero.
    ///
    /// # Errors
    /// Two metrics have one name, which a test would have shown.
    pub fn new() -> prometheus::Result<Telemetry> {
        let registry = Registry::new_custom(Some("penstock".into()), None)?;
        let families = Families(&registry);
        let build = families.gauges("build_info", "Version of this binary", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let routes = Routes::new(&families)?;
        let unmatched = routes.unmatched();
        Ok(Telemetry {
            ring_families: Rings::new(&families)?,
            answers: Answers::new(&families)?,
            credentials: Credentials::new(&families)?,
            endpoints: Endpoints::new(&families)?,
            firewall: Firewall::new(&families)?,
            rings: Mutex::new(Vec::new()),
            shared: Mutex::new(None),
            limits: Limits::new(&families)?,
            connections_open: families.gauge("connections_open", "Client connections open now")?,
            connections: families.counter("connections_total", "Client connections accepted")?,
            limit_reached: families.counters(
                "limit_reached_total",
                "Limits that were reached",
                &["limit"],
            )?,
            accept_errors: families.counter("accept_errors_total", "Accepts that failed")?,
            accept_lines: Bounded::default(),
            refused_connections: refused_connections(&families)?,
            rules_broken: rules_broken(&families)?,
            handshakes: Handshakes::new(&families)?,
            http2: Http2::new(&families)?,
            overload: Overload::new(&families)?,
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
            name_lookups: families.counters(
                "name_lookups_total",
                "Names of endpoints looked up again: `same` addresses, `changed`, or `failed`",
                &["result"],
            )?,
            drains_open: families.gauge(
                "drains_open",
                "Answers that are read on now though their clients have gone",
            )?,
            drains: ByRoute::new(&families, "drains_total", DRAINS_HELP)?,
            hedges: ByRoute::new(&families, "hedges_total", HEDGES_HELP)?,
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
            shadows: ShadowFamilies::new(&families)?,
            upstreams: Upstreams::new(&families)?,
            registry,
        })
    }

    /// The handles of a route, which keep their values from generation to generation. Its
    /// series are shown until nobody holds them.
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        self.routes.of(name)
    }

    /// The handles of a route that reads answers on whose clients have gone, likewise.
    pub fn drains(&self, route: &str) -> Arc<Outcomes<Drained>> {
        self.drains.of(route)
    }

    /// The handles of a route's second attempts, likewise.
    pub fn hedges(&self, route: &str) -> Arc<Outcomes<Hedged>> {
        self.hedges.of(route)
    }

    /// The handles of a route's copies for an upstream, likewise.
    pub fn shadows(&self, route: &str, upstream: &str) -> Arc<ShadowMetrics> {
        self.shadows.of(route, upstream)
    }

    /// The handles of an upstream, likewise.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.of(name)
    }

    /// Removes the series of names that no generation has any more. It is done before
    /// they are shown, and after a reload so that they are bounded where nobody looks.
    pub fn forget_gone(&self) {
        self.routes.forget_gone();
        self.drains.forget_gone();
        self.hedges.forget_gone();
        self.shadows.forget_gone();
        self.upstreams.forget_gone();
    }

    /// The handles of connections that are refused.
    pub fn refused_connections(&self) -> Outcomes<Refusal> {
        self.refused_connections.of(&[])
    }

    /// Counts a connection that could not be accepted, and logs it, at a bounded rate.
    pub fn accept_failed(&self, error: &io::Error) {
        self.accept_errors.inc();
        if let Some(left_out) = self.accept_lines.next(Instant::now()) {
            error!(%error, left_out, "a connection could not be accepted");
        }
    }

    /// Counts a request that broke a rule.
    pub fn count_rule(&self, rule: Rule) {
        let labels = &[rule.as_str()];
        self.rules_broken.with_label_values(labels).inc();
    }

    /// Counts a limit that was reached, by its name in the configuration.
    pub fn count_limit(&self, limit: &str) {
        self.limit_reached.with_label_values(&[limit]).inc();
    }

    /// How often names of endpoints were looked up again with this result.
    pub fn name_lookups(&self, result: &str) -> IntCounter {
        self.name_lookups.with_label_values(&[result])
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

    /// Shows a worker's ring from now on.
    pub fn watch_ring(&self, worker: usize, metrics: RingMetrics) {
        lock(&self.rings).push((worker.to_string(), metrics));
    }

    /// Shows what is kept there from now on: stored answers, endpoints, credentials, limits,
    /// the firewall's counts.
    pub fn watch_shared(&self, shared: Arc<Shared>) {
        self.firewall.watch(&shared);
        *lock(&self.shared) = Some(shared);
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// A metric could not be encoded, which would be a mistake of ours.
    pub fn render(&self) -> prometheus::Result<Vec<u8>> {
        for (worker, ring) in lock(&self.rings).iter() {
            self.ring_families.show(worker, ring);
        }
        self.forget_gone();
        // Held to the end: scrapes do not overlap.
        let shared = lock(&self.shared);
        if let Some(shared) = shared.as_ref() {
            self.answers.show(shared);
            self.endpoints.show(shared, clock::now());
            self.credentials.show(shared, clock::now());
            self.limits.show(shared);
            self.firewall.show();
        }
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

fn refused_connections(families: &Families<'_>) -> prometheus::Result<Family<Refusal>> {
    let help = "Client connections closed before they were served";
    Family::new(families, "connections_refused_total", help, &["reason"])
}

/// Each rule is shown from the start, so that an alert sees the first request that breaks it.
fn rules_broken(families: &Families<'_>) -> prometheus::Result<IntCounterVec> {
    let help = "Requests refused since they could be read in two ways, by the rule they break";
    let rules = families.counters("rules_broken_total", help, &["rule"])?;
    for rule in Rule::ALL {
        rules.with_label_values(&[rule.as_str()]);
    }
    Ok(rules)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn seconds(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
        let histograms = HistogramVec::new(options, labels)?;
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
        let chat = telemetry.route("chat");
        chat.count_status(200);
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
    fn series_of_names_that_are_gone_are_shown_no_more() {
        let telemetry = Telemetry::new().unwrap();
        let (old, kept) = (telemetry.route("old"), telemetry.route("kept"));
        let upstream = telemetry.upstream("gone");
        for route in [&old, &kept] {
            route.count_status(200);
        }
        let shown = || String::from_utf8(telemetry.render().unwrap()).unwrap();
        let text = shown();
        assert!(
            text.contains("\"old\"") && text.contains("\"gone\""),
            "{text}"
        );
        drop((old, upstream));
        let text = shown();
        assert!(
            !text.contains("\"old\"") && !text.contains("\"gone\""),
            "{text}"
        );
        let kept_count = r#"penstock_requests_total{code="2xx",route="kept"} 1"#;
        assert!(text.contains(kept_count), "{text}");
        assert!(
            text.contains(r#"route="""#),
            "requests without a route: {text}"
        );
        let _new = telemetry.route("old");
        let new_count = r#"penstock_requests_total{code="2xx",route="old"} 0"#;
        assert!(
            shown().contains(new_count),
            "a name that is back begins anew"
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
