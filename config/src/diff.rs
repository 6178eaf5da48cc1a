//! What differs between two configurations, in words.
//!
//! Parts with names are compared by their names, and lists by what tells their elements
//! apart, so that a route that moved is not one that went and one that came. Of equal
//! parts nothing is looked at twice: ten thousand routes are compared in milliseconds.

mod order;
mod value;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write};
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::Value;

use crate::route::{Fallback, Route, Target};
use crate::unit::{Duration, ModelName, Name};
use crate::upstream::{Credential, Endpoint, Upstream};
use crate::{Config, Plugin, Server, server};
use order::{Step, steps};

/// What a reload would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    changes: Vec<Change>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The part of the file that it is in.
    pub subject: Subject,
    /// What of that part, dotted as in `match.methods`; empty for the part itself.
    pub key: String,
    /// What became of it.
    pub what: What,
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// What is fixed until a restart: a reload that changes it is refused.
    Server,
    /// A listener's certificates, and what it asks of clients.
    Listener(SocketAddr),
    /// Where addresses are.
    GeoIp,
    /// An upstream.
    Upstream(Name),
    /// The plugins of all routes.
    Chain,
    /// A route.
    Route(Name),
}

/// What became of a thing. Values are as the file writes them, long ones cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It was not there.
    Added(String),
    /// It is there no more.
    Removed(String),
    /// It stands at another place, counted from 1.
    Moved {
        /// Where it stood.
        from: usize,
        /// Where it stands.
        to: usize,
    },
    /// It has another value.
    Changed {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
}

impl Diff {
    /// Compares two configurations.
    pub fn new(old: &Config, new: &Config) -> Self {
        let mut diff = Self::default();
        if old.server != new.server {
            let fixed = server::fixed(&old.server, &new.server);
            diff.fields(&Subject::Server, "", &old.server, &*fixed);
            diff.listeners(&old.server, &new.server);
            if diff.changes.is_empty() {
                // A value that JSON cannot show, as a path that is not UTF-8.
                let (from, to) = ("…".to_owned(), "…".to_owned());
                diff.note(&Subject::Server, "", What::Changed { from, to });
            }
        }
        diff.option(&Subject::GeoIp, "", old.geoip.as_ref(), new.geoip.as_ref());
        diff.upstreams(&old.upstreams, &new.upstreams);
        diff.chain(&Subject::Chain, &old.chain, &new.chain);
        diff.routes(&old.routes, &new.routes);
        diff
    }

    /// The differences, in the order of the file's parts.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether the configurations are equal.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether something differs that a reload cannot change.
    pub fn needs_restart(&self) -> bool {
        self.changes
            .iter()
            .any(|change| change.subject == Subject::Server)
    }

    /// How many parts of each kind differ, in a line: `1 upstream added, 2 routes
    /// changed`. Of equal configurations: `no change`.
    pub fn summary(&self) -> String {
        let mut counts: BTreeMap<(Kind, Fate), usize> = BTreeMap::new();
        let mut last = None;
        for change in &self.changes {
            let fate = change.fate();
            // The changes of a part stand together: each part is counted once.
            if last == Some((&change.subject, fate)) {
                continue;
            }
            last = Some((&change.subject, fate));
            *counts.entry((change.subject.kind(), fate)).or_default() += 1;
        }
        if counts.is_empty() {
            return "no change".to_owned();
        }
        let mut text = String::new();
        for ((kind, fate), count) in counts {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = match kind {
                Kind::Server => write!(text, "{comma}server changed"),
                Kind::Listener => write!(text, "{comma}{}", counted(count, "listener", fate)),
                Kind::GeoIp => write!(text, "{comma}geoip changed"),
                Kind::Chain => write!(text, "{comma}chain changed"),
                Kind::Upstream => write!(text, "{comma}{}", counted(count, "upstream", fate)),
                Kind::Route => write!(text, "{comma}{}", counted(count, "route", fate)),
            };
        }
        text
    }

    fn note(&mut self, subject: &Subject, key: impl Into<String>, what: What) {
        self.changes.push(Change {
            subject: subject.clone(),
            key: key.into(),
            what,
        });
    }

    /// Compares two values of one type, key by key.
    fn fields<T: Serialize>(&mut self, subject: &Subject, key: &str, old: &T, new: &T) {
        let (Ok(old), Ok(new)) = (serde_json::to_value(old), serde_json::to_value(new)) else {
            return;
        };
        value::compare(key, Some(&old), Some(&new), &mut |key, what| {
            self.note(subject, key, what);
        });
    }

