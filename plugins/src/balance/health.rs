//! Whether an endpoint may be sent requests, judged by how the last ones went.
//!
//! An endpoint that fails is ejected: for a while it gets no requests. Then one request is
//! let through, and its outcome decides whether the endpoint is back or stays out for twice
//! as long. Beside that, active probes may find it unwell, and the endpoint itself may ask
//! for a pause.

#[cfg(test)]
mod tests;
mod window;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::slowness::Slowness;
use window::Window;

/// The gate of an endpoint that takes requests.
const OPEN: u64 = 0;

/// The gate of an endpoint whose trial is under way.
const TRIAL: u64 = u64::MAX;

/// When an endpoint is ejected, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// After this many failures in a row.
    pub failures: Option<NonZeroU32>,
    /// When too large a share of the last requests failed.
    pub error_rate: Option<ErrorRate>,
    /// When its answers begin much later than those of the others.
    pub slowness: Option<Slowness>,
    /// For how long the first time. Each time in a row doubles it.
    pub ejected: Duration,
    /// For how long at most.
    pub ejected_max: Duration,
}

/// A share of failures, among enough requests to tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRate {
    /// From this share on, in percent.
    pub percent: u8,
    /// With fewer requests in the window nothing is decided.
    pub requests: NonZeroU32,
    /// Length of the window.
    pub window: Duration,
}

/// What an exchange says about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Good,
    /// It failed.
    Bad,
    /// Neither: the client went away, or the endpoint was too busy.
    Unclear,
}

/// What a verdict has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The endpoint is out for this long.
    Ejected(Duration),
    /// So it is since it answers too late.
    TooSlow {
        /// For how long it is out.
        time: Duration,
        /// How long its answers took to begin, usually or the last time.
        took: Duration,
        /// How long those of the others usually take.
        others: Duration,
    },
    /// It is back.
    Returned,
}

/// Why an endpoint takes no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// It has failed, and is left alone until then, or until its trial has ended.
    Ejected(Option<Duration>),
    /// Active probes fail.
    Unwell,
    /// It asked for a pause until then.
    Paused(Duration),
}

/// How a request came to the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Usual,
    /// As the one that finds out whether the endpoint is back.
    Trial,
}

/// One endpoint's health. All moments are durations since the epoch.
#[derive(Default)]
pub(super) struct Health {
    /// [`OPEN`], [`TRIAL`], or the nanosecond until which the endpoint is out.
    gate: AtomicU64,
    /// The nanosecond until which it asked for a pause.
    paused: AtomicU64,
    /// When it came back; zero if it was never out.
    returned: AtomicU64,
    unwell: AtomicBool,
    /// It was ejected last since it was too slow.
    slow: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    failures: u32,
    /// Ejections in a row.
    ejections: u32,
    window: Window,
}

impl Health {
    /// Why no request may go there now; none if one may.
    pub(super) fn out(&self, now: Duration) -> Option<Out> {
        if self.unwell.load(Ordering::Relaxed) {
            return Some(Out::Unwell);
        }
        let now = nanos(now);
        let paused = self.paused.load(Ordering::Relaxed);
        if paused > now {
            return Some(Out::Paused(Duration::from_nanos(paused)));
        }
        match self.gate.load(Ordering::Relaxed) {
            TRIAL => Some(Out::Ejected(None)),
            until if until > now => Some(Out::Ejected(Some(Duration::from_nanos(until)))),
            _ => None,
        }
    }

    /// Lets a request in for which [`Health::out`] had no objection; none if another one
    /// has become the trial since.
    pub(super) fn enter(&self) -> Option<Entry> {
        let gate = self.gate.load(Ordering::Relaxed);
        if gate == OPEN {
            return Some(Entry::Usual);
        }
        let claimed = self
            .gate
            .compare_exchange(gate, TRIAL, Ordering::Relaxed, Ordering::Relaxed);
        (gate != TRIAL && claimed.is_ok()).then_some(Entry::Trial)
    }

