//! Requests that are sent a second time while the first endpoint has not answered.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::unit::{Duration, Invalid, Percent, shown, text_value};

/// A second attempt beside the first one, when that is slow (Dean and Barroso, *The Tail at
/// Scale*, 2013: hedged requests). The first of the two to produce output is the client's
/// answer, as `retry.first_token` says when that is, but that of an answer in one piece its
/// head counts as well. The other one is cancelled at once, and nothing of it is charged to
/// any limit.
///
/// It goes to another endpoint of the same target, if one may be sent requests, and else to
/// the next target of `fallback`, with that one's model. A request has one at most, and it is
/// one of the route's `attempts`, of which there must be two. It is made where working twice
/// on a request does no harm, as `attempts` says, and not for upgrades. If the first attempt
/// fails, the second one takes its place; one that fails while the first goes on is not told
/// to the client. The one that is cancelled says nothing of the health of its endpoint. A TLS
/// handshake of the first one is waited for, within `timeouts.connect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hedge {
    /// How long the first attempt has: a time, as in `800ms`, or a percentile such as `p95`,
    /// from `p1` to `p99`, of the times that the first attempts of this route's requests
    /// took lately. That is the last one or two thousand of them, counted for each process,
    /// through reloads; as long as fewer than 100 are known, nothing is sent twice.
    pub after: HedgeAfter,
    /// How many of the requests may be sent twice, in percent, 1 to 100. What is not used is
    /// saved up, for ten at most, and so many may be at the start. It is shared by the
    /// generations of the configuration. Default: 10.
    #[serde(default = "max_percent", deserialize_with = "at_least_one_percent")]
    #[schemars(range(min = 1, max = 100))]
    pub max_percent: Percent,
}

fn max_percent() -> Percent {
    Percent::try_from(10).unwrap_or_default()
}

fn at_least_one_percent<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Percent, D::Error> {
    let percent: u8 = crate::field::within::<_, _, 1, 100>(deserializer)?;
    Percent::try_from(percent).map_err(serde::de::Error::custom)
}

/// How long a first attempt has before there is a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// So long.
    Time(Duration),
    /// As long as so many of a hundred took.
    Percentile(u8),
}

text_value!(HedgeAfter, "a duration such as `800ms`, or a percentile such as `p95`", {
    "type": "string",
    "title": "time or percentile",
    "description": "A length of time with its unit (ms, s, m or h), or a percentile from p1 to p99.",
    "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h)|p[1-9][0-9]?)$",
    "examples": ["800ms", "2s", "p95"]
});

impl FromStr for HedgeAfter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(number) = text.strip_prefix('p') else {
            return text.parse().map(Self::Time);
        };
        match number.parse() {
            Ok(percent @ 1..=99) if !number.starts_with(['0', '+']) => {
                Ok(Self::Percentile(percent))
            }
            _ => Err(Invalid::new(format!(
                "{} is not a percentile: write `p1` to `p99`",
                shown(text)
            ))),
        }
    }
}

impl fmt::Display for HedgeAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => time.fmt(f),
            Self::Percentile(percent) => write!(f, "p{percent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_a_percentile() {
        for text in ["800ms", "2s", "p1", "p95", "p99"] {
            let after: HedgeAfter = text.parse().unwrap();
            assert_eq!(after.to_string(), text);
        }
        for text in [
            "p0", "p100", "p", "p+5", "p05", "p9.5", "95", "P95", "", "0s",
        ] {
            assert!(text.parse::<HedgeAfter>().is_err(), "{text}");
        }
    }
}