    /// Compares two values of one type that may not be there.
    fn option<T>(&mut self, subject: &Subject, key: &str, old: Option<&T>, new: Option<&T>)
    where
        T: Serialize,
    {
        let json = |value: Option<&T>| value.and_then(|value| serde_json::to_value(value).ok());
        value::compare(
            key,
            json(old).as_ref(),
            json(new).as_ref(),
            &mut |key, what| {
                self.note(subject, key, what);
            },
        );
    }

    fn listeners(&mut self, old: &Server, new: &Server) {
        for (old, new) in old.listen.iter().zip(&new.listen) {
            let tls = old.tls.as_ref().zip(new.tls.as_ref());
            if let Some((was, is)) = tls.filter(|(was, is)| was != is) {
                self.fields(&Subject::Listener(old.address), "tls", was, is);
            }
        }
    }

    fn upstreams(&mut self, old: &BTreeMap<Name, Upstream>, new: &BTreeMap<Name, Upstream>) {
        for (name, upstream) in old {
            let subject = Subject::Upstream(name.clone());
            match new.get(name) {
                None => self.note(&subject, "", What::Removed(String::new())),
                Some(now) if now != upstream => self.upstream(&subject, upstream, now),
                Some(_) => {}
            }
        }
        for (name, upstream) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            let endpoints = upstream.endpoints.iter().map(endpoint_label);
            let what = What::Added(value::cut(&endpoints.collect::<Vec<_>>().join(", ")));
            self.note(&Subject::Upstream(name.clone()), "", what);
        }
    }

    fn upstream(&mut self, subject: &Subject, old: &Upstream, new: &Upstream) {
        let address = |endpoint: &Endpoint| endpoint.address.to_string();
        self.list(subject, "endpoint", &old.endpoints, &new.endpoints, address);
        let was: HashMap<_, _> = old
            .endpoints
            .iter()
            .map(|endpoint| (&endpoint.address, endpoint))
            .collect();
        for is in &new.endpoints {
            if let Some(was) = was.get(&is.address) {
                self.endpoint(subject, was, is);
            }
        }
        let label = |credential: &Credential| match &credential.name {
            Some(name) => format!("{name}: {credential}"),
            None => credential.to_string(),
        };
        let (was, is) = (&old.credentials, &new.credentials);
        self.list(subject, "credential", was, is, label);
        for credential in is {
            let same = |was: &&Credential| label(was) == label(credential);
            let weight = was.iter().find(same).map(|was| was.weight);
            let Some(weight) = weight.filter(|weight| *weight != credential.weight) else {
                continue;
            };
            let (from, to) = (weight.to_string(), credential.weight.to_string());
            let key = format!("weight of credential `{}`", label(credential));
            self.note(subject, key, What::Changed { from, to });
        }
        let rest = |upstream: &Upstream| Upstream {
            endpoints: Vec::new(),
            credentials: Vec::new(),
            ..upstream.clone()
        };
        self.fields(subject, "", &rest(old), &rest(new));
    }

    fn endpoint(&mut self, subject: &Subject, was: &Endpoint, is: &Endpoint) {
        let some = |endpoint: &Endpoint| {
            [
                ("weight", Some(endpoint.weight.to_string())),
                ("zone", endpoint.zone.as_ref().map(ToString::to_string)),
                ("max_requests", endpoint.max_requests.map(|n| n.to_string())),
            ]
        };
        for ((name, old), (_, new)) in some(was).into_iter().zip(some(is)) {
            let what = match (old, new) {
                (old, new) if old == new => continue,
                (Some(from), Some(to)) => What::Changed { from, to },
                (None, Some(new)) => What::Added(new),
                (Some(old), None) => What::Removed(old),
                (None, None) => continue,
            };
            let key = format!("{name} of endpoint `{}`", is.address);
            self.note(subject, key, what);
        }
    }

    /// What came and went of a list whose order means nothing.
    fn list<T>(
        &mut self,
        subject: &Subject,
        what: &str,
        old: &[T],
        new: &[T],
        label: impl Fn(&T) -> String,
    ) {
        let (old, new): (Vec<_>, Vec<_>) = (
            old.iter().map(&label).collect(),
            new.iter().map(&label).collect(),
        );
        for step in steps(&old, &new) {
            match step {
                Step::Gone(at) => {
                    let name = old.get(at).map(String::as_str).unwrap_or_default();
                    let key = format!("{what} `{name}`");
                    self.note(subject, key, What::Removed(String::new()));
                }
                Step::Come(at) => {
                    let name = new.get(at).map(String::as_str).unwrap_or_default();
                    let key = format!("{what} `{name}`");
                    self.note(subject, key, What::Added(String::new()));
                }
                Step::Moved { .. } | Step::Stayed { .. } => {}
            }
        }
    }

    fn chain(&mut self, subject: &Subject, old: &[Plugin], new: &[Plugin]) {
        if old == new {
            return;
        }
        let (old, new) = (plugins(old), plugins(new));
        let (names, now): (Vec<_>, Vec<_>) = (
            old.iter().map(|(name, _)| name).collect(),
            new.iter().map(|(name, _)| name).collect(),
        );
        for step in steps(&names, &now) {
            match step {
                Step::Gone(at) => {
                    let Some((name, _)) = old.get(at) else {
                        continue;
                    };
                    self.note(subject, plugin_key(name), What::Removed(String::new()));
                }
                Step::Come(at) => {
                    let Some((name, _)) = new.get(at) else {
                        continue;
                    };
                    let place = format!("at place {}", at + 1);
                    self.note(subject, plugin_key(name), What::Added(place));
                }
                Step::Moved { from, to } | Step::Stayed { from, to } => {
                    let (Some((name, was)), Some((_, is))) = (old.get(from), new.get(to)) else {
                        continue;
                    };
                    if matches!(step, Step::Moved { .. }) {
                        let (from, to) = (from + 1, to + 1);
                        self.note(subject, plugin_key(name), What::Moved { from, to });
                    }
                    let key = plugin_key(name);
                    value::compare(&key, Some(was), Some(is), &mut |key, what| {
                        self.note(subject, key, what);
                    });
                }
            }
        }
    }

    fn routes(&mut self, old: &[Route], new: &[Route]) {
        if old == new {
            return;
        }
        let names = |routes: &[Route]| routes.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
        for step in steps(&names(old), &names(new)) {
            match step {
                Step::Gone(at) => {
                    let Some(route) = old.get(at) else { continue };
                    let subject = Subject::Route(route.name.clone());
                    self.note(&subject, "", What::Removed(String::new()));
                }
                Step::Come(at) => {
                    let Some(route) = new.get(at) else { continue };
                    let subject = Subject::Route(route.name.clone());
                    let place = format!("at place {}, to {}", at + 1, shares(&route.split));
                    self.note(&subject, "", What::Added(value::cut(&place)));
                }
                Step::Moved { from, to } | Step::Stayed { from, to } => {
                    let (Some(was), Some(is)) = (old.get(from), new.get(to)) else {
                        continue;
                    };
                    if matches!(step, Step::Moved { .. }) {
                        let (from, to) = (from + 1, to + 1);
                        let subject = Subject::Route(is.name.clone());
                        self.note(&subject, "", What::Moved { from, to });
                    }
                    if was != is {
                        self.route(was, is);
                    }
                }
            }
        }
    }

    fn route(&mut self, old: &Route, new: &Route) {
        let subject = Subject::Route(new.name.clone());
        self.fields(&subject, "match", &old.matches, &new.matches);
        self.chain(&subject, &old.chain, &new.chain);
        self.split(&subject, &old.split, &new.split);
        self.option(&subject, "sticky", old.sticky.as_ref(), new.sticky.as_ref());
        if old.fallback != new.fallback {
            let (from, to) = (fallback(&old.fallback), fallback(&new.fallback));
            self.note(&subject, "fallback", What::Changed { from, to });
        }
        if old.attempts() != new.attempts() {
            let (from, to) = (old.attempts().to_string(), new.attempts().to_string());
            self.note(&subject, "attempts", What::Changed { from, to });
        }
        if old.deadline != new.deadline {
            let shown = |deadline: &Option<Duration>| {
                deadline.map_or_else(|| "none".to_owned(), |time| time.to_string())
            };
            let (from, to) = (shown(&old.deadline), shown(&new.deadline));
            self.note(&subject, "deadline", What::Changed { from, to });
        }
        self.fields(&subject, "retry", &old.retry, &new.retry);
        self.option(&subject, "hedge", old.hedge.as_ref(), new.hedge.as_ref());
        let (was, is) = (&old.on_disconnect, &new.on_disconnect);
        self.fields(&subject, "on_disconnect", was, is);
        self.option(&subject, "shadow", old.shadow.as_ref(), new.shadow.as_ref());
    }

    fn split(&mut self, subject: &Subject, old: &[Target], new: &[Target]) {
        if old == new {
            return;
        }
        let labels = |split: &[Target]| split.iter().map(target_label).collect::<Vec<_>>();
        let (was, is) = (labels(old), labels(new));
        if was != is {
            let (from, to) = (value::cut(&shares(old)), value::cut(&shares(new)));
            self.note(subject, "split", What::Changed { from, to });
            return;
        }
        let weights = |split: &[Target]| {
            let weights = split.iter().map(|target| target.weight.to_string());
            value::cut(&weights.collect::<Vec<_>>().join("/"))
        };
        let key = match is.as_slice() {
            [only] => format!("weight of {only}"),
            _ => format!("weights of {}", value::cut(&is.join("/"))),
        };
        let (from, to) = (weights(old), weights(new));
        self.note(subject, key, What::Changed { from, to });
    }
}

