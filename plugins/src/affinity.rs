//! What requests have in common that stay together.

use bytes::Bytes;
use http::request;
use penstock_config::upstream::Affinity;

use crate::balance::hash;
use crate::exchange::Exchange;

/// The number that requests share which are alike in this: the same in every process. None
/// for a request that has no such thing, or an empty one. `body` is the client's, as far as it
/// was read.
pub fn key(
    affinity: &Affinity,
    exchange: &Exchange,
    head: &request::Parts,
    body: &[Bytes],
) -> Option<u64> {
    let value = match affinity {
        Affinity::Header(name) => head.headers.get(name.as_ref())?.as_bytes(),
        Affinity::Consumer => exchange.identity()?.consumer.as_bytes(),
        Affinity::Tenant => exchange.identity()?.tenant.as_bytes(),
        Affinity::Prompt(prompt) => {
            let bytes = usize::try_from(prompt.bytes).unwrap_or(usize::MAX);
            return exchange.facts()?.opening(body, exchange.model(), bytes);
        }
        Affinity::Claim(name) => exchange.identity()?.metadata.get(name.as_str())?.as_bytes(),
    };
    (!value.is_empty()).then(|| hash(value))
}
