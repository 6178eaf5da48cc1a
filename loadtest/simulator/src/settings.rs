//! Everything that can be set, as values that are already right.

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::str::FromStr;

use http::HeaderValue;

use crate::distribution::{Count, Pace};
use crate::fault::Faults;

/// How a [`Simulator`](crate::Simulator) behaves. The default suits a demonstration: a model that
/// thinks for 120 ms, then writes about 48 tokens, 25 ms apart.
///
/// Every field can also be set by name and text with [`Settings::set`], or all at once from
/// `"tokens=64 between-tokens=uniform(10ms,40ms)"` by `FromStr`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one. Default `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// Threads, each with a listener of its own (`SO_REUSEPORT`). Default 1, which leaves the other
    /// cores to what is being tested.
    pub workers: NonZeroUsize,
    /// The value of the header `x-upstream-name` on every answer. Default `simulator`.
    pub name: HeaderValue,
    /// What `/v1/models` lists. Default `simulator-small` and `simulator-large`.
    pub models: Vec<String>,
    /// Whether a model that is not listed is answered with 404 instead of served. Default no.
    pub strict_models: bool,
    /// From the end of the request to the first token. Default 120 ms.
    pub first_token: Pace,
    /// From one token to the next, drawn anew each time. Default 25 ms.
    pub between_tokens: Pace,
    /// Tokens of an answer, unless the request's `max_tokens` cuts it. Default `normal(48,12)`.
    pub tokens: Count,
    /// What the randomness of every answer starts from, together with the hash of its request's
    /// body. Default 0.
    pub seed: u64,
    /// What goes wrong with requests that do not ask for it. Default nothing.
    pub faults: Faults,
    /// The value of `created` in every answer, in seconds since 1970; `None` is the clock's.
    /// Fix it where answers must repeat to the byte. Default `None`.
    pub created: Option<u64>,
    /// The longest request body, in bytes; a longer one is answered with 413. Default 64 MiB.
    pub body_bytes_max: usize,
    /// Connections open at once; more are closed as they come. Default 16,384.
    pub connections_max: usize,
    /// Streamed answers under way at once; more are answered with 503. Default 16,384.
    pub streams_max: usize,
    /// How many of the latest requests [`Simulator::recorded`](crate::Simulator::recorded) keeps,
    /// while their bodies stay under 256 MiB together. Default 0, which costs nothing.
    pub record: usize,
}

/// A name that [`Settings::set`] knows, and what to say about it in a command's help.
#[derive(Debug, Clone, Copy)]
pub struct SettingName {
    /// As written, `first-token`.
    pub name: &'static str,
    /// One sentence with unit and default.
    pub help: &'static str,
}

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    name: String,
    problem: String,
}

/// Every name that [`Settings::set`] knows.
pub const SETTING_NAMES: &[SettingName] = &[
    named(
        "listen",
        "Address and port to listen on; port 0 takes a free one [127.0.0.1:0]",
    ),
    named(
        "workers",
        "Threads, each with its own listener, 1 to 256 [1]",
    ),
    named(
        "name",
        "Value of the header x-upstream-name on every answer [simulator]",
    ),
    named(
        "models",
        "Models that /v1/models lists, separated by commas",
    ),
    named(
        "strict-models",
        "Answer models that are not listed with 404: true or false [false]",
    ),
    named(
        "first-token",
        "Time to the first token: 120ms, uniform(10ms,80ms), ... [120ms]",
    ),
    named("between-tokens", "Time from one token to the next [25ms]"),
    named(
        "tokens",
        "Tokens of an answer: 64, uniform(16,256), ... [normal(48,12)]",
    ),
    named(
        "seed",
        "What all randomness starts from; the same seed repeats a run [0]",
    ),
    named(
        "faults",
        "Faults with their probability: 500=0.01,reset;after=3=0.005 [none]",
    ),
    named(
        "created",
        "Fixed value of `created` in answers, in seconds since 1970 [the clock's]",
    ),
    named("body-bytes-max", "Longest request body in bytes [67108864]"),
    named("connections-max", "Connections open at once [16384]"),
    named("streams-max", "Streamed answers under way at once [16384]"),
    named("record", "Latest requests to keep for inspection [0]"),
];

const fn named(name: &'static str, help: &'static str) -> SettingName {
    SettingName { name, help }
}

impl Settings {
    /// Settings for tests of whatever stands in front: no waiting, 16 tokens, `created` fixed and
    /// the latest 1,024 requests recorded.
    pub fn instant() -> Settings {
        Settings {
            first_token: Pace::ZERO,
            between_tokens: Pace::ZERO,
            tokens: Count::fixed(16),
            created: Some(1_700_000_000),
            record: 1024,
            ..Settings::default()
        }
    }

