//! Lengths of time.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Longest duration. What should wait longer than a day is a schedule, not a timeout.
const MAX_MS: u64 = 24 * HOUR_MS;

/// A length of time with its unit, as in `250ms`, `1.5s`, `10m` or `1h`: from `1ms`
/// to `24h`, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    ms: u64,
}

text_value!(Duration, "a duration such as `30s`", {
    "type": "string",
    "title": "duration",
    "description": "A length of time with its unit (ms, s, m or h), from 1ms to 24h.",
    "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$",
    "examples": ["250ms", "1.5s", "30s", "10m", "1h"]
});

impl Duration {
    /// The value as the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.ms)
    }

    /// For defaults, which are constants of this crate.
    pub(crate) const fn seconds(seconds: u64) -> Self {
        assert!(0 < seconds && seconds * SECOND_MS <= MAX_MS);
        Self {
            ms: seconds * SECOND_MS,
        }
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.get()
    }
}

impl TryFrom<std::time::Duration> for Duration {
    type Error = Invalid;

    /// Cuts to whole milliseconds.
    fn try_from(duration: std::time::Duration) -> Result<Self, Invalid> {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 || ms > MAX_MS {
            return Err(Invalid::new(format!(
                "{duration:?} is outside the range from `1ms` to `24h`"
            )));
        }
        Ok(Self { ms })
    }
}

impl FromStr for Duration {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(Invalid::new(format!(
                "{} is not a duration: write a number and its unit, as in `30s`",
                shown(text)
            )));
        }
        let unit_ms = match unit {
            "ms" => 1,
            "s" => SECOND_MS,
            "m" => MINUTE_MS,
            "h" => HOUR_MS,
            "" => {
                return Err(Invalid::new(format!(
                    "{} has no unit: write the unit, as in {}",
                    shown(text),
                    shown(&format!("{number}s"))
                )));
            }
            _ => {
                return Err(Invalid::new(format!(
                    "{} is not a duration: its unit must be `ms`, `s`, `m` or `h`",
                    shown(text)
                )));
            }
        };
        let ms =
            scale(number, unit_ms).map_err(|why| Invalid::new(format!("{} {why}", shown(text))))?;
        match ms {
            0 => Err(Invalid::new(format!(
                "{} is zero: the least duration is `1ms`",
                shown(text)
            ))),
            1..=MAX_MS => Ok(Self { ms }),
            _ => Err(Invalid::new(format!(
                "{} is too long: the greatest duration is `24h`",
                shown(text)
            ))),
        }
    }
}

/// `number * unit`, exactly: no detour by floating point, so that what is shown is
/// what was written.
fn scale(number: &str, unit_ms: u64) -> Result<u64, &'static str> {
    const MALFORMED: &str = "is not a duration: write it as in `30s` or `1.5s`";
    const TOO_LONG: &str = "is too long: the greatest duration is `24h`";
    const TOO_FINE: &str = "is finer than a millisecond: write it in whole `ms`";
    /// More decimals of an hour are finer than a millisecond; so many fit a `u64`.
    const DECIMALS_MAX: usize = 9;

    let (whole, decimals) = match number.split_once('.') {
        None => (number, "0"),
        Some((whole, decimals)) => (whole, decimals),
    };
    if whole.is_empty() || decimals.is_empty() || decimals.contains('.') {
        return Err(MALFORMED);
    }
    // What is all digits fails to parse only when it is too long for the type.
    let whole: u64 = whole.parse().map_err(|_| TOO_LONG)?;
    let (mut part, mut divisor) = (0, 1);
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > DECIMALS_MAX {
        return Err(TOO_FINE);
    }
    for digit in decimals.bytes() {
        part = part * 10 + u64::from(digit - b'0') * unit_ms;
        divisor *= 10;
    }
    if part % divisor != 0 {
        return Err(TOO_FINE);
    }
    let ms = whole
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(part / divisor));
    ms.ok_or(TOO_LONG)
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.ms {
            ms if ms % HOUR_MS == 0 => (ms / HOUR_MS, "h"),
            ms if ms % MINUTE_MS == 0 => (ms / MINUTE_MS, "m"),
            ms if ms % SECOND_MS == 0 => (ms / SECOND_MS, "s"),
            ms => (ms, "ms"),
        };
        write!(f, "{number}{unit}")
    }
}
