//! How long and how many: times and counts as a fixed value or a distribution, written as text.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::random::Random;

/// A time to wait: `50ms`, `uniform(10ms,80ms)`, `normal(50ms,10ms)` (mean, deviation),
/// `lognormal(50ms,0.5)` (median, sigma of the logarithm) or `exponential(50ms)` (mean).
///
/// Units are `ns`, `us`, `ms`, `s` and `m`. Every parameter and every drawn time lies between zero
/// and one hour: what a distribution draws outside becomes the nearer end. `0ms` is as fast as
/// possible. The timer behind it has a granularity of one millisecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace(Shape);

/// A number of tokens: `64`, `uniform(16,256)` (both ends possible), `normal(64,16)`,
/// `lognormal(64,0.5)` or `exponential(64)`.
///
/// Every parameter and every drawn count lies between 1 and 1,000,000 (a deviation may be 0): what
/// a distribution draws outside becomes the nearer end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Count(Shape);

/// Why a text is not a [`Pace`] or a [`Count`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributionError {
    text: String,
    problem: &'static str,
}

/// The longest time that a [`Pace`] names or draws.
pub const PACE_MAX: Duration = Duration::from_secs(3600);
/// The largest number of tokens that a [`Count`] names or draws.
pub const COUNT_MAX: u32 = 1_000_000;

const PACE_EXPECTED: &str = "expected a time up to one hour, as 50ms, 1.5s or 0ms, or one of \
     uniform(low,high), normal(mean,deviation), lognormal(median,sigma), exponential(mean)";
const COUNT_EXPECTED: &str = "expected a count from 1 to 1000000, as 64, or one of \
     uniform(low,high), normal(mean,deviation), lognormal(median,sigma), exponential(mean)";

impl Pace {
    /// As fast as possible.
    pub const ZERO: Pace = Pace(Shape::Fixed(0.0));

    /// Always `time`, or an hour if that is less.
    pub fn fixed(time: Duration) -> Pace {
        Pace(Shape::Fixed(time.min(PACE_MAX).as_nanos() as f64))
    }

    pub(crate) fn sample(&self, random: &mut Random) -> Duration {
        let nanos = self.0.sample(random);
        Duration::from_nanos(nanos.clamp(0.0, PACE_MAX.as_nanos() as f64) as u64)
    }
}

impl Count {
    /// Always `count`, brought into 1 to 1,000,000.
    pub fn fixed(count: u32) -> Count {
        Count(Shape::Fixed(f64::from(count.clamp(1, COUNT_MAX))))
    }

    /// Normally distributed about `mean`.
    pub fn about(mean: u32, deviation: u32) -> Count {
        let mean = f64::from(mean.clamp(1, COUNT_MAX));
        Count(Shape::Normal {
            mean,
            deviation: f64::from(deviation.min(COUNT_MAX)),
        })
    }

    pub(crate) fn sample(&self, random: &mut Random) -> u32 {
        let drawn = match self.0 {
            // Both ends are as likely as what lies between.
            Shape::Uniform { low, high } => {
                (low + random.unit() * (high - low + 1.0)).floor().min(high)
            }
            other => other.sample(random).round(),
        };
        drawn.clamp(1.0, f64::from(COUNT_MAX)) as u32
    }
}

impl FromStr for Pace {
    type Err = DistributionError;

    fn from_str(text: &str) -> Result<Pace, DistributionError> {
        match Shape::parse(text, nanos, 0.0) {
            Ok(shape) => Ok(Pace(shape)),
            Err(None) => Err(DistributionError::new(text, PACE_EXPECTED)),
            Err(Some(problem)) => Err(DistributionError::new(text, problem)),
        }
    }
}

impl FromStr for Count {
    type Err = DistributionError;

    fn from_str(text: &str) -> Result<Count, DistributionError> {
        match Shape::parse(text, whole, 1.0) {
            Ok(shape) => Ok(Count(shape)),
            Err(None) => Err(DistributionError::new(text, COUNT_EXPECTED)),
            Err(Some(problem)) => Err(DistributionError::new(text, problem)),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, |nanos, f| Time(nanos).fmt(f))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, |count, f| write!(f, "{count}"))
    }
}

impl DistributionError {
    fn new(text: &str, problem: &'static str) -> DistributionError {
        DistributionError {
            text: text.chars().take(80).collect(),
            problem,
        }
    }
}