    /// Sets one field from text, by one of [`SETTING_NAMES`].
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), SettingError> {
        match name {
            "listen" => self.listen = read(name, text)?,
            "workers" => self.workers = workers(text)?,
            "name" => self.name = read(name, text)?,
            "models" => self.models = models(text)?,
            "strict-models" => self.strict_models = read(name, text)?,
            "first-token" => self.first_token = read(name, text)?,
            "between-tokens" => self.between_tokens = read(name, text)?,
            "tokens" => self.tokens = read(name, text)?,
            "seed" => self.seed = read(name, text)?,
            "faults" => self.faults = read(name, text)?,
            "created" => self.created = Some(read(name, text)?),
            "body-bytes-max" => self.body_bytes_max = read(name, text)?,
            "connections-max" => self.connections_max = read(name, text)?,
            "streams-max" => self.streams_max = read(name, text)?,
            "record" => self.record = read(name, text)?,
            _ => {
                let names: Vec<&str> = SETTING_NAMES.iter().map(|setting| setting.name).collect();
                let problem = format!("no such setting; the settings are {}", names.join(", "));
                return Err(SettingError::new(name, problem));
            }
        }
        Ok(())
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            workers: NonZeroUsize::MIN,
            name: HeaderValue::from_static("simulator"),
            models: vec!["simulator-small".to_owned(), "simulator-large".to_owned()],
            strict_models: false,
            first_token: Pace::fixed(std::time::Duration::from_millis(120)),
            between_tokens: Pace::fixed(std::time::Duration::from_millis(25)),
            tokens: Count::about(48, 12),
            seed: 0,
            faults: Faults::default(),
            created: None,
            body_bytes_max: 64 << 20,
            connections_max: 16_384,
            streams_max: 16_384,
            record: 0,
        }
    }
}

/// Reads `name=value` pairs separated by white space onto the default.
impl FromStr for Settings {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Settings, SettingError> {
        let mut settings = Settings::default();
        for pair in text.split_whitespace() {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| SettingError::new(pair, "expected name=value".to_owned()))?;
            settings.set(name, value)?;
        }
        Ok(settings)
    }
}

impl SettingError {
    fn new(name: &str, problem: String) -> SettingError {
        SettingError {
            name: name.chars().take(80).collect(),
            problem,
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "simulator setting `{}`: {}", self.name, self.problem)
    }
}

impl Error for SettingError {}

fn read<T: FromStr<Err: fmt::Display>>(name: &str, text: &str) -> Result<T, SettingError> {
    text.trim()
        .parse()
        .map_err(|error: T::Err| SettingError::new(name, error.to_string()))
}

fn workers(text: &str) -> Result<NonZeroUsize, SettingError> {
    let workers: NonZeroUsize = read("workers", text)?;
    if workers.get() > WORKERS_MAX {
        return Err(SettingError::new(
            "workers",
            format!("at most {WORKERS_MAX}"),
        ));
    }
    Ok(workers)
}

const WORKERS_MAX: usize = 256;

fn models(text: &str) -> Result<Vec<String>, SettingError> {
    let models: Vec<String> = text
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect();
    if models.is_empty() {
        return Err(SettingError::new(
            "models",
            "expected at least one model".to_owned(),
        ));
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_listed_name_can_be_set() {
        let examples = [
            ("listen", "127.0.0.1:9"),
            ("strict-models", "true"),
            ("first-token", "1ms"),
            ("between-tokens", "0ms"),
            ("faults", "500=0.1"),
        ];
        for setting in SETTING_NAMES {
            let example = examples.iter().find(|(name, _)| *name == setting.name);
            let text = example.map_or("7", |(_, text)| text);
            Settings::default().set(setting.name, text).unwrap();
        }
    }

    #[test]
    fn a_text_sets_many_at_once() {
        let settings: Settings =
            "tokens=64 between-tokens=uniform(10ms,40ms) faults=reset;after=2=0.5 seed=9"
                .parse()
                .unwrap();
        assert_eq!(settings.tokens.to_string(), "64");
        assert_eq!(settings.between_tokens.to_string(), "uniform(10ms,40ms)");
        assert_eq!(settings.faults.to_string(), "reset;after=2=0.5");
        assert_eq!(settings.seed, 9);
    }

    #[test]
    fn a_mistake_names_its_setting() {
        let mut settings = Settings::default();
        for (name, text, reason) in [
            ("tokens", "many", "from 1 to 1000000"),
            ("workers", "0", "zero"),
            ("workers", "257", "at most 256"),
            ("colour", "red", "first-token"),
            ("models", " , ", "at least one"),
        ] {
            let error = settings.set(name, text).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(reason), "{error}");
        }
        assert!(
            "tokens"
                .parse::<Settings>()
                .unwrap_err()
                .to_string()
                .contains("name=value")
        );
    }
}
