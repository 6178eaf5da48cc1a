//! Which requests go where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::plugin::Plugin;
use crate::server::Priority;
use crate::unit::{
    Attempts, Country, Duration, ErrorStatus, Glob, HeaderName, Method, ModelName, Name, Weight,
};
use crate::upstream::Affinity;

mod disconnect;
mod hedge;
mod shadow;

pub use disconnect::{Drain, OnDisconnect};
pub use hedge::{Hedge, HedgeAfter};
pub use shadow::Shadow;

/// One rule: what it matches, and where that goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name in logs and metrics, unique in the file.
    pub name: Name,
    /// What a request must be like. Default: any request.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// Plugins that run after those of the global chain, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Plugin>,
    /// Where the requests go, in proportion to the weights. At least one target.
    #[serde(deserialize_with = "field::at_least_one")]
    #[schemars(length(min = 1))]
    pub split: Vec<Target>,
    /// What requests have in common that keep to one target of the split: the same user
    /// gets the same one, in every process and after every restart. When weights change, a
    /// request moves from one target to another only if the other's weight has grown in
    /// relation to the first's, so that raising the weight of one target moves requests to
    /// it alone, and no more of them than its share grows by; a target that is added or
    /// removed is one whose weight was or becomes 0. A target is known by its `upstream` and
    /// `model`; the order in the file does not matter. (Weighted rendezvous hashing with
    /// SipHash-1-3 under the key zero.) A request that lacks what is asked for takes its
    /// turn by weight. Whoever chooses the value (a header's is the client's
    /// choice) chooses the target. Default: every request takes its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Affinity>,
    /// Where a request goes on to that failed at the target chosen from `split`, in this
    /// order: other upstreams, or other models of the same. At most 9. It goes on when no
    /// endpoint of the present target may be sent it, when all of them have failed it, when
    /// the upstream's `retry_budget` allows no other one of them, or when only so many
    /// `attempts` are left as there are targets to come, so that each gets one. What fails
    /// at the last target is tried again at its endpoints with the attempts that are left.
    ///
    /// The first attempt at another upstream costs none of its `retry_budget`: to that one it
    /// is a request like any other. Limits and what a key may use go by the model that the
    /// client asked for, and no answer of a fallback is kept by the cache. Default: none.
    #[serde(
        default,
        deserialize_with = "field::short_list::<_, _, 9>",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 9))]
    pub fallback: Vec<Fallback>,
    /// How many endpoints are tried before the client gets an error, 1 to 10, at all
    /// targets together: with a `fallback`, at least one more than it has targets.
    /// A request is tried again only while nothing of an answer has reached the client:
    /// after a connection that could not be made, and, where working twice on it does no
    /// harm, after one that broke and after what `retry` counts as a failure. That is
    /// where models are asked, and for the methods that promise it (GET, PUT and others,
    /// not POST). With `1` the request body streams through without being kept.
    /// Default: 2, or as many as there are targets to go through with a `fallback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// Which requests go first when `server.overload.concurrency` is reached, unless a role of
    /// the client says otherwise. Default: `normal`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    /// Longest time from the arrival of a request's head to the beginning of its answer, as
    /// `retry.first_token` says when that is: the arrival of the body, all attempts and all
    /// targets of `fallback` together. Then the attempt under way ends, no other one is made,
    /// and the client gets 504 with the code `deadline_exceeded`. An answer that has begun
    /// takes as long as it takes. Request bodies are kept for it, with one attempt as well.
    /// An upgrade, such as a WebSocket's, has no deadline. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
    /// What counts as a failed attempt, besides a connection that cannot be made or
    /// breaks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// A second attempt at another endpoint, made while the first one is slow. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Hedge>,
    /// What becomes of a request whose client has gone before the end of the answer. With
    /// `cancel` the upstream is left at once. With `drain` its answer is read on and thrown
    /// away, so that token limits settle with what it states; until then the request holds
    /// its place in limits of concurrency, and a shutdown waits for it, no longer than
    /// `server.drain_timeout`. A request with `drain` has its body kept, is not tried again
    /// once its client has gone, and counts as `client_gone`. Default: `cancel`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_disconnect: OnDisconnect,
    /// Another upstream that gets a copy of some of the requests. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

