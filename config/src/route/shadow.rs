//! Requests that are also sent elsewhere, where nobody waits for the answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::{Duration, ModelName, Name, Size};

/// A copy of a share of the requests for another upstream, which is thereby tried with real
/// traffic. It is sent once the request is there in full, marked with
/// `x-penstock-shadow: 1` and with that upstream's credentials; the headers in which clients
/// present theirs are taken out, cookies included. Its answer is read and thrown away. The
/// client's own request neither waits for it nor changes with it; its body is kept until all
/// of it has passed. What the copy uses is charged to no limit, and how it goes counts for
/// the health of its endpoint.
/// Upgrades are not copied. A shutdown cuts the copies that are under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// An upstream of this file.
    pub upstream: Name,
    /// How many of a hundred requests are copied, 0 to 100; 0 turns it off. Requests that
    /// are refused or answered from the cache are not counted.
    #[serde(deserialize_with = "field::within::<_, _, 0, 100>")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: u8,
    /// Model name that replaces the client's in the copy. Default: what the client asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// How many copies of this route may be under way at the same time, 1 to 1000000; past
    /// that a request is not copied. Default: 32.
    #[serde(
        default = "concurrent",
        deserialize_with = "field::within::<_, _, 1, 1_000_000>"
    )]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent: u32,
    /// Requests with a larger body are not copied. Default: `1MiB`.
    #[serde(default = "body")]
    pub body: Size,
    /// How much of an answer is read; a larger one is cut off. Default: `16MiB`.
    #[serde(default = "answer")]
    pub answer: Size,
    /// How long a copy may take, connection and answer included. The upstream's own
    /// timeouts hold as well. Default: `2m`.
    #[serde(default = "timeout")]
    pub timeout: Duration,
}

const fn concurrent() -> u32 {
    32
}

const fn body() -> Size {
    Size::kib(1024)
}

const fn answer() -> Size {
    Size::kib(16 * 1024)
}

const fn timeout() -> Duration {
    Duration::seconds(2 * 60)
}