/// The plugins of a chain with their names; one that stands there again has its number
/// in the name.
fn plugins(chain: &[Plugin]) -> Vec<(String, Value)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let named = chain.iter().map(|plugin| {
        let name = plugin.name().to_owned();
        let settings = match serde_json::to_value(plugin) {
            Ok(Value::Object(mut entries)) => entries.remove(&name).unwrap_or_default(),
            _ => Value::Null,
        };
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        match *count {
            1 => (name, settings),
            n => (format!("{name} #{n}"), settings),
        }
    });
    named.collect()
}

fn plugin_key(name: &str) -> String {
    format!("plugin `{name}`")
}

fn endpoint_label(endpoint: &Endpoint) -> String {
    match endpoint.weight.get() {
        1 => endpoint.address.to_string(),
        weight => format!("{} (weight {weight})", endpoint.address),
    }
}

fn target_label(target: &Target) -> String {
    label(&target.upstream, target.model.as_ref())
}

fn label(upstream: &Name, model: Option<&ModelName>) -> String {
    match model {
        Some(model) => format!("{upstream} as {model}"),
        None => upstream.to_string(),
    }
}

fn fallback(targets: &[Fallback]) -> String {
    let labels = targets
        .iter()
        .map(|target| label(&target.upstream, target.model.as_ref()));
    match targets {
        [] => "none".to_owned(),
        _ => value::cut(&labels.collect::<Vec<_>>().join(", ")),
    }
}

