//! A limit as it stands in the file: one mapping, in which a few keys exclude others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limit, Measure, Mode, Part, TokenKind, Tokens};
use crate::field;
use crate::unit::{Count, Name, Period};

const BYTES_PER_TOKEN: u8 = 2;
const ANSWER_TOKENS: u32 = 4096;

/// One limit: how much of what, and who shares it. Exactly one of `requests`, `tokens`,
/// `prompt_tokens`, `completion_tokens` and `concurrent`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Limit")]
pub(super) struct Written {
    /// Name of the counters, in metrics, in refusals, and for keys that have a number
    /// of their own. Unique in the file. The counters survive a reload as long as name,
    /// window, `by` and what is counted stay the same; the number may change.
    name: Name,
    /// This many requests in a window. Those that the chain refuses do not count.
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, { Count::MAX }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    requests: Option<u64>,
    /// This many tokens in a window, of prompts and answers together. An estimate is
    /// reserved before a request is sent and replaced by the real usage when the answer
    /// has ended, so that requests under way at the same time cannot spend the same
    /// budget. Where the answer tells no usage, the estimate counts.
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, { Count::MAX }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    tokens: Option<u64>,
    /// This many tokens of prompts in a window.
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, { Count::MAX }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    prompt_tokens: Option<u64>,
    /// This many tokens of answers in a window.
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, { Count::MAX }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    completion_tokens: Option<u64>,
    /// This many requests at the same time.
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, { Count::MAX }>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    concurrent: Option<u64>,
    /// Length of the sliding window, `1s` to `31d`. Whatever window of this length one
    /// looks at, there is never more in it than the limit; what was spent is forgotten
    /// up to a sixty-fourth of the window late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per: Option<Period>,
    /// Who shares a counter: requests that are alike in all these. Requests that lack
    /// one (no key, no such claim) are alike in that. Empty: everybody shares one. A
    /// limit has room for 262,144 counters; when all are in use, a request that needs
    /// one more is refused with 503.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by: Vec<Part>,
    /// What reaching the limit does. Default: `enforce`.
    #[serde(default)]
    mode: Mode,
    /// For `requests` by `client` alone: count approximately, in 2 MiB however many
    /// addresses there are (pingora-limits' count-min sketch; never too few from one
    /// address within a window, somewhat too many when there are very many addresses,
    /// and the window before counts in proportion). Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    estimate: bool,
    /// For limits on tokens: one token is reserved for so many bytes of text in the
    /// request, 1 to 16. Text seldom has fewer than two bytes per token, so that with 2
    /// a reservation is hardly ever too small; English prose has about 4. Default: 2.
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, 16>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 16))]
    bytes_per_token: Option<u8>,
    /// For limits on tokens: so many are reserved for an answer whose length the client
    /// does not limit itself, 1 to 1000000: as many as the longest answers have. When less
    /// than that is left, such requests are let in one at a time. Default: 4096.
    #[serde(
        default,
        deserialize_with = "field::optional_within::<_, _, 1, 1_000_000>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1_000_000))]
    answer_tokens: Option<u32>,
}

/// What is counted, before it is known over which window.
#[derive(Clone, Copy)]
enum Counted {
    Requests,
    Tokens(TokenKind),
    Concurrent,
}

impl TryFrom<Written> for Limit {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let (counted, limit) = written.counted()?;
        let measure = written.measure(counted)?;
        if let Some(twice) = twice(&written.by) {
            return Err(format!("`by` names `{twice}` twice"));
        }
        Ok(Self {
            name: written.name,
            limit,
            measure,
            by: written.by,
            mode: written.mode,
        })
    }
}

impl Written {
    fn counted(&self) -> Result<(Counted, u64), String> {
        let counts = [
            (Counted::Requests, self.requests),
            (Counted::Tokens(TokenKind::Total), self.tokens),
            (Counted::Tokens(TokenKind::Prompt), self.prompt_tokens),
            (
                Counted::Tokens(TokenKind::Completion),
                self.completion_tokens,
            ),
            (Counted::Concurrent, self.concurrent),
        ];
        let mut given = counts
            .into_iter()
            .filter_map(|(counted, limit)| Some((counted, limit?)));
        match (given.next(), given.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err("a limit needs one of the keys `requests`, `tokens`, \
                `prompt_tokens`, `completion_tokens` and `concurrent`"
                .to_owned()),
            (Some(_), Some(_)) => Err("a limit counts one thing: write a second limit for the \
                other"
                .to_owned()),
        }
    }

    fn measure(&self, counted: Counted) -> Result<Measure, String> {
        let per = || {
            let missing =
                || "the key `per` is missing: write the window, as in `per: 1m`".to_owned();
            self.per.ok_or_else(missing)
        };
        if !matches!(counted, Counted::Tokens(_)) {
            let only_tokens = [
                ("bytes_per_token", self.bytes_per_token.is_some()),
                ("answer_tokens", self.answer_tokens.is_some()),
            ];
            if let Some((key, _)) = only_tokens.iter().find(|(_, given)| *given) {
                return Err(format!("`{key}` belongs to limits on tokens"));
            }
        }
        let by_client = matches!(self.by.as_slice(), [Part::Client]);
        if self.estimate && !(matches!(counted, Counted::Requests) && by_client) {
            return Err("`estimate` is for `requests` with `by: [client]`".to_owned());
        }
        Ok(match counted {
            Counted::Requests => Measure::Requests {
                per: per()?,
                estimate: self.estimate,
            },
            Counted::Tokens(kind) => Measure::Tokens(Tokens {
                kind,
                per: per()?,
                bytes_per_token: self.bytes_per_token.unwrap_or(BYTES_PER_TOKEN),
                answer_tokens: self.answer_tokens.unwrap_or(ANSWER_TOKENS),
            }),
            Counted::Concurrent if self.per.is_some() => {
                return Err("`concurrent` has no window: remove `per`".to_owned());
            }
            Counted::Concurrent => Measure::Concurrent,
        })
    }
}

fn twice(parts: &[Part]) -> Option<String> {
    let mut sorted: Vec<&Part> = parts.iter().collect();
    sorted.sort();
    sorted.windows(2).find_map(|pair| match pair {
        [Part::Claim(a), Part::Claim(b)] if a == b => Some(a.to_string()),
        [a, b] if a == b => Some(format!("{a:?}").to_lowercase()),
        _ => None,
    })
}

impl From<Limit> for Written {
    fn from(limit: Limit) -> Self {
        let Limit {
            name,
            limit,
            measure,
            by,
            mode,
        } = limit;
        let mut written = Self {
            name,
            requests: None,
            tokens: None,
            prompt_tokens: None,
            completion_tokens: None,
            concurrent: None,
            per: None,
            by,
            mode,
            estimate: false,
            bytes_per_token: None,
            answer_tokens: None,
        };
        match measure {
            Measure::Requests { per, estimate } => {
                written.requests = Some(limit);
                written.per = Some(per);
                written.estimate = estimate;
            }
            Measure::Concurrent => written.concurrent = Some(limit),
            Measure::Tokens(tokens) => {
                *match tokens.kind {
                    TokenKind::Total => &mut written.tokens,
                    TokenKind::Prompt => &mut written.prompt_tokens,
                    TokenKind::Completion => &mut written.completion_tokens,
                } = Some(limit);
                written.per = Some(tokens.per);
                written.bytes_per_token = Some(tokens.bytes_per_token);
                written.answer_tokens = Some(tokens.answer_tokens);
            }
        }
        written
    }
}
