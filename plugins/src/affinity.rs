//! What requests have in common that stay together.

use http::request;
use penstock_config::upstream::Affinity;

use crate::balance::hash;
use crate::exchange::Exchange;

/// The number that requests share which are alike in this: the same in every process. None
/// for a request that has no such thing, or an empty one.
pub fn key(affinity: &Affinity, exchange: &Exchange, head: &request::Parts) -> Option<u64> {
    let value = match affinity {
        Affinity::Header(name) => head.headers.get(name.as_ref())?.as_bytes(),
        Affinity::Consumer => exchange.identity()?.consumer.as_bytes(),
        Affinity::Tenant => exchange.identity()?.tenant.as_bytes(),
        Affinity::Claim(name) => exchange.identity()?.metadata.get(name.as_str())?.as_bytes(),
    };
    (!value.is_empty()).then(|| hash(value))
}
