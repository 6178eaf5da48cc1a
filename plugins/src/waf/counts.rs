//! How often each rule matched.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use penstock_config::plugin::waf::RuleId;

use super::Waf;
use crate::shared::Shared;

/// What a match led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The request was refused.
    Block,
    /// The request went on.
    Detect,
}

impl Action {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Detect => "detect",
        }
    }
}

/// How often each rule matched in this process, whatever the route and the generation.
#[derive(Debug)]
pub struct Counts {
    /// In the order of the rules' numbers: what was blocked, and what was detected.
    rules: Box<[(RuleId, AtomicU64, AtomicU64)]>,
}

impl Counts {
    /// Those that all firewalls count in which are built on the same `shared`.
    pub fn of(shared: &Shared) -> Arc<Self> {
        shared.keep(Waf::KIND, "", Self::new)
    }

    /// Zero for every rule.
    fn new() -> Self {
        let rules = RuleId::all().map(|rule| (rule, AtomicU64::new(0), AtomicU64::new(0)));
        Self {
            rules: rules.collect(),
        }
    }

    pub(super) fn count(&self, number: u32, action: Action) {
        let place = self
            .rules
            .binary_search_by_key(&number, |(rule, ..)| rule.number());
        let Some((_, blocked, detected)) = place.ok().and_then(|place| self.rules.get(place))
        else {
            return;
        };
        let counter = match action {
            Action::Block => blocked,
            Action::Detect => detected,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts above zero, in the order of the rules' numbers.
    pub fn iter(&self) -> impl Iterator<Item = (RuleId, Action, u64)> {
        let counts = self.rules.iter().flat_map(|(rule, blocked, detected)| {
            [(Action::Block, blocked), (Action::Detect, detected)]
                .map(|(action, count)| (*rule, action, count.load(Ordering::Relaxed)))
        });
        counts.filter(|(.., count)| *count > 0)
    }
}
