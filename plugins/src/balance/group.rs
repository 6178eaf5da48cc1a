//! The endpoints of one zone, or of all others.

use std::sync::Arc;

use super::{Ask, Member, Policy, Settings};
use crate::split::{Bound, Distribution, NoWeight, Sequence, Turns, distance};

/// Draws of a second candidate before the others are looked through for one.
const DRAWS_MAX: usize = 3;

pub(super) struct Group<T> {
    /// Chooses by weight among places in `members`.
    shares: Distribution<usize>,
    members: Box<[Member<T>]>,
    /// What a key looks at first, in the order of the members. Beside each other they fill a
    /// few lines of the processor's cache, while each member has several of its own.
    bounds: Box<[Bound]>,
}

/// What a choice depends on.
pub(super) struct Choice<'a> {
    pub(super) ask: Ask<'a>,
    pub(super) settings: &'a Settings,
    pub(super) draws: &'a Sequence,
}

impl Clone for Choice<'_> {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Choice<'_> {}

impl<T> Group<T> {
    pub(super) fn new(members: Vec<Member<T>>) -> Result<Self, NoWeight> {
        let members: Box<[_]> = members
            .into_iter()
            .filter(|member| member.weight.get() > 0)
            .collect();
        let places = members.iter().enumerate();
        let shares = Distribution::new(places.map(|(place, member)| (member.weight, place)))?;
        let bounds = members
            .iter()
            .map(|member| Bound::new(member.seed, f64::from(member.weight.get())));
        Ok(Self {
            shares,
            bounds: bounds.collect(),
            members,
        })
    }

    /// Goes on where `turns` are.
    pub(super) fn continuing(self, turns: Arc<Turns>) -> Self {
        Self {
            shares: self.shares.continuing(turns),
            ..self
        }
    }

    pub(super) fn members(&self) -> std::slice::Iter<'_, Member<T>> {
        self.members.iter()
    }

    /// The share of its weight that may be sent requests, from 0 to 1.
    pub(super) fn capacity(&self, ask: Ask<'_>) -> f64 {
        let (mut all, mut open) = (0_u64, 0_u64);
        for member in &self.members {
            let weight = u64::from(member.weight.get());
            all += weight;
            open += if member.has_room(ask.now) { weight } else { 0 };
        }
        open as f64 / all as f64
    }

    /// A member that may be sent this request, if there is one.
    pub(super) fn choose(&self, choice: Choice<'_>) -> Option<&Member<T>> {
        match (choice.settings.policy, choice.ask.key) {
            (Policy::Hash, Some(key)) => self.by_key(choice, key),
            (Policy::RoundRobin | Policy::Hash, _) => self.in_turn(choice),
            (Policy::LeastBusy, _) => self.lesser_of_two(choice, busy),
            (Policy::Latency, _) => self.lesser_of_two(choice, wait),
        }
    }

    fn in_turn(&self, choice: Choice<'_>) -> Option<&Member<T>> {
        let first = self.member(*self.shares.pick())?;
        if first.takes(choice.ask) && self.is_warm(first, choice) {
            return Some(first);
        }
        self.another(choice, |member| std::ptr::eq(member, first))
            .or_else(|| first.takes(choice.ask).then_some(first))
    }

    /// Of two drawn by weight, the one that costs less.
    fn lesser_of_two(
        &self,
        choice: Choice<'_>,
        cost: impl Fn(&Member<T>) -> f64,
    ) -> Option<&Member<T>> {
        let one = self.in_turn(choice)?;
        if self.members.len() == 1 {
            return Some(one);
        }
        let other = self.second(choice, one);
        Some(match other {
            Some(other) if cost(other) < cost(one) => other,
            _ => one,
        })
    }

    fn second(&self, choice: Choice<'_>, first: &Member<T>) -> Option<&Member<T>> {
        for _ in 0..DRAWS_MAX {
            let drawn = self.member(*self.shares.at(choice.draws.scattered()))?;
            if !std::ptr::eq(drawn, first) {
                let fits = drawn.takes(choice.ask) && self.is_warm(drawn, choice);
                return fits.then_some(drawn);
            }
        }
        self.another(choice, |member| std::ptr::eq(member, first))
    }

    /// The member that is nearest to the key of those that take it. When one goes, only
    /// its keys move.
    ///
    /// The one that looks nearest by its bound nearly always is, and is then the only one
    /// that is asked. A member in its slow start is further away than its full weight says,
    /// so that the bound holds for it too.
    fn by_key(&self, choice: Choice<'_>, key: u64) -> Option<&Member<T>> {
        let (place, next) = Bound::nearest(&self.bounds, key);
        let nearest = self.member(place)?;
        if nearest.takes(choice.ask) && self.distance(nearest, choice, key) <= next {
            return Some(nearest);
        }
        let (mut nearest, mut least) = (None, f64::INFINITY);
        for (bound, member) in self.bounds.iter().zip(&self.members) {
            if bound.of(key) > least || !member.takes(choice.ask) {
                continue;
            }
            let distance = self.distance(member, choice, key);
            if distance < least {
                (nearest, least) = (Some(member), distance);
            }
        }
        nearest
    }

    fn distance(&self, member: &Member<T>, choice: Choice<'_>, key: u64) -> f64 {
        let weight = f64::from(member.weight.get()) * self.warmth(member, choice);
        distance(key, member.seed, weight)
    }

    /// One of the others, by weight.
    fn another(
        &self,
        choice: Choice<'_>,
        is_out: impl Fn(&Member<T>) -> bool,
    ) -> Option<&Member<T>> {
        let place = self.shares.pick_excluding(|place| {
            let member = self.member(*place);
            !member.is_some_and(|member| member.takes(choice.ask) && !is_out(member))
        })?;
        self.member(*place)
    }

    fn member(&self, place: usize) -> Option<&Member<T>> {
        self.members.get(place)
    }

    fn warmth(&self, member: &Member<T>, choice: Choice<'_>) -> f64 {
        member.warmth(choice.ask.now, choice.settings.slow_start)
    }

    /// Whether a member whose turn it is gets the request: in its slow start it gets a part.
    fn is_warm(&self, member: &Member<T>, choice: Choice<'_>) -> bool {
        let warmth = self.warmth(member, choice);
        warmth >= 1.0 || choice.draws.fraction() < warmth
    }
}

/// Requests in flight for each part of its weight.
fn busy<T>(member: &Member<T>) -> f64 {
    f64::from(member.vitals.in_flight()) / f64::from(member.weight.get())
}

/// How long one more request would wait. One that has not answered yet is tried first, but
/// not by everybody.
fn wait<T>(member: &Member<T>) -> f64 {
    let queue = f64::from(member.vitals.in_flight());
    match member.vitals.latency() {
        Some(latency) => latency.as_secs_f64() * (queue + 1.0),
        None => queue * f64::from(u16::MAX),
    }
}
