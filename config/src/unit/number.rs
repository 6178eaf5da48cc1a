//! Counts and proportions.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serialize};

use super::Invalid;

/// What the types have in common that hold a whole number within bounds.
macro_rules! number_value {
    (
        $type:ident($number:ty), $min:literal..=$max:literal, $title:literal, $description:literal
    ) => {
        impl $type {
            pub(crate) const MIN: $number = $min;
            pub(crate) const MAX: $number = $max;

            /// The number.
            pub const fn get(self) -> $number {
                self.0
            }
        }

        impl TryFrom<$number> for $type {
            type Error = $crate::unit::Invalid;

            fn try_from(number: $number) -> Result<Self, Self::Error> {
                match number {
                    Self::MIN..=Self::MAX => Ok(Self(number)),
                    _ => Err($crate::unit::out_of_range(number, Self::MIN, Self::MAX)),
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::unit::whole_number(deserializer, $min, $max).map(Self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "integer",
                    "title": $title,
                    "description": $description,
                    "minimum": Self::MIN,
                    "maximum": Self::MAX,
                })
            }
        }
    };
}

pub(crate) use number_value;

/// Share of requests relative to its neighbours': a whole number from 0 (none) to
/// 1000000, so that 10,000 targets of it still sum to far less than `u64::MAX`.
/// Default: 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Weight(u32);

number_value!(
    Weight(u32),
    0..=1_000_000,
    "weight",
    "Share of requests relative to its neighbours'; 0 means none."
);

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

/// A status of an answer that tells of an error: 400 to 599 (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ErrorStatus(u16);

number_value!(
    ErrorStatus(u16),
    400..=599,
    "error status",
    "A status of an answer that tells of an error."
);

/// How many endpoints are tried for one request, the first included: 1 to 10. A request
/// that ten endpoints could not take would only add to the load that made them fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Attempts(usize);

number_value!(
    Attempts(usize),
    1..=10,
    "attempts",
    "How many endpoints are tried for one request, the first included."
);

impl Attempts {
    /// One for each of so many targets, and one more if that is one.
    pub(crate) fn covering(targets: usize) -> Self {
        Self(targets.clamp(2, Self::MAX))
    }
}

/// A part of a hundred: a whole number from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Percent(u8);

number_value!(Percent(u8), 0..=100, "percent", "A part of a hundred.");

/// How much of something a limit allows: a whole number from 0 to a million million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Count(u64);

number_value!(
    Count(u64),
    0..=1_000_000_000_000,
    "count",
    "How much a limit allows; 0 means nothing."
);

/// Reads a whole number from `min` to `max`.
pub(crate) fn whole_number<'de, D, T>(deserializer: D, min: u64, max: u64) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = deserializer.deserialize_u64(WholeNumber { min, max })?;
    // The callers' ranges lie within their types'; should one not, it is a refusal.
    T::try_from(number).map_err(|_| D::Error::custom(format!("`{number}` is too large")))
}

struct WholeNumber {
    min: u64,
    max: u64,
}

impl Visitor<'_> for WholeNumber {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.min, self.max)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        match (self.min..=self.max).contains(&number) {
            true => Ok(number),
            false => Err(E::custom(out_of_range(number, self.min, self.max))),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(out_of_range(number, self.min, self.max))),
        }
    }
}

pub(crate) fn out_of_range<T: fmt::Display, B: fmt::Display>(number: T, min: B, max: B) -> Invalid {
    Invalid::new(format!("`{number}` is out of range: write {min} to {max}"))
}
