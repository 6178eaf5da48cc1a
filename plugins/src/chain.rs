//! The plugins that a request passes, by role.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::{request, response};
use penstock_config::plugin::AttemptHeaders;
use penstock_config::unit::Name;
use penstock_config::{Config, Plugin, Server};

use crate::authenticate::Authenticate;
use crate::authorize::Authorize;
use crate::build::{Materials, PluginError};
use crate::cache::{Cache, Store};
use crate::ending::Ending;
use crate::exchange::Exchange;
use crate::headers;
use crate::limits::Limits;
use crate::request_id::RequestId;
use crate::role::{
    Authenticator, BodyFilter, BodyReader, CachePolicy, Observer, Reading, RequestFilter,
    ResponseFilter, Tagger, Verdict,
};
use crate::shared::Shared;
use crate::slot::Slot;
use crate::waf::Waf;

/// The roles that one plugin fills. An object that fills several is shared by them.
#[derive(Clone, Default)]
pub struct Parts {
    /// Its kind, if a chain has only one of it: a later one takes the place of an
    /// earlier one, and so a route's that of the global chain. Not for a plugin with a
    /// tagger or an authenticator: the global one has run by the time that the route is
    /// known.
    pub replaces: Option<&'static str>,
    /// What the file calls it; the builder fills it in.
    pub name: &'static str,
    /// Gives requests names of their own.
    pub tagger: Option<Arc<dyn Tagger>>,
    /// Establishes who a request comes from.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Judges request heads.
    pub request: Option<Arc<dyn RequestFilter>>,
    /// Judges request bodies.
    pub body: Option<Arc<dyn BodyFilter>>,
    /// Sees answers.
    pub response: Option<Arc<dyn ResponseFilter>>,
    /// What clients are told of attempts, by who makes them.
    pub attempt_headers: Option<AttemptHeaders>,
    /// Decides which requests share an answer.
    pub cache: Option<Arc<dyn CachePolicy>>,
    /// Hears how exchanges end.
    pub observer: Option<Arc<dyn Observer>>,
}

/// The plugins of a route in the order of the file, the global chain's first. A role
/// that nobody fills is an empty slice.
///
/// Routes share the plugins of the global chain, and a route without plugins of its
/// own shares the whole chain. The router is not here but in the
/// [`Route`](crate::routes::Route), which cannot be built without one.
#[derive(Default)]
pub struct Chain {
    taggers: Box<[Arc<dyn Tagger>]>,
    authenticators: Box<[Arc<dyn Authenticator>]>,
    request: Box<[Arc<dyn RequestFilter>]>,
    body: Box<[Arc<dyn BodyFilter>]>,
    response: Box<[Arc<dyn ResponseFilter>]>,
    attempt_headers: Option<AttemptHeaders>,
    cache: Option<Arc<dyn CachePolicy>>,
    observers: Box<[Arc<dyn Observer>]>,
    entries: Box<[Entry]>,
}

/// A plugin of a chain and when it runs, as an operator is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the file calls it.
    pub name: &'static str,
    /// Whether it belongs to the route alone.
    pub is_own: bool,
    /// When it runs, in that order.
    pub phases: Box<[Phase]>,
}

/// When a plugin runs. A request goes through these in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before anything else.
    Tag,
    /// Before a route is looked for.
    Authenticate,
    /// When the head is here.
    Request,
    /// When the body is here in full.
    Body,
    /// When the answer is looked for in the cache, and stored there.
    Cache,
    /// When the answer begins, and while it streams.
    Response,
    /// At the end, whatever it was.
    End,
}

impl Phase {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Authenticate => "authenticate",
            Self::Request => "request",
            Self::Body => "body",
            Self::Cache => "cache",
            Self::Response => "response",
            Self::End => "end",
        }
    }
}

impl Parts {
    /// When it runs.
    fn phases(&self) -> Box<[Phase]> {
        let phases = [
            (self.tagger.is_some(), Phase::Tag),
            (self.authenticator.is_some(), Phase::Authenticate),
            (self.request.is_some(), Phase::Request),
            (self.body.is_some(), Phase::Body),
            (self.cache.is_some(), Phase::Cache),
            (
                self.response.is_some() || self.attempt_headers.is_some(),
                Phase::Response,
            ),
            (self.observer.is_some(), Phase::End),
        ];
        let filled = phases.into_iter().filter(|(filled, _)| *filled);
        filled.map(|(_, phase)| phase).collect()
    }
}

