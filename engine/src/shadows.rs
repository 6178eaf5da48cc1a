//! Which requests of a route are copied to another upstream, and what became of the copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use penstock_config::route::Shadow;
use penstock_plugins::{Shared, Target};

use crate::places::{Place, Places};
use crate::telemetry::{Outcome, ShadowMetrics};

/// How many requests a cycle has.
const CYCLE: u64 = 100;

/// Coprime to the cycle and near its golden section, so that copies are spread evenly and
/// in step with no rhythm of the traffic.
const STRIDE: u64 = 61;

/// The copies of one route in one generation.
pub struct Shadows {
    /// As configured.
    pub settings: Shadow,
    /// Where they go.
    pub target: Target,
    /// Their counters.
    pub metrics: Arc<ShadowMetrics>,
    places: Arc<Places>,
    requests: Arc<Requests>,
}

/// How many requests there were. Generations share it.
#[derive(Debug, Default)]
struct Requests(AtomicU64);

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShadowOutcome {
    /// It was answered in full, with a status below 400.
    Completed,
    /// It was answered in full, with a status from 400 to 499.
    ClientError,
    /// It was answered in full, with a status from 500 on.
    ServerError,
    /// No connection could be made, or it broke.
    Failed,
    /// It took too long.
    TimedOut,
    /// The answer was larger than is read.
    AnswerTooLarge,
    /// No endpoint could be sent any.
    Unavailable,
    /// It was not sent: its body is too large.
    BodyTooLarge,
    /// It was not sent: too many others were under way.
    NoPlace,
}

impl Outcome for ShadowOutcome {
    const ALL: &[ShadowOutcome] = &[
        Self::Completed,
        Self::ClientError,
        Self::ServerError,
        Self::Failed,
        Self::TimedOut,
        Self::AnswerTooLarge,
        Self::Unavailable,
        Self::BodyTooLarge,
        Self::NoPlace,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Unavailable => "unavailable",
            Self::BodyTooLarge => "skipped_body",
            Self::NoPlace => "skipped_concurrent",
        }
    }
}

impl Shadows {
    /// Those of a route. Which request's turn it is, and how many are under way, survives
    /// reloads.
    pub fn new(
        route: &str,
        settings: &Shadow,
        target: &Target,
        metrics: Arc<ShadowMetrics>,
        shared: &Shared,
    ) -> Shadows {
        Shadows {
            settings: settings.clone(),
            target: target.clone(),
            metrics,
            places: shared.keep("shadows", route, Places::default),
            requests: shared.keep("shadows", route, Requests::default),
        }
    }

    /// A request is sent to its own upstream: whether it is also copied.
    pub fn is_due(&self) -> bool {
        let number = self.requests.0.fetch_add(1, Ordering::Relaxed);
        number % CYCLE * STRIDE % CYCLE < u64::from(self.settings.percent)
    }

    /// A place for a copy, if there is one.
    pub fn place(&self) -> Option<Place> {
        self.places.take(self.settings.concurrent)
    }

    /// Counts what became of one that was sent, and how long it took.
    pub fn ended(&self, outcome: ShadowOutcome, time: Duration) {
        self.metrics.outcomes.count(outcome);
        self.metrics.duration.observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use penstock_plugins::UpstreamId;

    use crate::telemetry::Telemetry;

    use super::*;

    fn shadows(percent: u8, shared: &Shared) -> Shadows {
        let settings = format!(r#"{{"upstream":"b","percent":{percent}}}"#);
        let settings = serde_json::from_str(&settings).unwrap();
        let target = Target {
            upstream: UpstreamId(0),
            model: None,
        };
        let metrics = Telemetry::new().unwrap().shadows("r", "b");
        Shadows::new("r", &settings, &target, metrics, shared)
    }

    #[test]
    fn any_hundred_requests_have_exactly_their_share() {
        for percent in [0, 1, 7, 50, 99, 100] {
            let shadows = shadows(percent, &Shared::default());
            for hundred in 0..3 {
                // Beginning anywhere.
                let due = (0..100 + hundred).map(|_| shadows.is_due());
                let due: Vec<_> = due.collect();
                let count = due.iter().take(100).filter(|due| **due).count();
                assert_eq!(count, usize::from(percent));
            }
        }
    }

    #[test]
    fn a_small_share_is_spread() {
        let shadows = shadows(10, &Shared::default());
        let due: Vec<_> = (0..100).filter(|_| shadows.is_due()).collect();
        let gaps = due.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max() < Some(20), "{due:?}");
    }

    #[test]
    fn a_reload_goes_on_where_the_generation_before_was() {
        let shared = Shared::default();
        let old = shadows(50, &shared);
        let before: usize = (0..30).filter(|_| old.is_due()).count();
        let new = shadows(50, &shared);
        drop(old);
        let after = (0..70).filter(|_| new.is_due()).count();
        assert_eq!(before + after, 50);
    }
}
