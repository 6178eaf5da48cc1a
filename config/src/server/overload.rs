//! What is given up first when memory or descriptors run short.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::{Duration, Identifier, Size};

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
    /// Requests that may be at upstreams at once, in the whole process, 1 to 1000000. Others
    /// wait in the `queue`, those of the class `high` first, then `normal`, then `low`, and
    /// within a class those of each tenant in turn. Answers from the cache take no place, and
    /// neither does a body that is still arriving, where the route keeps bodies. Default: none,
    /// and nobody waits: what the proxy itself can carry is bounded by memory and descriptors,
    /// and what upstreams can is known to nobody but their operator.
    #[serde(
        deserialize_with = "field::optional_within::<_, _, 1, 1_000_000>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
    /// Percent of `concurrency` that is kept for requests of the class `high`, 0 to 90; one
    /// place is left to the others in any case. Default: 10.
    #[serde(deserialize_with = "field::within::<_, _, 0, 90>")]
    #[schemars(range(min = 0, max = 90))]
    pub reserved: u8,
    /// Who waits, and how long, when `concurrency` is reached.
    pub queue: Queue,
}

/// Requests that wait for others to end. One that finds no room in the queue or whose time is
/// over is answered with 503 and `Retry-After`; one whose client leaves frees its place. A
/// reload changes nothing for those who wait.
///
/// A request is `high`, `normal` or `low` as its route's `priority` says, unless its client has
/// a role that is named here, by its key or its token; and as the header
/// `x-penstock-priority` says, if the client has a role that may use it. Others may send the
/// header and it says nothing. It never goes upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// Requests that may wait in each class, 0 to 1000000. Default: 1024. Their bodies are in
    /// memory where the route keeps them.
    #[serde(deserialize_with = "field::within::<_, _, 0, 1_000_000>")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub length: u32,
    /// How many of them may be of one tenant, or of one address where nobody is known, 1 to
    /// 1000000. Default: 256, a quarter, so that no tenant fills a queue alone.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_tenant: u32,
    /// Longest wait. Default: `5s`, well within the time after which SDKs of model APIs try
    /// again by themselves.
    pub timeout: Duration,
    /// Roles whose requests are `high`, at most 32. Default: none.
    #[serde(deserialize_with = "field::short_list::<_, _, 32>")]
    #[schemars(length(max = 32))]
    pub high_roles: Vec<Identifier>,
    /// Roles whose requests are `low`, at most 32. Default: none.
    #[serde(deserialize_with = "field::short_list::<_, _, 32>")]
    #[schemars(length(max = 32))]
    pub low_roles: Vec<Identifier>,
    /// Roles that may say the class of a request in `x-penstock-priority`, at most 32.
    /// Default: none.
    #[serde(deserialize_with = "field::short_list::<_, _, 32>")]
    #[schemars(length(max = 32))]
    pub header_roles: Vec<Identifier>,
}

/// Which requests go first when not all can.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others, and in places that are kept for them.
    High,
    /// After those.
    #[default]
    Normal,
    /// When nobody else waits.
    Low,
}

impl Priority {
    /// All, first to last.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            length: 1024,
            per_tenant: 256,
            timeout: Duration::seconds(5),
            high_roles: Vec::new(),
            low_roles: Vec::new(),
            header_roles: Vec::new(),
        }
    }
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
            concurrency: None,
            reserved: 10,
            queue: Queue::default(),
        }
    }
}
