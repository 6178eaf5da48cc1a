//! How things of one kind ended, counted by name.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec};

use super::Families;
use super::named::Named;

/// The ways in which things of one kind end.
pub trait Outcome: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Its name as a label.
    fn as_str(self) -> &'static str;
}

/// Counters of what ended, one for each way.
pub struct Outcomes<O> {
    counters: Box<[IntCounter]>,
    counts: PhantomData<fn(O)>,
}

impl<O: Outcome> Outcomes<O> {
    /// Counts one that has ended.
    pub fn count(&self, outcome: O) {
        for (one, counter) in O::ALL.iter().zip(&self.counters) {
            if *one == outcome {
                counter.inc();
            }
        }
    }
}

impl<O> fmt::Debug for Outcomes<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.counters).finish()
    }
}

/// A family of counters whose last label is the outcome.
pub(super) struct Family<O> {
    counters: IntCounterVec,
    counts: PhantomData<fn(O)>,
}

impl<O: Outcome> Family<O> {
    /// `labels` are the names before the outcome and what that one is called.
    pub(super) fn new(
        families: &Families<'_>,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<Self> {
        Ok(Family {
            counters: families.counters(name, help, labels)?,
            counts: PhantomData,
        })
    }

    pub(super) fn of(&self, names: &[&str]) -> Outcomes<O> {
        let outcomes = O::ALL.iter().map(|outcome| labels(names, *outcome));
        let counters = outcomes.map(|labels| self.counters.with_label_values(&labels));
        Outcomes {
            counters: counters.collect(),
            counts: PhantomData,
        }
    }

    /// Removes the series of these names.
    pub(super) fn forget(&self, names: &[&str]) {
        for outcome in O::ALL {
            // An error means that there was none.
            let _ = self.counters.remove_label_values(&labels(names, *outcome));
        }
    }
}

fn labels<'a>(names: &[&'a str], outcome: impl Outcome) -> Vec<&'a str> {
    let names = names.iter().copied();
    names.chain([outcome.as_str()]).collect()
}

/// A family of which each route that needs it has its own counters.
pub(super) struct ByRoute<O> {
    family: Family<O>,
    named: Named<Outcomes<O>>,
}

impl<O: Outcome> ByRoute<O> {
    pub(super) fn new(families: &Families<'_>, name: &str, help: &str) -> prometheus::Result<Self> {
        Ok(ByRoute {
            family: Family::new(families, name, help, &["route", "result"])?,
            named: Named::new(),
        })
    }

    pub(super) fn of(&self, route: &str) -> Arc<Outcomes<O>> {
        self.named.of(route, || self.family.of(&[route]))
    }

    /// Removes the series of routes that no generation names.
    pub(super) fn forget_gone(&self) {
        self.named.forget_gone(|route| self.family.forget(&[route]));
    }
}
