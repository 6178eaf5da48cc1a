//! What is given up first when memory or descriptors run short.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::Size;

/// What becomes of new work when memory or descriptors run short. Both are looked at twenty
/// times a second, and connections and requests are counted as they come.
///
/// From `shed_at` on, new requests are answered with 503 and `Retry-After` in the dialect of
/// their client, HTTP/1 connections are closed with that, and connections that have been idle
/// for a second are closed, the longest idle first. From `pause_at` on, no more connections
/// are accepted: they wait in the kernel's queue. Requests that are under way go on. When the
/// pressure is gone, so is all of this. Counted in `penstock_shed_total` by cause; the state
/// is `penstock_overload_level`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Overload {
    /// Memory that the process may be resident in, `64MiB` to `1024GiB`. Bodies of requests
    /// that are kept may take a quarter of it, since one can be there twice while it is read
    /// and sent; past that a request with a body is answered with 503. Default: the least of
    /// what the cgroup (both versions), the limit of the address space and the machine allow.
    #[serde(
        deserialize_with = "optional_memory",
        skip_serializing_if = "Option::is_none"
    )]
    pub memory: Option<Size>,
    /// Descriptors that the process may have open, 64 to 1000000000, if that is less than
    /// what the system allows. A request that is sent on needs two: its client's and its
    /// upstream's. Idle connections to upstreams get at most an eighth. Default: what the
    /// system allows; the binary raises its soft limit to the hard one when it starts.
    #[serde(
        deserialize_with = "field::optional_within::<_, _, 64, 1_000_000_000>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 64, max = 1_000_000_000))]
    pub descriptors: Option<u32>,
    /// Percent of either from which on new requests are refused, 10 to 99. Default: 90. It is
    /// left again five points lower.
    #[serde(deserialize_with = "field::within::<_, _, 10, 99>")]
    #[schemars(range(min = 10, max = 99))]
    pub shed_at: u8,
    /// Percent of either from which on no connections are accepted, more than `shed_at` and at
    /// most 100. What is above it is left to upstreams, the admin listener and files. Default:
    /// 95, which Envoy's documentation has for the memory at which it takes no more.
    #[serde(deserialize_with = "field::within::<_, _, 11, 100>")]
    #[schemars(range(min = 11, max = 100))]
    pub pause_at: u8,
}

fn optional_memory<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Size>, D::Error> {
    field::size_within::<_, { 64 << 20 }, { 1 << 40 }>(deserializer).map(Some)
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            memory: None,
            descriptors: None,
            shed_at: 90,
            pause_at: 95,
        }
    }
}