    /// Takes down how a request went. `may_eject` is asked before an endpoint that takes
    /// requests is ejected.
    pub(super) fn judge(
        &self,
        entry: Entry,
        verdict: Verdict,
        now: Duration,
        rules: &Rules,
        may_eject: impl FnOnce() -> bool,
    ) -> Option<Change> {
        match (entry, verdict) {
            (Entry::Trial, Verdict::Unclear) => {
                self.abandon(now);
                None
            }
            (Entry::Trial, Verdict::Bad) => {
                let time = self.eject(&mut self.record.lock(), now, rules, false);
                Some(Change::Ejected(time))
            }
            (Entry::Trial, Verdict::Good) => Some(self.return_from_trial(now)),
            (Entry::Usual, Verdict::Unclear) => None,
            // What began before the ejection says nothing new.
            (Entry::Usual, _) if self.gate.load(Ordering::Relaxed) != OPEN => None,
            (Entry::Usual, verdict) => {
                let mut record = self.record.lock();
                let bad = verdict == Verdict::Bad;
                record.failures = if bad {
                    record.failures.saturating_add(1)
                } else {
                    0
                };
                let rate = rules.error_rate;
                let rate_is_bad = rate.is_some_and(|rate| record.window.count(bad, now, rate));
                let in_a_row = rules
                    .failures
                    .is_some_and(|most| record.failures >= most.get());
                // Another request may have ejected it before the lock was had.
                let open = self.gate.load(Ordering::Relaxed) == OPEN;
                let ejects = open && bad && (in_a_row || rate_is_bad) && may_eject();
                if ejects && self.was_well_long(now, rules) {
                    record.ejections = 0;
                }
                ejects.then(|| Change::Ejected(self.eject(&mut record, now, rules, false)))
            }
        }
    }

    /// A trial has shown that it is back.
    pub(super) fn return_from_trial(&self, now: Duration) -> Change {
        let mut record = self.record.lock();
        record.failures = 0;
        record.window = Window::default();
        self.come_back(now);
        Change::Returned
    }

    /// A trial has ended without a verdict: the next request is one.
    pub(super) fn abandon(&self, now: Duration) {
        self.gate
            .store(nanos(now).clamp(1, TRIAL - 1), Ordering::Relaxed);
    }

    /// Ejects an endpoint that answers well but late; none if it is out already, or may not
    /// be ejected.
    pub(super) fn eject_slow(
        &self,
        entry: Entry,
        now: Duration,
        rules: &Rules,
        may_eject: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        let mut record = self.record.lock();
        if entry == Entry::Usual {
            if self.is_ejected() || !may_eject() {
                return None;
            }
            if self.was_well_long(now, rules) {
                record.ejections = 0;
            }
        }
        Some(self.eject(&mut record, now, rules, true))
    }

    /// Whether it was ejected last since it was too slow.
    pub(super) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    fn eject(&self, record: &mut Record, now: Duration, rules: &Rules, slow: bool) -> Duration {
        let doubled = 1_u32.checked_shl(record.ejections).unwrap_or(u32::MAX);
        let time = rules.ejected.saturating_mul(doubled).min(rules.ejected_max);
        record.ejections = record.ejections.saturating_add(1);
        record.failures = 0;
        record.window = Window::default();
        self.slow.store(slow, Ordering::Relaxed);
        self.gate
            .store(nanos(now + time).clamp(1, TRIAL - 1), Ordering::Relaxed);
        time
    }

    /// Whether an ejection now has nothing to do with the one before.
    fn was_well_long(&self, now: Duration, rules: &Rules) -> bool {
        self.back_for(now)
            .is_none_or(|back| back > rules.ejected_max)
    }

    fn come_back(&self, now: Duration) {
        self.returned.store(nanos(now), Ordering::Relaxed);
        self.gate.store(OPEN, Ordering::Relaxed);
    }

    /// No requests until then, unless it is to pause for longer already.
    pub(super) fn pause(&self, until: Duration) {
        self.paused.fetch_max(nanos(until), Ordering::Relaxed);
    }

    /// What active probes have found. True if it is news.
    pub(super) fn probed(&self, well: bool, now: Duration) -> bool {
        let news = self.unwell.swap(!well, Ordering::Relaxed) == well;
        if news && well {
            self.come_back(now);
        }
        news
    }

    /// Whether it is ejected, its trial included.
    pub(super) fn is_ejected(&self) -> bool {
        self.gate.load(Ordering::Relaxed) != OPEN
    }

    /// Whether it is ejected or paused.
    pub(super) fn is_left_alone(&self, now: Duration) -> bool {
        self.is_ejected() || self.paused.load(Ordering::Relaxed) > nanos(now)
    }

    /// For how long it has been back; none if it was never out.
    pub(super) fn back_for(&self, now: Duration) -> Option<Duration> {
        let returned = self.returned.load(Ordering::Relaxed);
        (returned > 0).then(|| now.saturating_sub(Duration::from_nanos(returned)))
    }
}

/// Nanoseconds since the epoch, which fit until the year 2554.
fn nanos(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}
