//! The built-in router: a weighted split.

use http::request;
use penstock_config::unit::ModelName;

use crate::exchange::Exchange;
use crate::role::Router;
use crate::split::Distribution;

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