impl Chain {
    /// Asks the authenticators in order, until one refuses, and the taggers before them:
    /// what is refused has its names. Those of the global chain are only in the
    /// [chain of all requests](crate::RouteTable::global), where they run before the route
    /// is known, and not in the chains of routes: so each runs once.
    pub fn authenticate(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict {
        for tagger in &self.taggers {
            tagger.tag(exchange, head);
        }
        self.authenticators
            .iter()
            .try_for_each(|authenticator| authenticator.authenticate(exchange, head))
    }

    /// Whether it has authenticators.
    pub fn authenticates(&self) -> bool {
        !self.authenticators.is_empty()
    }

    /// The plugins in order, with those of the global chain, and when they run.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Asks the request filters in order, until one refuses.
    pub fn request(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict {
        self.request
            .iter()
            .try_for_each(|filter| filter.request(exchange, head))
    }

    /// Whether the request's body must be read whole before it is sent upstream.
    pub fn needs_body(&self) -> bool {
        !self.body.is_empty() || self.cache.is_some()
    }

    /// Asks the body filters in order, until one refuses.
    pub fn body(&self, exchange: &mut Exchange, head: &request::Parts, body: &Bytes) -> Verdict {
        self.body
            .iter()
            .try_for_each(|filter| filter.body(exchange, head, body))
    }

    /// Shows the answer's head to the response filters in order. Returns what wants
    /// to see the body.
    pub fn response(&self, exchange: &mut Exchange, head: &response::Parts) -> Readers {
        let mut readers = Readers::default();
        for filter in &self.response {
            if let Some(Reading { reader, rewrites }) = filter.response(exchange, head) {
                readers.readers.push(reader);
                readers.rewrites |= rewrites;
            }
        }
        readers
    }

    /// What clients are told of the attempts to answer them, if anything.
    pub fn attempt_headers(&self) -> Option<&AttemptHeaders> {
        self.attempt_headers.as_ref()
    }

    /// The cache policy, if the route has one: the last of the file's order.
    pub fn cache(&self) -> Option<&dyn CachePolicy> {
        self.cache.as_deref()
    }

    /// Tells the observers in order how the exchange ended. To be called exactly once
    /// for an exchange.
    pub fn ended(&self, exchange: &mut Exchange, ending: &Ending<'_>) {
        for observer in &self.observers {
            observer.ended(exchange, ending);
        }
    }
}

/// The readers of one answer's body. Without any it owns no memory.
#[derive(Default)]
pub struct Readers {
    readers: Vec<Box<dyn BodyReader>>,
    rewrites: bool,
}

impl Readers {
    /// Whether nobody reads the body.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Whether the body that the client gets may be another than the upstream's.
    pub fn rewrites(&self) -> bool {
        self.rewrites
    }

    /// Passes a piece of the body through each reader; `last` with the final one. Gives
    /// what the client gets.
    pub fn chunk(&mut self, exchange: &mut Exchange, chunk: Bytes, last: bool) -> Bytes {
        let length = chunk.len();
        let readers = self.readers.iter_mut();
        let chunk = readers.fold(chunk, |chunk, reader| reader.chunk(exchange, chunk, last));
        debug_assert!(self.rewrites || chunk.len() == length, "nobody said so");
        chunk
    }
}

/// A chain being put together. A clone shares the plugins that it already has, and
/// its later slots do not touch theirs.
#[derive(Clone, Default)]
pub struct ChainBuilder {
    parts: Vec<Parts>,
    slots: usize,
    /// How many of the parts, from the first, have run their authenticators already.
    authenticated: usize,
    /// What is fixed until a restart.
    server: Server,
    /// The names of all limits, of this chain and of others.
    limits: Arc<BTreeSet<Name>>,
    /// Whether it is the chain of one route.
    is_route: bool,
}

impl ChainBuilder {
    /// A chain without plugins, in this configuration. The default is an empty one.
    pub fn new(config: &Config) -> Self {
        let routes = config.routes.iter().flat_map(|route| &route.chain);
        let limits = config.chain.iter().chain(routes).filter_map(|plugin| {
            let Plugin::Limits(limits) = plugin else {
                return None;
            };
            Some(limits.iter().map(|limit| limit.name.clone()))
        });
        Self {
            server: config.server.clone(),
            limits: Arc::new(limits.flatten().collect()),
            ..Self::default()
        }
    }

    /// Adds plugins as configured.
    ///
    /// # Errors
    /// Every plugin that cannot be built, by its place among `plugins`, and why.
    pub fn plugins(
        mut self,
        plugins: &[Plugin],
        shared: &Shared,
        materials: &dyn Materials,
    ) -> Result<Self, Vec<(usize, PluginError)>> {
        let mut errors = Vec::new();
        for (index, plugin) in plugins.iter().enumerate() {
            match self.build_plugin(plugin, shared, materials) {
                Ok(parts) => self.add(Parts {
                    name: plugin.name(),
                    ..parts
                }),
                Err(error) => errors.push((index, error)),
            }
        }
        if errors.is_empty() {
            Ok(self)
        } else {
            Err(errors)
        }
    }

    /// The beginning of a route's chain: the same plugins, whose authenticators have run
    /// when the route is known.
    pub fn for_route(&self) -> Self {
        Self {
            authenticated: self.parts.len(),
            is_route: true,
            ..self.clone()
        }
    }

    /// Adds one plugin that is already built.
    pub fn part(mut self, parts: Parts) -> Self {
        self.add(parts);
        self
    }

    /// Adds a plugin, or puts it where the earlier one of its kind is.
    fn add(&mut self, parts: Parts) {
        let kind = parts.replaces;
        let earlier = self
            .parts
            .iter_mut()
            .find(|earlier| earlier.replaces == kind);
        match earlier {
            Some(earlier) if kind.is_some() => *earlier = parts,
            _ => self.parts.push(parts),
        }
    }

    /// A new place in the exchanges of this chain for a plugin's state.
    pub fn slot<T>(&mut self) -> Slot<T> {
        let slot = Slot::new(self.slots);
        self.slots += 1;
        slot
    }

    /// The chain.
    pub fn build(&self) -> Chain {
        fn role<T: ?Sized>(
            parts: &[Parts],
            of: impl Fn(&Parts) -> &Option<Arc<T>>,
        ) -> Box<[Arc<T>]> {
            parts.iter().filter_map(|part| of(part).clone()).collect()
        }
        let parts = &self.parts;
        let own = parts.get(self.authenticated..).unwrap_or_default();
        Chain {
            taggers: role(own, |part| &part.tagger),
            authenticators: role(own, |part| &part.authenticator),
            request: role(parts, |part| &part.request),
            body: role(parts, |part| &part.body),
            response: role(parts, |part| &part.response),
            attempt_headers: parts.iter().find_map(|part| part.attempt_headers.clone()),
            cache: parts.iter().rev().find_map(|part| part.cache.clone()),
            observers: role(parts, |part| &part.observer),
            entries: parts
                .iter()
                .enumerate()
                .map(|(place, part)| Entry {
                    name: part.name,
                    is_own: self.is_route && place >= self.authenticated,
                    phases: part.phases(),
                })
                .collect(),
        }
    }

    /// The only list of plugins: a variant of [`Plugin`] without an arm here does
    /// not compile.
    fn build_plugin(
        &mut self,
        plugin: &Plugin,
        shared: &Shared,
        materials: &dyn Materials,
    ) -> Result<Parts, PluginError> {
        Ok(match plugin {
            Plugin::Limits(config) => Limits::build(config, shared),
            Plugin::RequestId(config) => Parts {
                tagger: Some(Arc::new(RequestId::new(config))),
                ..Parts::default()
            },
            Plugin::AttemptHeaders(config) => Parts {
                replaces: Some("attempt_headers"),
                attempt_headers: Some(config.clone()),
                ..Parts::default()
            },
            Plugin::Headers(config) => headers::parts(config),
            Plugin::Authenticate(config) => {
                Authenticate::build(config, &self.limits, shared, materials)?
            }
            Plugin::Authorize(config) => Authorize::build(config),
            Plugin::Cache(config) => {
                let capacity = self.server.cache.capacity.bytes();
                let store = shared.keep("cache", "store", || Store::new(capacity));
                Parts {
                    cache: Some(Arc::new(Cache::new(config, store))),
                    ..Parts::default()
                }
            }
            Plugin::Waf(config) => Waf::parts(config, shared, self.slot()),
        })
    }
}
