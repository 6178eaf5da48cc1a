//! What stored answers take up, as Prometheus metrics.

use penstock_plugins::Shared;
use penstock_plugins::cache::{Stats, Store};
use prometheus::IntGauge;

use super::Families;

/// A number's place in a store's.
type Place = fn(&Stats) -> u64;

/// Name, meaning and place of each number. A name that ends in `_total` only grows, until
/// the last generation with a cache is gone.
const NUMBERS: [(&str, &str, Place); 8] = [
    (
        "cache_capacity_bytes",
        "Bytes that stored answers may take up",
        |stats| stats.capacity,
    ),
    (
        "cache_bytes",
        "Bytes that stored answers take up",
        |stats| stats.bytes,
    ),
    ("cache_entries", "Stored answers", |stats| stats.entries),
    (
        "cache_recording_bytes",
        "Bytes of answers that are being recorded",
        |stats| stats.recording,
    ),
    ("cache_stored_total", "Answers stored", |stats| stats.stored),
    (
        "cache_evicted_total",
        "Stored answers that made room for others while they were fresh",
        |stats| stats.evicted,
    ),
    (
        "cache_expired_total",
        "Stored answers that made room for others after their time",
        |stats| stats.expired,
    ),
    ("cache_purged_total", "Stored answers purged", |stats| {
        stats.purged
    }),
];

/// The metrics of the store.
pub(super) struct Answers(Vec<(IntGauge, Place)>);

impl Answers {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Answers> {
        let numbers = NUMBERS.iter();
        let gauges = numbers.map(|(name, help, place)| Ok((families.gauge(name, help)?, *place)));
        gauges.collect::<prometheus::Result<_>>().map(Answers)
    }

    /// Copies what the store says of itself now; zeros if there is none.
    pub(super) fn show(&self, shared: &Shared) {
        let stores = shared.alive::<Store>();
        let stats = stores
            .first()
            .map_or_else(Stats::default, |store| store.stats());
        for (gauge, place) in &self.0 {
            gauge.set(i64::try_from(place(&stats)).unwrap_or(i64::MAX));
        }
    }
}
