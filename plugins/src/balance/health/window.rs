//! The share of failures among the requests of a sliding window.

use std::time::Duration;

use super::ErrorRate;

/// Parts of a window. It moves on by one of them at a time.
const PARTS: u32 = 10;

/// Counts of the parts of the present window.
#[derive(Default)]
pub(super) struct Window {
    parts: [Part; PARTS as usize],
}

#[derive(Clone, Copy, Default)]
struct Part {
    /// Which part of time this counts, from the epoch on.
    number: u64,
    requests: u32,
    failures: u32,
}

impl Window {
    /// Counts a request. True if the window now holds enough requests, and too many of
    /// them failed.
    pub(super) fn count(&mut self, failed: bool, now: Duration, rate: ErrorRate) -> bool {
        let length = (rate.window / PARTS).as_nanos().max(1);
        let number = u64::try_from(now.as_nanos() / length).unwrap_or(u64::MAX);
        let place = (number % u64::from(PARTS)) as usize;
        if let Some(part) = self.parts.get_mut(place) {
            if part.number != number {
                *part = Part {
                    number,
                    ..Part::default()
                };
            }
            part.requests = part.requests.saturating_add(1);
            part.failures = part.failures.saturating_add(failed.into());
        }
        let first = number.saturating_sub(u64::from(PARTS) - 1);
        let present = self.parts.iter().filter(|part| part.number >= first);
        let (requests, failures) = present.fold((0_u64, 0_u64), |(requests, failures), part| {
            (
                requests + u64::from(part.requests),
                failures + u64::from(part.failures),
            )
        });
        requests >= u64::from(rate.requests.get())
            && failures * 100 >= requests * u64::from(rate.percent)
    }
}
