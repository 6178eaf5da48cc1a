//! The plugins that a request passes, by role.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::{request, response};
use penstock_config::Plugin;

use crate::ending::Ending;
use crate::exchange::Exchange;
use crate::request_id::RequestId;
use crate::role::{
    BodyFilter, BodyReader, CachePolicy, Observer, RequestFilter, ResponseFilter, Verdict,
};
use crate::slot::Slot;

/// The roles that one plugin fills. An object that fills several is shared by them.
#[derive(Clone, Default)]
pub struct Parts {
    /// Judges request heads.
    pub request: Option<Arc<dyn RequestFilter>>,
    /// Judges request bodies.
    pub body: Option<Arc<dyn BodyFilter>>,
    /// Sees answers.
    pub response: Option<Arc<dyn ResponseFilter>>,
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
    request: Box<[Arc<dyn RequestFilter>]>,
    body: Box<[Arc<dyn BodyFilter>]>,
    response: Box<[Arc<dyn ResponseFilter>]>,
    cache: Option<Arc<dyn CachePolicy>>,
    observers: Box<[Arc<dyn Observer>]>,
}

impl Chain {
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
        let filters = self.response.iter();
        Readers(
            filters
                .filter_map(|filter| filter.response(exchange, head))
                .collect(),
        )
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
pub struct Readers(Vec<Box<dyn BodyReader>>);

impl Readers {
    /// Whether nobody reads the body.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Shows a piece of the body to each reader; `last` with the final one.
    pub fn chunk(&mut self, exchange: &mut Exchange, chunk: &Bytes, last: bool) {
        for reader in &mut self.0 {
            reader.chunk(exchange, chunk, last);
        }
    }
}

/// A chain being put together. A clone shares the plugins that it already has, and
/// its later slots do not touch theirs.
#[derive(Clone, Default)]
pub struct ChainBuilder {
    parts: Vec<Parts>,
    slots: usize,
}

impl ChainBuilder {
    /// Adds plugins as configured.
    pub fn plugins(mut self, plugins: &[Plugin]) -> Self {
        for plugin in plugins {
            let parts = self.build_plugin(plugin);
            self.parts.push(parts);
        }
        self
    }

    /// Adds one plugin that is already built.
    pub fn part(mut self, parts: Parts) -> Self {
        self.parts.push(parts);
        self
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
        Chain {
            request: role(parts, |part| &part.request),
            body: role(parts, |part| &part.body),
            response: role(parts, |part| &part.response),
            cache: parts.iter().rev().find_map(|part| part.cache.clone()),
            observers: role(parts, |part| &part.observer),
        }
    }

    /// The only list of plugins: a variant of [`Plugin`] without an arm here does
    /// not compile.
    fn build_plugin(&mut self, plugin: &Plugin) -> Parts {
        match plugin {
            Plugin::RequestId(config) => Parts {
                request: Some(Arc::new(RequestId::new(config))),
                ..Parts::default()
            },
        }
    }
}