impl fmt::Display for DistributionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.text, self.problem)
    }
}

impl Error for DistributionError {}

/// Parameters in nanoseconds or counts; `sigma` has no unit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Fixed(f64),
    Uniform { low: f64, high: f64 },
    Normal { mean: f64, deviation: f64 },
    LogNormal { median: f64, sigma: f64 },
    Exponential { mean: f64 },
}

impl Shape {
    /// `Err(None)` is a text that is no distribution at all. `quantity` reads one parameter and
    /// refuses what is over its limit; `least` is the smallest parameter other than a deviation.
    fn parse(
        text: &str,
        quantity: fn(&str) -> Option<f64>,
        least: f64,
    ) -> Result<Shape, Option<&'static str>> {
        let level = |text: &str| quantity(text).filter(|value| *value >= least).ok_or(None);
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else {
            return Ok(Shape::Fixed(level(text)?));
        };
        let inside = rest
            .strip_suffix(')')
            .ok_or(Some("the closing parenthesis is missing"))?;
        let two = || {
            inside
                .split_once(',')
                .ok_or(Some("two parameters are needed"))
        };
        match name.trim() {
            "uniform" => {
                let (low, high) = two()?;
                let (low, high) = (level(low)?, level(high)?);
                if low > high {
                    return Err(Some("the low end is above the high end"));
                }
                Ok(Shape::Uniform { low, high })
            }
            "normal" => {
                let (mean, deviation) = two()?;
                let deviation = quantity(deviation).ok_or(None)?;
                Ok(Shape::Normal {
                    mean: level(mean)?,
                    deviation,
                })
            }
            "lognormal" => {
                let (median, sigma) = two()?;
                let sigma = sigma
                    .trim()
                    .parse()
                    .ok()
                    .filter(|sigma| (0.0..=10.0).contains(sigma));
                let sigma = sigma.ok_or(Some("sigma must be a number from 0 to 10"))?;
                Ok(Shape::LogNormal {
                    median: level(median)?,
                    sigma,
                })
            }
            "exponential" => Ok(Shape::Exponential {
                mean: level(inside)?,
            }),
            _ => Err(None),
        }
    }

    fn sample(&self, random: &mut Random) -> f64 {
        match *self {
            Shape::Fixed(value) => value,
            Shape::Uniform { low, high } => low + random.unit() * (high - low),
            Shape::Normal { mean, deviation } => mean + deviation * random.normal(),
            Shape::LogNormal { median, sigma } => median * (sigma * random.normal()).exp(),
            Shape::Exponential { mean } => mean * random.exponential(),
        }
    }

    fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        quantity: fn(f64, &mut fmt::Formatter<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let two = |name: &str, first: f64, second: f64, f: &mut fmt::Formatter<'_>| {
            write!(f, "{name}(")?;
            quantity(first, f)?;
            f.write_str(",")?;
            quantity(second, f)?;
            f.write_str(")")
        };
        match *self {
            Shape::Fixed(value) => quantity(value, f),
            Shape::Uniform { low, high } => two("uniform", low, high, f),
            Shape::Normal { mean, deviation } => two("normal", mean, deviation, f),
            Shape::LogNormal { median, sigma } => {
                f.write_str("lognormal(")?;
                quantity(median, f)?;
                write!(f, ",{sigma})")
            }
            Shape::Exponential { mean } => {
                f.write_str("exponential(")?;
                quantity(mean, f)?;
                f.write_str(")")
            }
        }
    }
}

/// Reads a time such as `1.5s`, at most an hour: what the faults' parameters use too.
pub(crate) fn parse_time(text: &str) -> Option<Duration> {
    nanos(text).map(|nanos| Duration::from_nanos(nanos as u64))
}

/// A number of nanoseconds that prints in the largest unit that shows it whole.
pub(crate) struct Time(pub(crate) f64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns")];
        for (size, unit) in units {
            if self.0 >= size && self.0 % size == 0.0 {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        f.write_str("0ms")
    }
}

fn nanos(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(digits)?;
    let size = match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        _ => return None,
    };
    let nanos = (number.parse::<f64>().ok()? * size).round();
    (nanos <= PACE_MAX.as_nanos() as f64).then_some(nanos)
}

fn whole(text: &str) -> Option<f64> {
    let count: u32 = text.trim().parse().ok()?;
    (count <= COUNT_MAX).then_some(f64::from(count))
}

#[cfg(test)]
mod tests;
