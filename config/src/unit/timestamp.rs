//! Points in time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Invalid, shown, text_value};

/// A point in time with its offset from UTC, as in `2026-12-31T23:59:59Z` or
/// `2026-12-31T23:59:59+01:00` (RFC 3339 section 5.6): from 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    since_epoch: Duration,
}

text_value!(Timestamp, "a date and time such as `2026-12-31T23:59:59Z`", {
    "type": "string",
    "title": "point in time",
    "description": "A date and time with the offset from UTC (RFC 3339).",
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
    "examples": ["2026-12-31T23:59:59Z", "2026-12-31T23:59:59+01:00"]
});

impl Timestamp {
    /// The time since the Unix epoch, leap seconds not counted.
    pub const fn since_epoch(self) -> Duration {
        self.since_epoch
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            Err(Invalid::new(format!(
                "{} is not a point in time: {why}",
                shown(text)
            )))
        };
        let is_date = matches!(text.as_bytes(), [_, _, _, _, b'-', _, _, b'-', _, _])
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if is_date {
            return refuse(&format!("add the time, as in `{text}T00:00:00Z`"));
        }
        let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) else {
            return refuse("write it as in `2026-12-31T23:59:59Z`");
        };
        let nanoseconds = time.unix_timestamp_nanos();
        let seconds = u64::try_from(nanoseconds.div_euclid(NANOSECONDS));
        let rest = u32::try_from(nanoseconds.rem_euclid(NANOSECONDS));
        match (seconds, rest) {
            (Ok(SECONDS_MAX..), _) => refuse("it lies after the year 9999"),
            (Ok(seconds), Ok(rest)) => Ok(Self {
                since_epoch: Duration::new(seconds, rest),
            }),
            _ => refuse("it lies before 1970"),
        }
    }
}

/// In a second.
const NANOSECONDS: i128 = 1_000_000_000;
/// The beginning of the year 10000, which the format cannot write, in UTC.
const SECONDS_MAX: u64 = 253_402_300_800;

impl fmt::Display for Timestamp {
    /// In UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = i128::try_from(self.since_epoch.as_nanos()).map_err(|_| fmt::Error)?;
        let time =
            OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).map_err(|_| fmt::Error)?;
        f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}
