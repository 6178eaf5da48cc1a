//! Counts and proportions.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Invalid;

/// Share of requests relative to its neighbours': a whole number from 0 (none) to
/// 1000000. Default: 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Weight(u32);

impl Weight {
    /// Greatest weight. 10,000 targets of it still sum to far less than `u64::MAX`.
    const MAX: u32 = 1_000_000;

    /// The weight as a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u32> for Weight {
    type Error = Invalid;

    fn try_from(weight: u32) -> Result<Self, Invalid> {
        if weight > Self::MAX {
            return Err(Invalid::new(format!(
                "`{weight}` is out of range: write 0 to {}",
                Self::MAX
            )));
        }
        Ok(Self(weight))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer, 0, u64::from(Self::MAX)).map(Self)
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "title": "weight",
            "description": "Share of requests relative to its neighbours'; 0 means none.",
            "minimum": 0,
            "maximum": Self::MAX,
        })
    }
}

/// A status of an answer that tells of an error: 400 to 599 (RFC 9110 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ErrorStatus(u16);

impl ErrorStatus {
    const MIN: u16 = 400;
    const MAX: u16 = 599;

    /// The status as a number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for ErrorStatus {
    type Error = Invalid;

    fn try_from(status: u16) -> Result<Self, Invalid> {
        match status {
            Self::MIN..=Self::MAX => Ok(Self(status)),
            _ => Err(Invalid::new(format!(
                "`{status}` is out of range: write {} to {}",
                Self::MIN,
                Self::MAX
            ))),
        }
    }
}

impl fmt::Display for ErrorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for ErrorStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer, Self::MIN.into(), Self::MAX.into()).map(Self)
    }
}

impl JsonSchema for ErrorStatus {
    fn schema_name() -> Cow<'static, str> {
        "ErrorStatus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "title": "error status",
            "description": "A status of an answer that tells of an error.",
            "minimum": Self::MIN,
            "maximum": Self::MAX,
        })
    }
}

/// How many endpoints are tried for one request, the first included: 1 to 10.
/// Default: 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Attempts(u8);

impl Attempts {
    /// Most attempts. A request that ten endpoints could not take would only add to
    /// the load that made them fail.
    const MAX: u8 = 10;

    /// The number of attempts, at least one.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self(2)
    }
}

impl TryFrom<u8> for Attempts {
    type Error = Invalid;

    fn try_from(attempts: u8) -> Result<Self, Invalid> {
        match attempts {
            1..=Self::MAX => Ok(Self(attempts)),
            _ => Err(Invalid::new(format!(
                "`{attempts}` is out of range: write 1 to {}",
                Self::MAX
            ))),
        }
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Attempts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer, 1, u64::from(Self::MAX)).map(Self)
    }
}

impl JsonSchema for Attempts {
    fn schema_name() -> Cow<'static, str> {
        "Attempts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "title": "attempts",
            "description": "How many endpoints are tried for one request, the first included.",
            "minimum": 1,
            "maximum": Self::MAX,
        })
    }
}

/// A part of a hundred: a whole number from 0 to 100. Default: 20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Percent(u8);

impl Percent {
    const MAX: u8 = 100;

    /// The percentage as a number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Percent {
    fn default() -> Self {
        Self(20)
    }
}

impl TryFrom<u8> for Percent {
    type Error = Invalid;

    fn try_from(percent: u8) -> Result<Self, Invalid> {
        match percent {
            0..=Self::MAX => Ok(Self(percent)),
            _ => Err(Invalid::new(format!(
                "`{percent}` is out of range: write 0 to {}",
                Self::MAX
            ))),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer, 0, u64::from(Self::MAX)).map(Self)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "title": "percent",
            "description": "A part of a hundred.",
            "minimum": 0,
            "maximum": Self::MAX,
        })
    }
}

/// How much of something a limit allows: a whole number from 0 to a million million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Count(u64);

impl Count {
    /// Greatest count.
    pub(crate) const MAX: u64 = 1_000_000_000_000;

    /// The count as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_number(deserializer, 0, Self::MAX).map(Self)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "title": "count",
            "description": "How much a limit allows; 0 means nothing.",
            "minimum": 0,
            "maximum": Self::MAX,
        })
    }
}

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
        if (self.min..=self.max).contains(&number) {
            return Ok(number);
        }
        Err(E::custom(format!(
            "`{number}` is out of range: write {} to {}",
            self.min, self.max
        )))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format!(
                "`{number}` is out of range: write {} to {}",
                self.min, self.max
            ))),
        }
    }
}
