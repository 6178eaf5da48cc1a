//! What one exchange has taken of its limits, until that is settled: exactly once,
//! whatever becomes of the exchange.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use penstock_config::plugin::TokenKind;
use smallvec::SmallVec;

use super::counter::{Counter, Stamp};
use super::meter::{Counts, Meter};
use super::sketch::Mark;
use super::standing::Standings;
use crate::ending::{Ending, Outcome};
use crate::usage::Usage;

/// Holds without memory of their own: what a chain with the usual limits has.
const FEW: usize = 6;

/// What an exchange holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    holds: SmallVec<[Hold; FEW]>,
    /// When the request arrived.
    since: Duration,
    /// What the limits have told, for the answer's headers.
    pub(super) standings: Standings,
    /// What is to be done with the answer's body.
    pub(super) reading: Reading,
    /// The status of the upstream's answer.
    pub(super) answered: Option<StatusCode>,
}

/// What is to be done with the answer's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing; or somebody does it already.
    #[default]
    Leave,
    /// Its usage is wanted.
    Read,
    /// Its usage is wanted, and the client did not ask for it.
    Strip,
}

/// What is held of one limit.
#[derive(Debug)]
pub(super) enum Hold {
    /// A request that was counted.
    Request { counter: Arc<Counter>, stamp: Stamp },
    /// A request that was counted by an estimate.
    Estimated { meter: Arc<Meter>, mark: Mark },
    /// A request under way.
    Running { counter: Arc<Counter> },
    /// Tokens.
    Tokens {
        counter: Arc<Counter>,
        /// What is to be given back: more than the estimate if this is the last request
        /// that the limit lets in.
        reserved: u64,
        estimate: u64,
        kind: TokenKind,
    },
}

impl Held {
    /// Holds more.
    pub(super) fn add(&mut self, hold: Hold, since: Duration) {
        self.since = since;
        self.holds.push(hold);
    }

    /// Whether some of it is tokens.
    pub(super) fn has_tokens(&self) -> bool {
        let mut holds = self.holds.iter();
        holds.any(|hold| matches!(hold, Hold::Tokens { .. }))
    }

    /// Gives everything back: the request is refused, and cost nothing.
    pub(super) fn give_back(&mut self) {
        self.standings = Standings::default();
        self.reading = Reading::default();
        for hold in self.holds.drain(..) {
            hold.give_back();
        }
    }

    /// There will be another answer than the one that was seen.
    pub(crate) fn forget_answer(&mut self) {
        self.answered = None;
    }

    /// Settles everything, now that the exchange has ended.
    pub(super) fn settle(&mut self, ending: &Ending<'_>, usage: Option<&Usage>) {
        if self.holds.is_empty() {
            return;
        }
        if ending.outcome == Outcome::Refused {
            return self.give_back();
        }
        let now = self.since.saturating_add(ending.duration);
        let spent = self.spent(ending, usage);
        for hold in self.holds.drain(..) {
            hold.settle(now, spent);
        }
    }

    /// What the exchange has used of its tokens.
    fn spent<'u>(&self, ending: &Ending<'_>, usage: Option<&'u Usage>) -> Spent<'u> {
        if ending.attempts == 0 {
            // Answered by the cache, or abandoned before it was sent.
            return Spent::Nothing;
        }
        let failed = matches!(
            ending.outcome,
            Outcome::UpstreamFailed | Outcome::UpstreamTimeout
        );
        match (self.answered, usage.filter(|usage| usage.is_whole())) {
            (Some(_), Some(usage)) => Spent::Usage(usage),
            (Some(status), None) if status.is_client_error() || status.is_server_error() => {
                Spent::Nothing
            }
            (None, _) if failed => Spent::Nothing,
            _ => Spent::Unknown(usage),
        }
    }
}

/// What an exchange has used.
#[derive(Clone, Copy)]
enum Spent<'u> {
    /// No tokens.
    Nothing,
    /// What the answer stated.
    Usage(&'u Usage),
    /// The answer did not state it to the end: as much as was estimated, or as is known
    /// to have been more.
    Unknown(Option<&'u Usage>),
}

impl Spent<'_> {
    fn tokens(self, kind: TokenKind, estimate: u64) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Usage(usage) => stated(usage, kind).unwrap_or(estimate),
            Self::Unknown(None) => estimate,
            Self::Unknown(Some(usage)) => {
                let seen = usage.completion_tokens().unwrap_or(0).max(usage.events());
                let prompt = usage.prompt_tokens();
                match kind {
                    TokenKind::Prompt => prompt.unwrap_or(estimate),
                    TokenKind::Completion => seen.max(estimate),
                    TokenKind::Total => (prompt.unwrap_or(0) + seen).max(estimate),
                }
            }
        }
    }
}

fn stated(usage: &Usage, kind: TokenKind) -> Option<u64> {
    match kind {
        TokenKind::Total => usage.total_tokens(),
        TokenKind::Prompt => usage.prompt_tokens(),
        // An answer of embeddings has none and does not mention them.
        TokenKind::Completion => usage
            .completion_tokens()
            .or_else(|| usage.prompt_tokens().map(|_| 0)),
    }
}

impl Hold {
    fn give_back(self) {
        match self {
            Self::Request { counter, stamp } => counter.unspend(stamp, 1),
            Self::Estimated { meter, mark } => {
                if let Counts::Estimated(sketch) = meter.counts() {
                    sketch.unspend(mark);
                }
            }
            Self::Running { counter } => counter.release(1),
            Self::Tokens {
                counter, reserved, ..
            } => counter.release(reserved),
        }
    }

    fn settle(self, now: Duration, spent: Spent<'_>) {
        match self {
            // It was counted when it came.
            Self::Request { .. } | Self::Estimated { .. } => {}
            Self::Running { counter } => counter.release(1),
            Self::Tokens {
                counter,
                reserved,
                estimate,
                kind,
            } => counter.settle(now, reserved, spent.tokens(kind, estimate)),
        }
    }
}

impl Drop for Held {
    /// An exchange that was dropped without an end has used what was estimated, as far
    /// as anyone knows.
    fn drop(&mut self) {
        for hold in self.holds.drain(..) {
            hold.settle(self.since, Spent::Unknown(None));
        }
    }
}
