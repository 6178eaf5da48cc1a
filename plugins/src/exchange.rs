//! One request and its answer, as plugins see it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use penstock_config::unit::Name;

use crate::deployment::Deployment;
use crate::dialect::Dialect;
use crate::edit::{BodyEdits, HeaderEdits};
use crate::facts::Facts;
use crate::identity::Identity;
use crate::limits::held::Held;
use crate::routes::Route;
use crate::slot::{Slot, Slots};
use crate::usage::Usage;

/// What is known about an exchange when its request head has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// 128 random bits, drawn by the engine for this exchange alone.
    pub id: u128,
    /// Address of whoever sent the request: the connection's other end, or where that is a
    /// trusted proxy, whom it names. None when the transport has none.
    pub client: Option<IpAddr>,
    /// The generation of the configuration that serves this exchange to its end.
    pub generation: u64,
    /// When the head had arrived, since the Unix epoch, by the engine's clock,
    /// which never steps back.
    pub at: Duration,
    /// The API that the client speaks.
    pub dialect: Dialect,
}

/// Facts about one exchange, and what the plugins want done with it.
///
/// It owns no memory until a plugin puts something in it.
pub struct Exchange {
    arrival: Arrival,
    client_certificate: Option<Arc<str>>,
    route: Option<Arc<Name>>,
    identity: Option<Arc<Identity>>,
    deployment: Option<Deployment>,
    facts: Option<Facts>,
    usage: Option<Usage>,
    /// What is held of the limits.
    pub(crate) held: Held,
    is_cached: bool,
    /// Changes to the request before it goes upstream. The filters of a chain all
    /// see the head as the client sent it, not with these changes.
    pub request: HeaderEdits,
    /// Changes to the request's body before it goes upstream. Only a body filter's are
    /// certain to be made: without one a route may let the body stream through.
    pub body_edits: BodyEdits,
    /// Changes to the answer before it goes to the client, a refusal included.
    pub response: HeaderEdits,
    notes: Vec<Note>,
    slots: Slots,
}

/// A fact for the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Key in the log line.
    pub name: &'static str,
    /// Text that holds no secret and no prompt.
    pub value: Cow<'static, str>,
}

impl Exchange {
    /// An exchange that has just begun.
    pub fn new(arrival: Arrival) -> Self {
        Self {
            arrival,
            client_certificate: None,
            route: None,
            identity: None,
            deployment: None,
            facts: None,
            usage: None,
            held: Held::default(),
            is_cached: false,
            request: HeaderEdits::default(),
            body_edits: BodyEdits::default(),
            response: HeaderEdits::default(),
            notes: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// 128 random bits that belong to this exchange alone.
    pub fn id(&self) -> u128 {
        self.arrival.id
    }

    /// Address of whoever sent the request, through whatever proxies the operator trusts.
    pub fn client(&self) -> Option<IpAddr> {
        self.arrival.client
    }

    /// The generation of the configuration that serves this exchange.
    pub fn generation(&self) -> u64 {
        self.arrival.generation
    }

    /// When the request head had arrived, since the Unix epoch.
    pub fn arrived_at(&self) -> Duration {
        self.arrival.at
    }

    /// The API that the client speaks, and so the shape of the errors that it reads.
    pub fn dialect(&self) -> Dialect {
        self.arrival.dialect
    }

    /// Records the name of the certificate that the client's connection was verified with.
    pub fn certify(&mut self, name: Arc<str>) {
        self.client_certificate = Some(name);
    }

    /// The name of the certificate that the client has proved to be its own; none when it
    /// was not asked or showed none.
    pub fn client_certificate(&self) -> Option<&str> {
        self.client_certificate.as_deref()
    }

    /// Records who the request comes from, in place of whoever was recorded before.
    pub fn identify(&mut self, identity: Arc<Identity>) {
        self.identity = Some(identity);
    }

    /// Who the request comes from; none when no authenticator said so.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Records what was found in the request's body.
    pub fn learn(&mut self, facts: Facts) {
        self.facts = Some(facts);
    }

    /// What is known of the request's body; none while it was not read. They are there
    /// when a body filter runs.
    pub fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Records which deployment the request's path names.
    pub fn deploy(&mut self, deployment: Option<Deployment>) {
        self.deployment = deployment;
    }

    /// The deployment that the request's path names.
    pub fn deployment(&self) -> Option<&str> {
        self.deployment.as_ref().map(Deployment::as_str)
    }

    /// The model that the request is for: the path's deployment, else what the body asks
    /// for. None while the body was not read, and when it names none.
    pub fn model(&self) -> Option<&str> {
        self.models().next()
    }

    /// All models that the request names. Where path and body differ, which of them is
    /// used is for the upstream to say, so that a client must be allowed to use both.
    pub fn models(&self) -> impl Iterator<Item = &str> + Clone {
        let named = self.facts.as_ref().and_then(Facts::model);
        let deployment = self.deployment();
        let other = named.filter(|model| deployment != Some(*model));
        deployment.into_iter().chain(other)
    }

    /// Records what the answer has stated of its usage so far.
    pub fn used(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    /// What the answer has stated of its usage; none while nobody reads its body.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// The answer that the response filters saw is not the client's: there will be another,
    /// and they see it as if it were the first.
    pub fn forget_answer(&mut self) {
        self.usage = None;
        self.held.forget_answer();
    }

    /// Records that the answer is one that was stored before.
    pub fn answer_from_cache(&mut self) {
        self.is_cached = true;
    }

    /// Whether the answer is one that was stored before: no upstream has worked for it,
    /// and what it says of its usage was paid for by the request that it was made for.
    pub fn is_cached(&self) -> bool {
        self.is_cached
    }

    /// Name of the route; none while it is not known, and when no route matched.
    pub fn route(&self) -> Option<&Name> {
        self.route.as_deref()
    }

    /// Records which route the exchange takes.
    pub fn enter(&mut self, route: &Route) {
        self.route = Some(Arc::clone(route.name_shared()));
    }

    /// Adds a fact to the access log. A later one of the same name replaces it, so
    /// there are at most as many as the chain's plugins have names for.
    pub fn note(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        let value = value.into();
        match self.notes.iter_mut().find(|note| note.name == name) {
            Some(note) => note.value = value,
            None => self.notes.push(Note { name, value }),
        }
    }

    /// Takes a fact back that is not true any more.
    pub fn retract(&mut self, name: &'static str) {
        self.notes.retain(|note| note.name != name);
    }

    /// What the plugins want in the access log.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Leaves `value` for the plugin's other roles, in place of an earlier one.
    pub fn put<T: Send + Sync + 'static>(&mut self, slot: Slot<T>, value: T) {
        self.slots.put(slot, value);
    }

    /// What was left in `slot`; none when that role did not run.
    pub fn peek<T: 'static>(&self, slot: Slot<T>) -> Option<&T> {
        self.slots.peek(slot)
    }

    /// Like [`peek`](Self::peek), to change the value in place.
    pub fn peek_mut<T: 'static>(&mut self, slot: Slot<T>) -> Option<&mut T> {
        self.slots.peek_mut(slot)
    }

    /// Takes what was left in `slot`.
    pub fn take<T: 'static>(&mut self, slot: Slot<T>) -> Option<T> {
        self.slots.take(slot)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("arrival", &self.arrival)
            .field("route", &self.route)
            .field("identity", &self.identity)
            .field("facts", &self.facts)
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}
