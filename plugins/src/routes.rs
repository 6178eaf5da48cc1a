//! Which route a request takes: the first of the file that matches.
//!
//! A file may have 10,000 routes. Exact paths are found by hash, prefixes and patterns
//! by the segments that they begin with, so that only routes whose path can match are
//! looked at further; and those of them that differ in their models alone are found by
//! the model's name or beginning. Whatever the way to them, the route that stands first in
//! the file wins. A lookup allocates nothing.

mod condition;
mod index;
mod models;
mod path;
mod pattern;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::request;
use penstock_config::route::{self, Retry};
use penstock_config::unit::{Duration, ModelName, Name};
use penstock_config::upstream::Affinity;
use penstock_config::{Config, Plugin, Upstream};

use crate::build::{BuildError, Cause, Materials, PluginError};
use crate::chain::{Chain, ChainBuilder};
use crate::geoip::Countries;
use crate::role::Router;
use crate::router::{self, Sticky, Target, UpstreamId};
use crate::shared::Shared;
use crate::split::{Distribution, NoWeight, Rendezvous, Turns};
use condition::{Answer, Asked, Model, Origin};
use index::Index;

/// The routes of one generation, in the order of the file.
pub struct RouteTable {
    routes: Box<[Route]>,
    index: Index,
    countries: Option<Arc<Countries>>,
    global: Chain,
}

/// What a request's head says about its route.
#[derive(Clone, Copy, Debug)]
pub enum Found<'t> {
    /// This route, whatever the body holds.
    Route(&'t Route),
    /// The body's `model` decides: look it up and ask
    /// [`find_with_model`](RouteTable::find_with_model).
    NeedsModel,
    /// No route matches, whatever the body holds.
    None,
}

impl RouteTable {
    /// Builds the routes of a configuration, their chains and their splits. What must
    /// survive a reload is found in `shared`.
    ///
    /// # Errors
    ///
    /// Everything that cannot be built: plugins, and routes that name an upstream that
    /// does not exist, have no target of a weight above zero, or have an authenticator of
    /// their own where a route matches by model.
    pub fn new(
        config: &Config,
        shared: &Shared,
        materials: &dyn Materials,
    ) -> Result<Self, Vec<BuildError>> {
        let mut errors = Vec::new();
        let global = ChainBuilder::new(config)
            .plugins(&config.chain, shared, materials)
            .unwrap_or_else(|failed| {
                errors.extend(failed.into_iter().map(|failed| plugin_error(None, failed)));
                ChainBuilder::new(config)
            });
        let upstreams: Vec<_> = config.upstreams.iter().collect();
        let plain = Arc::new(global.for_route().build());
        let by_model = config
            .routes
            .iter()
            .any(|route| !route.matches.models.is_empty());
        let mut routes = Vec::with_capacity(config.routes.len());
        for (index, route) in config.routes.iter().enumerate() {
            let chain = match route.chain.as_slice() {
                [] => Ok(Arc::clone(&plain)),
                own => own_chain(&global, route, own, by_model, shared, materials),
            };
            match chain.and_then(|chain| Route::new(index, route, chain, &upstreams, shared)) {
                Ok(route) => routes.push(route),
                Err(failed) => errors.extend(failed),
            }
        }
        let countries = config.geoip.as_ref().map(|geoip| {
            let read = Countries::read(geoip, shared, materials);
            read.map_err(|error| errors.push(BuildError::of_all(Cause::GeoIp(error))))
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let matches = config.routes.iter().map(|route| &route.matches);
        Ok(Self {
            routes: routes.into(),
            index: Index::new(matches),
            countries: countries.and_then(Result::ok),
            global: global.build(),
        })
    }

    /// The route of a request from this address, as far as its head decides it. It asks for
    /// the model only when a route that depends on it comes before all that surely match.
    pub fn find(&self, head: &request::Parts, client: Option<IpAddr>) -> Found<'_> {
        match self.first(head, client, Model::Unknown) {
            Some((route, Answer::Yes)) => Found::Route(route),
            Some(_) => Found::NeedsModel,
            None => Found::None,
        }
    }

    /// The route of a request whose body's `model` is known, or known not to be
    /// there.
    pub fn find_with_model(
        &self,
        head: &request::Parts,
        client: Option<IpAddr>,
        model: Option<&str>,
    ) -> Option<&Route> {
        self.first(head, client, Model::Known(model))
            .map(|(route, _)| route)
    }

    /// The route at a place in the file, counted from zero.
    pub fn get(&self, index: usize) -> Option<&Route> {
        self.routes.get(index)
    }

    /// All routes, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Route> {
        self.routes.iter()
    }

