//! The ways in which an answer goes wrong on demand, written as text in the settings or in the
//! request header `x-simulate`.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;

use crate::distribution::{Time, parse_time};
use crate::random::Random;

/// One way to go wrong: a kind and its parameters, as in `reset; after=3`.
///
/// | text | what the client sees |
/// |---|---|
/// | `refuse` | the connection is reset before any byte of an answer; `at=body`: without reading the request's body |
/// | `reset` | head, `after=N` tokens (default 1), then a TCP reset of the connection |
/// | `cut` | head, `after=N` tokens (default 1), then the connection ends (FIN) without the last chunk; on HTTP/2 the stream is reset |
/// | `stall` | nothing any more from `at=` `body` (the request's body is left unread), `head` (default: no answer), `first` (head, no token) or N (head and N tokens); until the client leaves (`body`: ten minutes, because leaving does not show behind an unread body), or `for=10s`; then as if nothing had been |
/// | `429`, `500`, `503`, any from 400 to 599, or `status; code=429` | an error of OpenAI's shape; `retry-after=N` in seconds (default 1 for 429, else absent); `at=body`: without reading the request's body |
/// | `malformed` | status 200 with broken JSON; in a stream one broken event after `after=N` tokens (default 0), then the rest |
/// | `slow` | the time to the first token and between tokens times `factor=F` (default 10, at most 1000) |
///
/// An answer that is not streamed counts as one token: `after=0` is right after its head, anything
/// else after half of its body. A stream shorter than N tokens goes wrong after its last token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Reset the connection before any byte of an answer.
    Refuse {
        /// Whether the request's body is left unread.
        unread: bool,
    },
    /// Reset the connection in the middle of the answer.
    Reset {
        /// Tokens sent before.
        after: u32,
    },
    /// End the connection in the middle of the answer.
    Cut {
        /// Tokens sent before.
        after: u32,
    },
    /// Fall silent.
    Stall {
        /// From when.
        at: Moment,
        /// How long; `None` is until the client leaves, or ten minutes from [`Moment::Body`].
        time: Option<Duration>,
    },
    /// Answer with an error.
    Status {
        /// From 400 to 599.
        code: StatusCode,
        /// The value of `Retry-After`, in seconds.
        retry_after: Option<u32>,
        /// Whether the request's body is left unread.
        unread: bool,
    },
    /// Send JSON that does not parse.
    Malformed {
        /// Tokens sent before.
        after: u32,
    },
    /// Take longer.
    Slow {
        /// What every wait is multiplied by.
        factor: f64,
    },
}

/// When a [`Fault::Stall`] begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the request's body is read.
    Body,
    /// Before the head of the answer.
    Head,
    /// After so many tokens; 0 is right after the head.
    Token(u32),
}

/// The faults that befall requests which ask for none, each with its probability:
/// `500=0.01,reset;after=3=0.005`. At most 32; the probabilities add up to at most 1.
///
/// Which request is hit is drawn from the seed and the request's ordinal number, not from its body:
/// a load of identical requests still sees the stated share.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults(Vec<(Fault, f64)>);

/// Why a text is not a [`Fault`] or a list of [`Faults`]; names the kinds there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultError {
    text: String,
    problem: String,
}

/// Every kind that `x-simulate` knows, as error messages list them.
pub const FAULT_KINDS: &str = "refuse, reset, cut, stall, status, malformed, slow, or a status \
     from 400 to 599";

const FAULTS_MAX: usize = 32;

impl Faults {
    /// Whether no request is ever hit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fault for one request, if it is hit.
    pub(crate) fn draw(&self, random: &mut Random) -> Option<Fault> {
        let mut left = random.unit();
        for (fault, probability) in &self.0 {
            if left < *probability {
                return Some(*fault);
            }
            left -= probability;
        }
        None
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Fault, FaultError> {
        let error = |problem: String| FaultError::new(text, problem);
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let mut params = Params::read(parts).map_err(error)?;
        let fault = params.fault(kind).map_err(error)?;
        match params.0.first() {
            None => Ok(fault),
            Some((key, _)) => Err(error(format!("`{kind}` has no parameter `{key}`"))),
        }
    }
}

impl FromStr for Faults {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Faults, FaultError> {
        let mut faults = Vec::new();
        let mut total = 0.0;
        for item in text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let error = |problem: &str| FaultError::new(item, problem.to_owned());
            // The last `=` is the probability's: parameters have theirs before it.
            let (fault, probability) = item
                .rsplit_once('=')
                .ok_or_else(|| error("a probability is missing, as in 500=0.01"))?;
            let probability: f64 = probability
                .trim()
                .parse()
                .ok()
                .filter(|probability| (0.0..=1.0).contains(probability))
                .ok_or_else(|| error("the probability must be a number from 0 to 1"))?;
            total += probability;
            faults.push((fault.parse()?, probability));
        }
        // The sum of decimal fractions that make 1 may be off in the last bit.
        if total > 1.0 + 1e-9 {
            return Err(FaultError::new(
                text,
                "the probabilities add up to more than 1".to_owned(),
            ));
        }
        if faults.len() > FAULTS_MAX {
            return Err(FaultError::new(
                text,
                format!("more than {FAULTS_MAX} faults"),
            ));
        }
        Ok(Faults(faults))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Refuse { unread } => write!(f, "refuse{}", unread_text(unread)),
            Fault::Reset { after } => write!(f, "reset;after={after}"),
            Fault::Cut { after } => write!(f, "cut;after={after}"),
            Fault::Malformed { after } => write!(f, "malformed;after={after}"),
            Fault::Slow { factor } => write!(f, "slow;factor={factor}"),
            Fault::Stall { at, time } => {
                match at {
                    Moment::Body => f.write_str("stall;at=body")?,
                    Moment::Head => f.write_str("stall;at=head")?,
                    Moment::Token(0) => f.write_str("stall;at=first")?,
                    Moment::Token(after) => write!(f, "stall;at={after}")?,
                }
                match time {
                    Some(time) => write!(f, ";for={}", Time(time.as_nanos() as f64)),
                    None => Ok(()),
                }
            }
            Fault::Status {
                code,
                retry_after,
                unread,
            } => {
                write!(f, "{}", code.as_u16())?;
                if let Some(seconds) = retry_after {
                    write!(f, ";retry-after={seconds}")?;
                }
                f.write_str(unread_text(unread))
            }
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (fault, probability)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{fault}={probability}")?;
        }
        Ok(())
    }
}

