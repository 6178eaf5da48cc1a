//! Limits on requests, tokens and concurrency.

#[cfg(test)]
mod tests;
mod written;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::field;
use crate::unit::{Name, Period, Text};

use written::Written;

/// Limits that are all applied to a request, or none of them: one that is refused
/// costs nothing in the others. 1 to 16 of them.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Limits(#[schemars(length(min = 1, max = 16))] Vec<Limit>);

impl Limits {
    const COUNT_MAX: usize = 16;

    /// The limits, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Limit> {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limits: Vec<Limit> = field::at_least_one(deserializer)?;
        if limits.len() > Self::COUNT_MAX {
            return Err(serde::de::Error::custom(format!(
                "{} limits are too many: write at most {}",
                limits.len(),
                Self::COUNT_MAX
            )));
        }
        Ok(Self(limits))
    }
}

/// One limit: how much of what, and who shares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub struct Limit {
    /// Name of the counters, in metrics, in refusals, and for keys that have a number of
    /// their own. Unique in the file.
    pub name: Name,
    /// How much.
    pub limit: u64,
    /// Of what.
    pub measure: Measure,
    /// Who shares a counter: requests that are alike in all these. Empty: everybody.
    pub by: Vec<Part>,
    /// What reaching the limit does.
    pub mode: Mode,
}

/// What a limit counts.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// Requests in a sliding window.
    Requests {
        /// Length of the window.
        per: Period,
        /// Whether to estimate, in memory that does not grow with the number of
        /// clients.
        estimate: bool,
    },
    /// Tokens in a sliding window.
    Tokens(Tokens),
    /// Requests at the same time.
    Concurrent,
}

/// How tokens are counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokens {
    /// Which of them.
    pub kind: TokenKind,
    /// Length of the window.
    pub per: Period,
    /// How many bytes of text are reserved a token for, 1 to 16.
    pub bytes_per_token: u8,
    /// What is reserved for an answer whose length the client does not limit.
    pub answer_tokens: u32,
}

/// Which of a request's tokens count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// All.
    Total,
    /// Those of the prompt.
    Prompt,
    /// Those of the answer.
    Completion,
}

/// What requests are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(
    rename_all = "snake_case",
    expecting = "one of `key`, `tenant`, `consumer`, `model`, `route`, `client`, or `claim: NAME`"
)]
pub enum Part {
    /// The key that the client showed, or the subject of its token.
    Key,
    /// The tenant whom the key belongs to.
    Tenant,
    /// The consumer who uses the key.
    Consumer,
    /// A claim of the token, or an entry of the key's metadata.
    Claim(Claim),
    /// The model that the body names. Clients invent names: let only known ones through
    /// (by the routes' `models`, or the keys'), or one client can use up the counters.
    Model,
    /// The route.
    Route,
    /// The client's address; of an IPv6 address its /64.
    Client,
}

/// Name of a claim: 1 to 128 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim(String);

crate::unit::text_value!(Claim, "a claim's name", {
    "type": "string",
    "title": "claim",
    "description": "Name of a claim of the token, or of an entry of the key's metadata.",
    "minLength": 1,
    "maxLength": 128,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
    "examples": ["team"]
});

impl Claim {
    const CHARS_MAX: usize = 128;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Claim {
    type Err = crate::unit::Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.chars().count());
        if fits && !text.chars().any(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        Err(crate::unit::Invalid::new(format!(
            "{} is not {}: write 1 to {} characters, no control characters",
            crate::unit::shown(text),
            Self::EXPECTED,
            Self::CHARS_MAX
        )))
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What reaching a limit does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", expecting = "`enforce` or `shadow`")]
pub enum Mode {
    /// The request is refused.
    #[default]
    Enforce,
    /// The request is let through and counted as one that would have been refused.
    Shadow,
}
