//! Lengths of windows.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;
/// Longest period: a month.
const MAX: u32 = 31 * DAY;

/// A length of time over which something is counted, with its unit, as in `1s`, `5m`,
/// `1h` or `30d`: from `1s` to `31d`, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    seconds: u32,
}

text_value!(Period, "a period such as `1m`", {
    "type": "string",
    "title": "period",
    "description": "A length of time with its unit (s, m, h or d), from 1s to 31d.",
    "pattern": r"^[0-9]+(s|m|h|d)$",
    "examples": ["1s", "1m", "1h", "1d"]
});

impl Period {
    /// The value as the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.seconds as u64)
    }
}

impl FromStr for Period {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            _ if number.is_empty() => None,
            "s" => Some(1),
            "m" => Some(MINUTE),
            "h" => Some(HOUR),
            "d" => Some(DAY),
            _ => None,
        };
        let Some(unit) = unit else {
            return Err(Invalid::new(format!(
                "{} is not a period: write a whole number and its unit (`s`, `m`, `h` or `d`), as in `1m`",
                shown(text)
            )));
        };
        // What is all digits fails to parse only when it is too long for the type.
        let seconds = number.parse().unwrap_or(u32::MAX).saturating_mul(unit);
        match seconds {
            1..=MAX => Ok(Self { seconds }),
            _ => Err(Invalid::new(format!(
                "{} is out of range: write `1s` to `31d`",
                shown(text)
            ))),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.seconds {
            seconds if seconds.is_multiple_of(DAY) => (seconds / DAY, "d"),
            seconds if seconds.is_multiple_of(HOUR) => (seconds / HOUR, "h"),
            seconds if seconds.is_multiple_of(MINUTE) => (seconds / MINUTE, "m"),
            seconds => (seconds, "s"),
        };
        write!(f, "{number}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_written_with_its_unit() {
        for text in ["1s", "59s", "1m", "90s", "36h", "31d"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string(), text);
        }
        assert_eq!("120s".parse::<Period>().unwrap().to_string(), "2m");
        assert_eq!("2m".parse::<Period>().unwrap().get().as_secs(), 120);
        for text in [
            "",
            "1",
            "m",
            "0s",
            "32d",
            "1.5m",
            "-1s",
            "1ms",
            "99999999999999d",
            "1w",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text} is no period");
        }
    }
}