impl Route {
    /// How many endpoints are tried.
    pub fn attempts(&self) -> Attempts {
        self.attempts
            .unwrap_or_else(|| Attempts::covering(self.fallback.len() + 1))
    }
}

/// What counts as a failed attempt, besides a connection that fails, and a stream of a
/// model that ends, breaks or tells of an error before its first output. It matters while
/// there is an attempt left: the last one's answer is passed on whatever it is. So is
/// that of an attempt after which the upstream's `retry_budget` is spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// Answers with these statuses. Empty: none. Default: 429, 500, 502, 503 and 504.
    #[serde(deserialize_with = "field::short_list::<_, _, 200>")]
    #[schemars(length(max = 200))]
    pub statuses: Vec<ErrorStatus>,
    /// An answer that has not begun after this time, counted for each attempt from its
    /// beginning, the connection and the request's body included. A stream begins with its
    /// first token: what comes before it (roles, announcements, pings) is held back until
    /// then. An answer of a model in one JSON object begins when it is there in full, or
    /// 256 KiB of it are. Only requests with a body have this limit. The last attempt has
    /// the upstream's `timeouts` alone. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token: Option<Duration>,
}

impl Default for Retry {
    fn default() -> Self {
        let statuses = [429, 500, 502, 503, 504];
        Self {
            statuses: statuses
                .into_iter()
                .filter_map(|status| status.try_into().ok())
                .collect(),
            first_token: None,
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a request must be like; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The path, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// Any of these methods. Empty: every method.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// Each of these headers has a value that the pattern matches.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<HeaderName, Glob>,
    /// The model matches any of these: the one that a path like Azure's
    /// `/openai/deployments/{model}/chat/completions` names, else the `model` field of
    /// the JSON body. Empty: neither is looked at. A request without a model does not
    /// match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Glob>,
    /// The client's address is in any of these countries, by the database under `geoip`,
    /// which must be there. It is the address that limits by `client` count: of whoever
    /// connects, or whom a trusted proxy names (`server.clients`). One that the database does
    /// not know is in none of them. Empty: every address. At most 250.
    #[serde(
        deserialize_with = "field::short_list::<_, _, 250>",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 250))]
    pub countries: Vec<Country>,
}

/// How a path is matched. Exactly one of the three.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "snake_case",
    expecting = "one of the keys `exact`, `prefix` and `glob`, as in `prefix: /v1`"
)]
pub enum PathMatch {
    /// The whole path, byte for byte.
    Exact(
        #[serde(deserialize_with = "field::request_path")]
        #[schemars(regex(pattern = "^/"))]
        String,
    ),
    /// The path or its leading segments: `/v1` matches `/v1` and `/v1/models`, not `/v10`.
    Prefix(
        #[serde(deserialize_with = "field::request_path")]
        #[schemars(regex(pattern = "^/"))]
        String,
    ),
    /// `*` stands for anything within a segment, `**` for anything.
    Glob(#[serde(deserialize_with = "field::path_pattern")] Glob),
}

/// One share of a route's requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// An upstream of this file.
    pub upstream: Name,
    /// Share of the requests, relative to the other targets; 0 turns the target off.
    /// Default: 1.
    #[serde(default)]
    pub weight: Weight,
    /// Model name that replaces the client's in the request body; only that field is edited.
    /// A request without a `model` field is left as it is, and so is a model in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
}

/// Where requests go on to that have failed elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// An upstream of this file.
    pub upstream: Name,
    /// Model name that replaces the client's in the request body, as in `split`. Default: the
    /// body keeps the model that the client asks for, whatever the target before it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
}
