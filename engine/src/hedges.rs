//! Which requests of a route are sent a second time while the first endpoint is slow, and
//! what became of that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_config::route::{Hedge, HedgeAfter};
use penstock_plugins::Shared;

use crate::retries::Budget;
use crate::telemetry::{Outcome, Outcomes};

mod times;

use times::Times;

/// The second attempts of one route in one generation.
pub struct Hedges {
    /// As configured.
    pub settings: Hedge,
    /// Their counters.
    pub metrics: Arc<Outcomes<Hedged>>,
    budget: Arc<Budget>,
    times: Arc<Times>,
}

/// What became of a second attempt, or why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hedged {
    /// It was sent.
    Started,
    /// It produced output first, and the first one was cancelled.
    Won,
    /// The first one failed, and it took its place.
    TookOver,
    /// The first one produced output, and it was cancelled.
    Lost,
    /// It failed while the first one went on.
    Failed,
    /// The request ended before either of them had said anything.
    Cancelled,
    /// It was not sent: too many others were.
    OverBudget,
    /// It was not sent: there is no other endpoint that may be sent requests.
    NoEndpoint,
}

impl Outcome for Hedged {
    const ALL: &[Hedged] = &[
        Self::Started,
        Self::Won,
        Self::TookOver,
        Self::Lost,
        Self::Failed,
        Self::Cancelled,
        Self::OverBudget,
        Self::NoEndpoint,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Won => "won",
            Self::TookOver => "took_over",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::OverBudget => "over_budget",
            Self::NoEndpoint => "no_endpoint",
        }
    }
}

impl Hedges {
    /// Those of a route. What was earned and learned survives reloads.
    pub fn new(
        route: &str,
        settings: &Hedge,
        metrics: Arc<Outcomes<Hedged>>,
        shared: &Shared,
    ) -> Hedges {
        let budget = || Budget::earned_only(Instant::now());
        Hedges {
            settings: settings.clone(),
            metrics,
            budget: shared.keep("hedges", route, budget),
            times: shared.keep("hedges", route, Times::default),
        }
    }

    /// A request is sent for the first time, from which the budget grows.
    pub fn earn(&self) {
        self.budget.earn(self.settings.max_percent);
    }

    /// Takes one of the second attempts that are allowed, if there is one.
    pub fn spend(&self, now: Instant) -> bool {
        self.budget.spend(now)
    }

    /// How long a first attempt has; none if that is not known yet.
    pub fn delay(&self) -> Option<Duration> {
        match self.settings.after {
            HedgeAfter::Time(time) => Some(time.get()),
            HedgeAfter::Percentile(percent) => self.times.percentile(percent),
        }
    }

    /// A first attempt has taken so long to produce output, or longer.
    pub fn took(&self, time: Duration) {
        if let HedgeAfter::Percentile(_) = self.settings.after {
            self.times.observe(time);
        }
    }

    /// Counts what became of one.
    pub fn count(&self, hedged: Hedged) {
        self.metrics.count(hedged);
    }
}
