//! The counters of one limit and what became of the requests that it judged: what stays
//! when the configuration is reloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use penstock_config::plugin::{Limit, Measure};

use super::key::KeyMaker;
use super::sketch::Sketch;
use super::table::{Held, Table};
use crate::shared::Shared;

/// What is shared by the generations that have a limit of this name.
#[derive(Debug)]
pub struct Meter {
    name: Box<str>,
    counts: Counts,
    refused: AtomicU64,
    would_refuse: AtomicU64,
    keys_full: AtomicU64,
}

/// How a limit counts.
#[derive(Debug)]
pub(super) enum Counts {
    Exact(Table),
    Estimated(Sketch),
}

/// What became of a request that a limit did not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Refused,
    WouldRefuse,
    KeysFull,
}

/// What a limit counts now, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What the counters hold; nothing is known of it where a limit estimates.
    pub held: Held,
    /// Requests refused because the limit was reached.
    pub refused: u64,
    /// Requests that shadow mode let through.
    pub would_refuse: u64,
    /// Requests with a new key for which there was no counter any more.
    pub keys_full: u64,
}

impl Meter {
    /// The meter of a limit as configured: the one there is, if an earlier generation
    /// counted the same over the same window for the same parts. The number of the
    /// limit may change.
    pub fn of(limit: &Limit, shared: &Shared) -> Arc<Self> {
        let (kind, window, estimate) = match &limit.measure {
            Measure::Requests { per, estimate } => ("requests", Some(per.get()), *estimate),
            Measure::Tokens(tokens) => (kind_of(tokens.kind), Some(tokens.per.get()), false),
            Measure::Concurrent => ("concurrent", None, false),
        };
        let by = &limit.by;
        let name = format!("{}|{kind}|{window:?}|{estimate}|{by:?}", limit.name);
        shared.keep("limits", &name, || {
            Self::new(limit.name.as_str(), window, estimate)
        })
    }

    fn new(name: &str, window: Option<Duration>, estimate: bool) -> Self {
        Self {
            name: name.into(),
            counts: match window.filter(|_| estimate) {
                Some(window) => Counts::Estimated(Sketch::new(window)),
                None => Counts::Exact(Table::new(window)),
            },
            refused: AtomicU64::new(0),
            would_refuse: AtomicU64::new(0),
            keys_full: AtomicU64::new(0),
        }
    }

    /// Every meter that a generation holds, by name.
    pub fn all(shared: &Shared) -> Vec<Arc<Self>> {
        shared.alive()
    }

    /// The limit's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it counts now. Looks at every counter.
    pub fn read(&self) -> Reading {
        Reading {
            held: match &self.counts {
                Counts::Exact(table) => table.held(),
                Counts::Estimated(_) => Held::default(),
            },
            refused: self.refused.load(Ordering::Relaxed),
            would_refuse: self.would_refuse.load(Ordering::Relaxed),
            keys_full: self.keys_full.load(Ordering::Relaxed),
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn keys(&self) -> &KeyMaker {
        match &self.counts {
            Counts::Exact(table) => table.keys(),
            Counts::Estimated(sketch) => sketch.keys(),
        }
    }

    pub(super) fn count(&self, judged: Judged) {
        let count = match judged {
            Judged::Refused => &self.refused,
            Judged::WouldRefuse => &self.would_refuse,
            Judged::KeysFull => &self.keys_full,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn kind_of(kind: penstock_config::plugin::TokenKind) -> &'static str {
    use penstock_config::plugin::TokenKind;
    match kind {
        TokenKind::Total => "tokens",
        TokenKind::Prompt => "prompt_tokens",
        TokenKind::Completion => "completion_tokens",
    }
}