impl FaultError {
    fn new(text: &str, problem: String) -> FaultError {
        FaultError {
            text: text.chars().take(80).collect(),
            problem,
        }
    }
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault `{}`: {}", self.text, self.problem)
    }
}

impl Error for FaultError {}

/// The `key=value` pairs behind a kind, taken away one by one: what is left nobody knows.
struct Params<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Params<'a> {
    fn read(parts: impl Iterator<Item = &'a str>) -> Result<Params<'a>, String> {
        let mut pairs = Vec::new();
        for part in parts.filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not `key=value`"))?;
            pairs.push((key.trim(), value.trim()));
        }
        Ok(Params(pairs))
    }

    fn fault(&mut self, kind: &str) -> Result<Fault, String> {
        Ok(match kind {
            "refuse" => Fault::Refuse {
                unread: self.unread()?,
            },
            "reset" => Fault::Reset {
                after: self.number("after", 1)?,
            },
            "cut" => Fault::Cut {
                after: self.number("after", 1)?,
            },
            "malformed" => Fault::Malformed {
                after: self.number("after", 0)?,
            },
            "stall" => Fault::Stall {
                at: self.moment()?,
                time: self.time()?,
            },
            "slow" => Fault::Slow {
                factor: self.factor()?,
            },
            "status" => {
                let code = self
                    .take("code")
                    .ok_or("`status` needs `code`, as code=429")?;
                self.status(code)?
            }
            code if code.starts_with(|c: char| c.is_ascii_digit()) => self.status(code)?,
            _ => return Err(format!("unknown kind; the kinds are {FAULT_KINDS}")),
        })
    }

    fn status(&mut self, code: &str) -> Result<Fault, String> {
        let code = code
            .parse()
            .ok()
            .filter(|code| (400..600).contains(code))
            .and_then(|code| StatusCode::from_u16(code).ok())
            .ok_or_else(|| format!("`{code}` is not a status from 400 to 599"))?;
        let retry_after = match self.take("retry-after") {
            Some(text) => Some(parse_number("retry-after", text)?),
            None => (code == StatusCode::TOO_MANY_REQUESTS).then_some(1),
        };
        Ok(Fault::Status {
            code,
            retry_after,
            unread: self.unread()?,
        })
    }

    fn unread(&mut self) -> Result<bool, String> {
        match self.take("at") {
            None => Ok(false),
            Some("body") => Ok(true),
            Some(other) => Err(format!("`at` must be `body` here, not `{other}`")),
        }
    }

    fn moment(&mut self) -> Result<Moment, String> {
        match self.take("at") {
            Some("body") => Ok(Moment::Body),
            None | Some("head") => Ok(Moment::Head),
            Some("first") => Ok(Moment::Token(0)),
            Some(other) => match other.parse() {
                Ok(after) => Ok(Moment::Token(after)),
                Err(_) => Err(format!(
                    "`at` must be body, head, first or a number, not `{other}`"
                )),
            },
        }
    }

    fn time(&mut self) -> Result<Option<Duration>, String> {
        match self.take("for") {
            None => Ok(None),
            Some(text) => match parse_time(text) {
                Some(time) => Ok(Some(time)),
                None => Err(format!(
                    "`for` must be a time up to one hour, as 10s, not `{text}`"
                )),
            },
        }
    }

    fn factor(&mut self) -> Result<f64, String> {
        let Some(text) = self.take("factor") else {
            return Ok(10.0);
        };
        let factor = text
            .parse()
            .ok()
            .filter(|factor| (0.0..=1000.0).contains(factor));
        factor.ok_or_else(|| format!("`factor` must be a number from 0 to 1000, not `{text}`"))
    }

    fn number(&mut self, key: &str, default: u32) -> Result<u32, String> {
        self.take(key)
            .map_or(Ok(default), |text| parse_number(key, text))
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.0.iter().position(|(name, _)| *name == key)?;
        Some(self.0.swap_remove(at).1)
    }
}

fn parse_number(key: &str, text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("`{key}` must be a whole number, not `{text}`"))
}

fn unread_text(unread: bool) -> &'static str {
    if unread { ";at=body" } else { "" }
}

#[cfg(test)]
mod tests;
