//! The built-in routers: a weighted split in turn, and one in which users keep their target.

use http::request;
use penstock_config::unit::{ModelName, Name};
use penstock_config::upstream::Affinity;

use crate::affinity;
use crate::balance::hash;
use crate::exchange::Exchange;
use crate::role::Router;
use crate::split::{Distribution, Rendezvous};

/// An upstream's place in the configuration's `upstreams`, sorted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub usize);

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The set of endpoints to choose from.
    pub upstream: UpstreamId,
    /// What the body's `model` field is replaced by; none leaves it alone.
    pub model: Option<ModelName>,
}

/// Each target gets its share of the requests; the request itself does not matter.
impl Router for Distribution<Target> {
    fn target(&self, _: &Exchange, _: &request::Parts) -> &Target {
        self.pick()
    }

    fn targets(&self) -> Vec<(f64, &Target)> {
        self.shares().collect()
    }
}

/// Requests that have this in common get the same target; those without it take turns.
pub(crate) struct Sticky {
    /// What they have in common.
    pub(crate) by: Affinity,
    /// Whose target is which.
    pub(crate) keyed: Rendezvous<Target>,
    /// For the others.
    pub(crate) turns: Distribution<Target>,
}

impl Router for Sticky {
    fn target(&self, exchange: &Exchange, head: &request::Parts) -> &Target {
        match affinity::key(&self.by, exchange, head, &[]) {
            Some(key) => self.keyed.pick(key),
            None => self.turns.pick(),
        }
    }

    fn targets(&self) -> Vec<(f64, &Target)> {
        self.turns.shares().collect()
    }
}

/// The number that a target is known by: the same in every process, whatever other targets
/// and upstreams there are.
pub(crate) fn seed(upstream: &Name, model: Option<&ModelName>) -> u64 {
    match model {
        None => hash(upstream.as_str().as_bytes()),
        // No name holds a control character, so that no two pairs run into each other.
        Some(model) => hash(format!("{upstream}\0{model}").as_bytes()),
    }
}