fn shares(split: &[Target]) -> String {
    let shares = split
        .iter()
        .map(|target| format!("{} {}", target_label(target), target.weight));
    match split {
        [only] => target_label(only),
        _ => shares.collect::<Vec<_>>().join(", "),
    }
}

/// Parts of one kind are counted together in a summary, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Server,
    Listener,
    GeoIp,
    Upstream,
    Chain,
    Route,
}

/// What became of a part as a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Added,
    Removed,
    Moved,
    Changed,
}

fn counted(count: usize, noun: &str, fate: Fate) -> String {
    let plural = if count == 1 { "" } else { "s" };
    let verb = match fate {
        Fate::Added => "added",
        Fate::Removed => "removed",
        Fate::Moved => "moved",
        Fate::Changed => "changed",
    };
    format!("{count} {noun}{plural} {verb}")
}

impl Change {
    fn fate(&self) -> Fate {
        match &self.what {
            _ if !self.key.is_empty() => Fate::Changed,
            // Only routes move as a whole; the server and the chain never come or go.
            What::Added(_) => Fate::Added,
            What::Removed(_) => Fate::Removed,
            What::Moved { .. } => Fate::Moved,
            What::Changed { .. } => Fate::Changed,
        }
    }
}

impl Subject {
    fn kind(&self) -> Kind {
        match self {
            Self::Server => Kind::Server,
            Self::Listener(_) => Kind::Listener,
            Self::GeoIp => Kind::GeoIp,
            Self::Upstream(_) => Kind::Upstream,
            Self::Chain => Kind::Chain,
            Self::Route(_) => Kind::Route,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Listener(address) => write!(f, "listener {address}"),
            Self::GeoIp => f.write_str("geoip"),
            Self::Upstream(name) => write!(f, "upstream `{name}`"),
            Self::Chain => f.write_str("chain"),
            Self::Route(name) => write!(f, "route `{name}`"),
        }
    }
}

impl fmt::Display for Change {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, key, what } = self;
        match (subject, key.as_str()) {
            (subject, "") => write!(f, "{subject} ")?,
            (Subject::Server, key) => write!(f, "server.{key} ")?,
            (subject, key) => write!(f, "{subject}: {key} ")?,
        }
        match what {
            What::Added(how) if how.is_empty() => f.write_str("added")?,
            What::Added(how) if self.key.is_empty() => write!(f, "added: {how}")?,
            What::Added(how) => write!(f, "added ({how})")?,
            What::Removed(how) if how.is_empty() => f.write_str("removed")?,
            What::Removed(how) => write!(f, "removed (was {how})")?,
            What::Moved { from, to } => write!(f, "moved from place {from} to place {to}")?,
            What::Changed { from, to } => write!(f, "{from} → {to}")?,
        }
        match subject {
            Subject::Server => f.write_str(" (needs a restart)"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Diff {
    /// A line for each difference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes
            .iter()
            .try_for_each(|change| writeln!(f, "{change}"))
    }
}
