//! How long an endpoint takes, as a moving average that follows peaks at once.
//!
//! A slow answer counts in full as soon as it is seen, and is forgotten by half in each
//! [`HALF_LIFE`]: an endpoint that has become slow must lose its traffic before a queue
//! builds up, and one that recovers may get it back slowly (the "peak EWMA" of Finagle,
//! <https://twitter.github.io/finagle/guide/Clients.html#power-of-two-choices-p2c-least-loaded>).

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time in which an old measurement loses half of its weight.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// The average and when it was last brought up to date, in one word so that both change
/// together: microseconds above, milliseconds since the epoch (modulo 2³²) below.
#[derive(Default)]
pub(super) struct PeakAverage(AtomicU64);

impl PeakAverage {
    /// Adds a measurement.
    pub(super) fn observe(&self, latency: Duration, now: Duration) {
        let latency = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        let stamp = stamp(now);
        let update = |word| {
            let old = decayed(word, stamp, latency);
            Some(pack(old.max(latency).max(1), stamp))
        };
        // The closure always has a value.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// The average; none before the first measurement.
    pub(super) fn get(&self) -> Option<Duration> {
        let micros = (self.0.load(Ordering::Relaxed) >> 32) as u32;
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }
}

/// The average after the time that has passed, moved towards a new measurement.
fn decayed(word: u64, stamp: u32, latency: u32) -> u32 {
    let (old, then) = ((word >> 32) as u32, word as u32);
    // A stamp that lies before the last one comes from a thread that was late.
    let passed = stamp.wrapping_sub(then);
    let passed = if passed > u32::MAX / 2 { 0 } else { passed };
    let half_lives = f64::from(passed) / HALF_LIFE.as_millis() as f64;
    let kept = 0.5_f64.powf(half_lives);
    (f64::from(old) * kept + f64::from(latency) * (1.0 - kept)) as u32
}

fn stamp(now: Duration) -> u32 {
    now.as_millis() as u32
}

fn pack(micros: u32, stamp: u32) -> u64 {
    u64::from(micros) << 32 | u64::from(stamp)
}
