//! Choice among the endpoints of an upstream.
//!
//! A [`Pool`] knows for each endpoint its weight, whether it lies in the proxy's own zone,
//! and by its [`Vitals`] how it does: requests in flight, latency, health. These survive
//! reloads. [`Pool::enter`] chooses an endpoint by the [`Policy`] and counts the request in;
//! [`Pool::judge`] hears how it went. Choosing takes no lock and allocates nothing.

mod group;
mod health;
mod latency;
mod slowness;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use penstock_config::unit::Weight;
use siphasher::sip::SipHasher13;

use crate::split::{NoWeight, Sequence, Turns};
use group::{Choice, Group};
use health::{Entry, Health};
use latency::PeakAverage;
use slowness::Recent;

pub use health::{Change, ErrorRate, Out, Rules, Verdict};
pub use slowness::Slowness;

/// By how much more than its capacity the own zone is used before requests go elsewhere:
/// with 1.4, until less than five sevenths of it are left (Envoy's overprovisioning factor,
/// <https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/overprovisioning>).
const OVERPROVISION: f64 = 1.4;

/// The least that an endpoint gets of its weight when it comes back.
const SLOW_START_LEAST: f64 = 0.1;

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// In turn, in proportion to the weights.
    #[default]
    RoundRobin,
    /// Of two chosen by weight, the one with fewer requests in flight for its weight.
    LeastBusy,
    /// Of two chosen by weight, the one where a request waits less long: the time to the
    /// first byte, recent peaks first, times the requests in flight.
    Latency,
    /// The same endpoint for the same key, as long as it is there (rendezvous hashing:
    /// Thaler and Ravishankar, *Using Name-Based Mappings to Increase Hit Rates*, 1998).
    /// A request without a key is sent to any.
    Hash,
}

/// What holds for all endpoints of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How an endpoint is chosen.
    pub policy: Policy,
    /// When an endpoint is ejected; none if failures eject nobody.
    pub rules: Option<Rules>,
    /// How many of the endpoints may be ejected or paused, in percent, rounded down. Where
    /// there are several, one may always be.
    pub ejected_percent_max: u8,
    /// How long an endpoint that comes back takes to get its full weight.
    pub slow_start: Duration,
}

/// One endpoint of a pool.
pub struct Member<T> {
    /// What the choice is for.
    pub target: T,
    /// Its share, relative to the others.
    pub weight: Weight,
    /// Whether it lies in the proxy's own zone.
    pub near: bool,
    /// How many requests it may have in flight.
    pub requests_max: Option<NonZeroU32>,
    /// How it does.
    pub vitals: Arc<Vitals>,
    /// Identifies it for hashing: the same in every process and generation.
    pub seed: u64,
}

/// How an endpoint does. Kept in [`Shared`](crate::Shared) under its upstream and address.
#[derive(Default)]
pub struct Vitals {
    in_flight: AtomicU32,
    latency: PeakAverage,
    /// Only where the slow are ejected.
    recent: OnceLock<Box<Recent>>,
    health: Health,
    ejections: AtomicU64,
    ejections_for_slowness: AtomicU64,
}

impl Vitals {
    /// Requests that it has not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Its usual time to the first byte, recent peaks first.
    pub fn latency(&self) -> Option<Duration> {
        self.latency.get()
    }

    /// Why it takes no requests; none if it does.
    pub fn out(&self, now: Duration) -> Option<Out> {
        self.health.out(now)
    }

    /// Whether it takes requests, and not only to find out whether it is back.
    pub fn is_up(&self, now: Duration) -> bool {
        self.out(now).is_none() && !self.health.is_ejected()
    }

    /// How often it was ejected after failures.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// How often it was ejected since it was slower than the others.
    pub fn ejections_for_slowness(&self) -> u64 {
        self.ejections_for_slowness.load(Ordering::Relaxed)
    }

    /// What active probes have found. True if it is news.
    pub fn probed(&self, well: bool, now: Duration) -> bool {
        self.health.probed(well, now)
    }
}

/// The endpoints of an upstream, to choose from.
pub struct Pool<T> {
    settings: Settings,
    near: Group<T>,
    far: Option<Group<T>>,
    rounds: Arc<Rounds>,
}

/// Whose turn it is in a pool. Kept in [`Shared`](crate::Shared) under its upstream, shares
/// stay exact over any number of reloads.
#[derive(Default)]
pub struct Rounds {
    near: Arc<Turns>,
    far: Arc<Turns>,
    draws: Sequence,
    zones: Sequence,
}

/// What a choice depends on besides the pool.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The time, since the epoch.
    pub now: Duration,
    /// What a [`Policy::Hash`] goes by.
    pub key: Option<u64>,
    /// Seeds of the endpoints that have failed this request.
    pub tried: &'a [u64],
}

/// A request at an endpoint. It counts as in flight until this is dropped.
pub struct Flight {
    vitals: Arc<Vitals>,
    entry: Entry,
    began: Duration,
    judged: bool,
}