    /// The global chain. Its authenticators see every request before a route is looked
    /// for. The rest of it is for requests that no route matches: it may name them and
    /// hear of them; there is nowhere to send them.
    pub fn global(&self) -> &Chain {
        &self.global
    }

    /// The first route that matches or may match.
    fn first(
        &self,
        head: &request::Parts,
        client: Option<IpAddr>,
        model: Model<'_>,
    ) -> Option<(&Route, Answer)> {
        let origin = Origin::new(self.countries.as_deref(), client);
        let asked = Asked {
            head,
            model,
            origin: &origin,
        };
        let (place, answer) = self.index.first(asked)?;
        Some((self.routes.get(place)?, answer))
    }
}

impl<'t> IntoIterator for &'t RouteTable {
    type Item = &'t Route;
    type IntoIter = std::slice::Iter<'t, Route>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One route, ready to serve.
pub struct Route {
    name: Arc<Name>,
    index: usize,
    chain: Arc<Chain>,
    router: Box<dyn Router>,
    fallback: Box<[Target]>,
    attempts: usize,
    retry: Retry,
    deadline: Option<Duration>,
    shadow: Option<Target>,
    needs_facts: bool,
}

impl Route {
    fn new(
        index: usize,
        route: &route::Route,
        chain: Arc<Chain>,
        upstreams: &[(&Name, &Upstream)],
        shared: &Shared,
    ) -> Result<Self, Vec<BuildError>> {
        let refuse = |cause| {
            let route = Some(route.name.clone());
            vec![BuildError { route, cause }]
        };
        let split = split(route, upstreams, shared).map_err(refuse)?;
        let built = |upstream: &Name, model: &Option<ModelName>| {
            target(upstream, model.as_ref(), upstreams).map_err(refuse)
        };
        let fallback = route.fallback.iter();
        let fallback = fallback.map(|to| built(&to.upstream, &to.model));
        let fallback: Box<[_]> = fallback.collect::<Result<_, _>>()?;
        let shadow = route.shadow.as_ref();
        let shadow = shadow
            .map(|to| built(&to.upstream, &to.model))
            .transpose()?;
        let needs_facts = split
            .targets()
            .chain(&fallback)
            .chain(&shadow)
            .any(|target| target.model.is_some() || goes_by_prompt(target, upstreams));
        Ok(Self {
            name: Arc::new(route.name.clone()),
            index,
            chain,
            router: router(route, split).map_err(refuse)?,
            fallback,
            attempts: route.attempts().get(),
            retry: route.retry.clone(),
            deadline: route.deadline,
            shadow,
            needs_facts: needs_facts || !route.matches.models.is_empty(),
        })
    }

    /// Name in logs and metrics.
    pub fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn name_shared(&self) -> &Arc<Name> {
        &self.name
    }

    /// Place in the file, counted from zero.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The plugins: the global ones, then the route's own. Of the authenticators it has
    /// only the route's own: the others have run by now.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What decides where each request goes.
    pub fn router(&self) -> &dyn Router {
        &*self.router
    }

    /// Where requests go on to that have failed, in order. One of them may be the target
    /// that was chosen.
    pub fn fallback(&self) -> &[Target] {
        &self.fallback
    }

    /// What counts as a failed attempt.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Longest time from a request's head to the beginning of its answer.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Where copies of some requests go, if any do.
    pub fn shadow(&self) -> Option<&Target> {
        self.shadow.as_ref()
    }

