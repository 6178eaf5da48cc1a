//! When to fetch keys.
//!
//! At first at once; after a success when the refresh is due; in between when a token
//! names an unknown key, but not before the cooldown is over, however many tokens do.
//! After a failure with growing distance: from one second up to the cooldown while
//! there are no keys at all, from the cooldown up to the refresh while old ones serve.

use std::time::Duration;

/// After how long a fetch that nobody reported on is taken for lost.
const FETCH_MAX: Duration = Duration::from_secs(60);
/// First pause after a failure while there are no keys.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// When to fetch keys. Time is passed in, since the Unix epoch.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    refresh: Duration,
    cooldown: Duration,
    /// When the last fetch began.
    began: Option<Duration>,
    /// Whether it is going on.
    fetching: bool,
    /// When the keys last arrived.
    fetched: Option<Duration>,
    /// Failures since then.
    failures: u32,
    /// Whether an unknown key was asked for since the last fetch began.
    wanted: bool,
    /// When to fetch though nobody asks.
    next: Duration,
}

impl Schedule {
    pub(super) fn new(refresh: Duration, cooldown: Duration) -> Self {
        Self {
            refresh,
            cooldown,
            began: None,
            fetching: false,
            fetched: None,
            failures: 0,
            wanted: false,
            next: Duration::ZERO,
        }
    }

    pub(super) fn set_pace(&mut self, refresh: Duration, cooldown: Duration) {
        self.refresh = refresh;
        self.cooldown = cooldown;
        if let Some(fetched) = self.fetched.filter(|_| self.failures == 0) {
            self.next = fetched + refresh;
        }
    }

    /// Whether to fetch now. If so the fetch counts as begun.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        if self.is_fetching(now) {
            return false;
        }
        let due = now >= self.next || (self.wanted && self.is_cool(now));
        if due {
            self.began = Some(now);
            self.fetching = true;
            self.wanted = false;
        }
        due
    }

    /// Asks for a fetch. Says whether one is going on or will begin at once.
    pub(super) fn want(&mut self, now: Duration) -> bool {
        if self.is_fetching(now) {
            return true;
        }
        self.wanted |= self.is_cool(now);
        self.wanted
    }

    pub(super) fn fetched(&mut self, now: Duration) {
        self.fetching = false;
        self.fetched = Some(now);
        self.failures = 0;
        self.next = now + self.refresh;
    }

    pub(super) fn failed(&mut self, now: Duration) {
        let (first, longest) = match self.fetched {
            None => (FIRST_PAUSE.min(self.cooldown), self.cooldown),
            Some(_) => (self.cooldown, self.refresh),
        };
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.fetching = false;
        self.failures = self.failures.saturating_add(1);
        self.next = now + first.saturating_mul(factor).min(longest);
    }

    fn is_fetching(&self, now: Duration) -> bool {
        self.fetching && self.began.is_some_and(|began| now < began + FETCH_MAX)
    }

    /// Whether the cooldown since the last fetch is over.
    fn is_cool(&self, now: Duration) -> bool {
        self.began.is_none_or(|began| now >= began + self.cooldown)
    }
}