impl Flight {
    /// The first byte of the answer is there.
    pub fn first_byte(&self, now: Duration) {
        let latency = now.saturating_sub(self.began);
        self.vitals.latency.observe(latency, now);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.vitals.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.judged && self.entry == Entry::Trial {
            self.vitals.health.abandon(self.began);
        }
    }
}

/// Every endpoint is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoneLeft {
    /// How many have failed or were too slow, and are left alone.
    pub ejected: usize,
    /// How many fail their probes.
    pub unwell: usize,
    /// How many asked for a pause.
    pub paused: usize,
    /// How many have as many requests in flight as they may.
    pub full: usize,
    /// When the first of them may be asked again, if that is known.
    pub until: Option<Duration>,
}

impl NoneLeft {
    /// Adds the endpoints of another pool.
    pub fn add(&mut self, other: Self) {
        self.ejected += other.ejected;
        self.unwell += other.unwell;
        self.paused += other.paused;
        self.full += other.full;
        self.or_until(other.until);
    }

    fn or_until(&mut self, other: Option<Duration>) {
        self.until = match (self.until, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

impl<T> Pool<T> {
    /// A pool of `members`. Those of weight zero are left out.
    ///
    /// # Errors
    ///
    /// [`NoWeight`] when none is left.
    pub fn new(
        settings: Settings,
        members: impl IntoIterator<Item = Member<T>>,
    ) -> Result<Self, NoWeight> {
        let (near, far): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.near);
        let (near, far) = match (Group::new(near), Group::new(far)) {
            (Ok(near), far) => (near, far.ok()),
            (Err(NoWeight), Ok(far)) => (far, None),
            (Err(none), Err(_)) => return Err(none),
        };
        Ok(Self {
            settings,
            near,
            far,
            rounds: Arc::default(),
        })
    }

    /// Goes on where the rounds of an earlier pool are.
    pub fn continuing(self, rounds: Arc<Rounds>) -> Self {
        Self {
            near: self.near.continuing(rounds.near.clone()),
            far: self.far.map(|far| far.continuing(rounds.far.clone())),
            rounds,
            ..self
        }
    }

    /// All endpoints that can be chosen.
    pub fn members(&self) -> impl Iterator<Item = &Member<T>> {
        let far = self.far.iter().flat_map(Group::members);
        self.near.members().chain(far)
    }

    /// Chooses an endpoint and counts the request in. One that this request has tried is
    /// chosen only if there is no other.
    ///
    /// # Errors
    ///
    /// [`NoneLeft`]: no endpoint may be sent a request.
    pub fn enter(&self, ask: Ask<'_>) -> Result<(&Member<T>, Flight), NoneLeft> {
        let again = || match ask.tried {
            [] => None,
            _ => self.board(Ask { tried: &[], ..ask }),
        };
        let boarded = self.board(ask).or_else(again);
        boarded.ok_or_else(|| self.none_left(ask.now))
    }

    /// The same, but one that this request has tried is not chosen.
    ///
    /// # Errors
    ///
    /// [`NoneLeft`]: no other endpoint may be sent a request.
    pub fn enter_other(&self, ask: Ask<'_>) -> Result<(&Member<T>, Flight), NoneLeft> {
        let boarded = self.board(ask);
        boarded.ok_or_else(|| self.none_left(ask.now))
    }

    /// Whether there is an endpoint that may be sent this request and has not failed it.
    pub fn has_other(&self, ask: Ask<'_>) -> bool {
        self.members().any(|member| member.takes(ask))
    }

    /// Takes down how a request went, unless that is known already. A good answer begins now.
    pub fn judge(&self, flight: &mut Flight, verdict: Verdict, now: Duration) -> Option<Change> {
        if std::mem::replace(&mut flight.judged, true) {
            return None;
        }
        let Flight { vitals, entry, .. } = flight;
        let Some(rules) = &self.settings.rules else {
            // Ejected by earlier settings: these have no rules to keep it out by.
            return (*entry == Entry::Trial).then(|| vitals.health.return_from_trial(now));
        };
        if verdict == Verdict::Good
            && let Some(slowness) = &rules.slowness
            && let Some(change) = self.judge_time(flight, now, rules, slowness)
        {
            return Some(change);
        }
        let Flight { vitals, entry, .. } = flight;
        let may_eject = || self.may_leave_alone(now);
        let change = vitals.health.judge(*entry, verdict, now, rules, may_eject);
        if matches!(change, Some(Change::Ejected(_))) {
            vitals.ejections.fetch_add(1, Ordering::Relaxed);
        }
        change
    }

    /// The endpoint asked for no requests until then. It is obeyed where failures eject
    /// as well, as far as so many endpoints may be left alone. True if it is.
    pub fn pause(&self, flight: &Flight, until: Duration, now: Duration) -> bool {
        self.obey(&flight.vitals.health, until, now)
    }

    /// The same for each endpoint that is one of these.
    pub fn pause_each(&self, which: impl Fn(&T) -> bool, until: Duration, now: Duration) {
        for member in self.members().filter(|member| which(&member.target)) {
            self.obey(&member.vitals.health, until, now);
        }
    }

    /// Whether what fails, and what asks for a pause, is left alone.
    pub fn leaves_alone(&self) -> bool {
        self.settings.rules.is_some()
    }

    fn obey(&self, health: &Health, until: Duration, now: Duration) -> bool {
        let obeys = self.leaves_alone() && (health.is_left_alone(now) || self.may_leave_alone(now));
        if obeys {
            health.pause(until);
        }
        obeys
    }

    /// Whether one more endpoint may be ejected or paused.
    fn may_leave_alone(&self, now: Duration) -> bool {
        let (mut all, mut left_alone) = (0_usize, 0_usize);
        for member in self.members() {
            all += 1;
            left_alone += usize::from(member.vitals.health.is_left_alone(now));
        }
        let most = all * usize::from(self.settings.ejected_percent_max.min(100)) / 100;
        left_alone < most.max(usize::from(all > 1))
    }

    fn board(&self, ask: Ask<'_>) -> Option<(&Member<T>, Flight)> {
        // Another thread may have taken the trial, or the last place. Then that endpoint
        // is out, and there are only so many.
        for _ in 0..self.members().count() {
            let member = self.choose(ask)?;
            if let Some(flight) = board(member, ask.now) {
                return Some((member, flight));
            }
        }
        None
    }

    fn choose(&self, ask: Ask<'_>) -> Option<&Member<T>> {
        let choice = Choice {
            ask,
            settings: &self.settings,
            draws: &self.rounds.draws,
        };
        let Some(far) = &self.far else {
            return self.near.choose(choice);
        };
        let kept = (self.near.capacity(ask) * OVERPROVISION).min(1.0);
        let (first, second) = if self.rounds.zones.fraction() < kept {
            (&self.near, far)
        } else {
            (far, &self.near)
        };
        first.choose(choice).or_else(|| second.choose(choice))
    }

    fn none_left(&self, now: Duration) -> NoneLeft {
        let mut none = NoneLeft::default();
        for member in self.members() {
            let until = match member.vitals.out(now) {
                Some(Out::Ejected(until)) => {
                    none.ejected += 1;
                    until
                }
                Some(Out::Unwell) => {
                    none.unwell += 1;
                    None
                }
                Some(Out::Paused(until)) => {
                    none.paused += 1;
                    Some(until)
                }
                None => {
                    none.full += 1;
                    None
                }
            };
            none.or_until(until);
        }
        none
    }
}

/// The number of a text, for [`Member::seed`] and [`Ask::key`]: SipHash-1-3 under the key
/// zero, the same in every process and on every machine.
pub fn hash(text: &[u8]) -> u64 {
    SipHasher13::new().hash(text)
}

/// Counts a request in at a member that had room a moment ago.
fn board<T>(member: &Member<T>, now: Duration) -> Option<Flight> {
    let vitals = &member.vitals;
    let before = vitals.in_flight.fetch_add(1, Ordering::Relaxed);
    // From here on, dropping the flight takes the request out again.
    let mut flight = Flight {
        vitals: vitals.clone(),
        entry: Entry::Usual,
        began: now,
        judged: false,
    };
    if member.requests_max.is_some_and(|most| before >= most.get()) {
        return None;
    }
    flight.entry = vitals.health.enter()?;
    Some(flight)
}

impl<T> Member<T> {
    /// Whether it may be sent this request.
    fn takes(&self, ask: Ask<'_>) -> bool {
        self.has_room(ask.now) && !ask.tried.contains(&self.seed)
    }

    fn has_room(&self, now: Duration) -> bool {
        let full = || {
            let most = self.requests_max;
            most.is_some_and(|most| self.vitals.in_flight() >= most.get())
        };
        self.vitals.out(now).is_none() && !full()
    }

    /// Its share of its weight, less than 1 in its slow start.
    fn warmth(&self, now: Duration, slow_start: Duration) -> f64 {
        match self.vitals.health.back_for(now) {
            Some(back) if back < slow_start => {
                (back.as_secs_f64() / slow_start.as_secs_f64()).max(SLOW_START_LEAST)
            }
            _ => 1.0,
        }
    }
}

impl fmt::Display for NoneLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons = [
            (self.ejected, "ejected"),
            (self.unwell, "failing their health checks"),
            (self.paused, "paused at their own request"),
            (self.full, "at their limit of requests"),
        ];
        f.write_str("no endpoint is available:")?;
        let mut comma = "";
        for (count, reason) in reasons.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{comma} {count} {reason}")?;
            comma = ",";
        }
        Ok(())
    }
}

impl std::error::Error for NoneLeft {}