    /// How many endpoints may be tried for one request, at least one.
    pub fn attempts(&self) -> usize {
        self.attempts
    }

    /// Whether the body must be looked into: the route is chosen by its `model`, or a target
    /// replaces it, or an endpoint is chosen by its prompt.
    pub fn needs_facts(&self) -> bool {
        self.needs_facts
    }

    /// Whether the body must be read whole before it is sent anywhere: for its
    /// model or its prompt, for a body filter or for the cache.
    pub fn needs_body(&self) -> bool {
        self.needs_facts || self.chain.needs_body()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({} `{}`)", self.index, self.name)
    }
}

/// The targets of a route in turn. Its turns go on where an earlier generation's are, so that
/// shares are exact over any number of reloads.
fn split(
    route: &route::Route,
    upstreams: &[(&Name, &Upstream)],
    shared: &Shared,
) -> Result<Distribution<Target>, Cause> {
    let targets = route.split.iter().map(|share| {
        let target = target(&share.upstream, share.model.as_ref(), upstreams)?;
        Ok((share.weight, target))
    });
    let targets: Vec<_> = targets.collect::<Result<_, _>>()?;
    let split = Distribution::new(targets).map_err(|NoWeight| Cause::NoWeight)?;
    if split.targets().len() == 1 {
        return Ok(split);
    }
    let turns = shared.keep("split", route.name.as_str(), Turns::default);
    Ok(split.continuing(turns))
}

/// What decides where the requests of a route go.
fn router(route: &route::Route, turns: Distribution<Target>) -> Result<Box<dyn Router>, Cause> {
    let Some(by) = &route.sticky else {
        return Ok(Box::new(turns));
    };
    let on = route.split.iter().filter(|target| target.weight.get() > 0);
    let keyed = on.zip(turns.targets()).map(|(written, target)| {
        let seed = router::seed(&written.upstream, written.model.as_ref());
        (written.weight, seed, target.clone())
    });
    let keyed = Rendezvous::new(keyed).map_err(|NoWeight| Cause::NoWeight)?;
    Ok(Box::new(Sticky {
        by: by.clone(),
        keyed,
        turns,
    }))
}

/// A target of the file with its upstream found.
fn target(
    upstream: &Name,
    model: Option<&ModelName>,
    upstreams: &[(&Name, &Upstream)],
) -> Result<Target, Cause> {
    let place = upstreams
        .binary_search_by(|(name, _)| (*name).cmp(upstream))
        .map_err(|_| Cause::UnknownUpstream(upstream.clone()))?;
    Ok(Target {
        upstream: UpstreamId(place),
        model: model.cloned(),
    })
}

/// Whether the endpoints of a target are chosen by the prompt.
fn goes_by_prompt(target: &Target, upstreams: &[(&Name, &Upstream)]) -> bool {
    let UpstreamId(place) = target.upstream;
    let upstream = upstreams.get(place);
    let affinity = upstream.and_then(|(_, upstream)| upstream.affinity.as_ref());
    matches!(affinity, Some(Affinity::Prompt(_)))
}

/// The chain of a route that has plugins of its own.
fn own_chain(
    global: &ChainBuilder,
    route: &route::Route,
    own: &[Plugin],
    by_model: bool,
    shared: &Shared,
    materials: &dyn Materials,
) -> Result<Arc<Chain>, Vec<BuildError>> {
    let name = || Some(route.name.clone());
    let built = global.for_route().plugins(own, shared, materials);
    let chain = match built {
        Ok(builder) => builder.build(),
        Err(failed) => {
            let failed = failed.into_iter();
            return Err(failed.map(|failed| plugin_error(name(), failed)).collect());
        }
    };
    if by_model && chain.authenticates() {
        // No byte of a body is read for a client whom nobody knows.
        return Err(vec![BuildError {
            route: name(),
            cause: Cause::LateAuthenticator,
        }]);
    }
    Ok(Arc::new(chain))
}

fn plugin_error(route: Option<Name>, (index, error): (usize, PluginError)) -> BuildError {
    BuildError {
        route,
        cause: Cause::Plugin { index, error },
    }
}
