//! How a client stands with its limits, told in the headers that its SDK reads.
//!
//! OpenAI's are `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, where a reset is
//! a duration such as `6m0s` (OpenAI, "Rate limits in headers"); Anthropic's are
//! `anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`,
//! where a reset is a time (Anthropic, "Rate limits: Response headers"; RFC 3339).

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::dialect::Dialect;

/// What a limit is on, as headers tell limits apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Requests,
    Tokens,
    PromptTokens,
    CompletionTokens,
}

/// One limit as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u64,
    pub(super) left: u64,
    /// How long until all of it is left, if nothing else is taken.
    pub(super) reset: Duration,
}

/// The tightest limit of each class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standings([Option<Standing>; 4]);

impl Standings {
    /// Notes a limit, if no other of its class has less left.
    pub(super) fn note(&mut self, class: Class, standing: Standing) {
        let [requests, tokens, prompt, completion] = &mut self.0;
        let place = match class {
            Class::Requests => requests,
            Class::Tokens => tokens,
            Class::PromptTokens => prompt,
            Class::CompletionTokens => completion,
        };
        if place.is_none_or(|other| standing.left < other.left) {
            *place = Some(standing);
        }
    }

    /// The headers that tell of them at a time since the epoch.
    pub(super) fn headers(
        &self,
        dialect: Dialect,
        now: Duration,
        mut tell: impl FnMut(HeaderName, HeaderValue),
    ) {
        match dialect {
            Dialect::Anthropic => {
                for (names, standing) in ANTHROPIC.into_iter().zip(self.0) {
                    let Some(standing) = standing else { continue };
                    tell_one(names, standing, date(now + standing.reset), &mut tell);
                }
            }
            Dialect::OpenAi | Dialect::Plain => {
                let [requests, tokens @ ..] = self.0;
                let tokens = tokens.into_iter().flatten().min_by_key(|one| one.left);
                for (names, standing) in OPENAI.into_iter().zip([requests, tokens]) {
                    let Some(standing) = standing else { continue };
                    tell_one(names, standing, duration(standing.reset), &mut tell);
                }
            }
        }
    }
}

/// Names of the headers for limit, remaining and reset.
type Names = [&'static str; 3];

const OPENAI: [Names; 2] = [
    [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ],
    [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ],
];

const ANTHROPIC: [Names; 4] = [
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ],
    [
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ],
    [
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ],
];

fn tell_one(
    [limit, remaining, reset]: Names,
    standing: Standing,
    reset_value: String,
    tell: &mut impl FnMut(HeaderName, HeaderValue),
) {
    tell(HeaderName::from_static(limit), standing.limit.into());
    tell(HeaderName::from_static(remaining), standing.left.into());
    // Digits, letters and `-:.` are a header's value.
    if let Ok(value) = HeaderValue::try_from(reset_value) {
        tell(HeaderName::from_static(reset), value);
    }
}

/// A duration as Go writes it, and so OpenAI: `17ms`, `1s`, `6m0s`, `1h0m0s`. Rounded up
/// to milliseconds below a second, else to seconds.
fn duration(duration: Duration) -> String {
    let ms = duration.as_nanos().div_ceil(1_000_000);
    if ms < 1000 {
        return match ms {
            0 => "0s".to_owned(),
            _ => format!("{ms}ms"),
        };
    }
    let seconds = ms.div_ceil(1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The first whole second at or after a time since the epoch, in UTC (RFC 3339). The
/// days are turned into a date of the Gregorian calendar as in Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs() + u64::from(since_epoch.subsec_nanos() > 0);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}
