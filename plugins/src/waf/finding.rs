//! What was found in a request.

use std::borrow::Cow;
use std::fmt::{self, Write};

use http::StatusCode;
use penstock_config::plugin::waf::{Mode, RuleId};

use super::rule::Decision;
use crate::refusal::{Kind, Refusal};

/// Most findings that one request is logged with.
const FINDINGS_MAX: usize = 16;

/// The error's identifier for programs.
const CODE: &str = "request_blocked";

/// A part of a request, by the name that an operator knows it by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'t> {
    /// One that there is once.
    Bare(&'static str),
    /// One of several, by its name.
    Named(&'static str, &'t [u8]),
    /// A field of a JSON body.
    Json {
        /// Key at the top.
        top: &'t [u8],
        /// Its own key.
        key: &'t [u8],
    },
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare(of) => f.write_str(of),
            Self::Named(of, []) => f.write_str(of),
            Self::Named(of, name) => write!(f, "{of}:{}", Shown(name)),
            Self::Json { top: [], key: [] } => f.write_str("body"),
            Self::Json { top, key } if top.is_empty() || top == key => {
                write!(f, "body:{}", Shown(key))
            }
            Self::Json { top, key: [] } => write!(f, "body:{}", Shown(top)),
            Self::Json { top, key } => write!(f, "body:{}.{}", Shown(top), Shown(key)),
        }
    }
}

/// A name that a client chose, as far as it is fit for a log line.
struct Shown<'t>(&'t [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 32;
        for byte in self.0.iter().take(CHARS_MAX) {
            let plain = byte.is_ascii_alphanumeric() || b"_-[]".contains(byte);
            f.write_char(if plain { char::from(*byte) } else { '?' })?;
        }
        Ok(())
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The rule's number.
    pub(super) number: u32,
    /// What it means.
    pub(super) decision: Decision,
    place: String,
    answer: Answer,
}

/// What the client reads.
#[derive(Clone, Debug)]
enum Answer {
    /// That it may not, and nothing that helps to get around it.
    Attack,
    /// What it did wrong.
    Mistake(StatusCode, Cow<'static, str>),
}

impl Finding {
    /// Something that an honest client does not send.
    pub(super) fn attack(number: u32, decision: Decision, place: Place<'_>) -> Self {
        Self {
            number,
            decision,
            place: place.to_string(),
            answer: Answer::Attack,
        }
    }

    /// Something that an honest client may send by mistake, with what to tell it.
    pub(super) fn mistake(
        number: u32,
        place: &'static str,
        status: StatusCode,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            number,
            decision: Decision::Refuse,
            place: place.to_owned(),
            answer: Answer::Mistake(status, message.into()),
        }
    }

    /// The refusal that it leads to.
    pub(super) fn refusal(&self) -> Box<Refusal> {
        let rule = Number(self.number);
        let title = RuleId::find(self.number).map_or("unknown", RuleId::title);
        let (status, kind, message) = match &self.answer {
            Answer::Attack => {
                let message = format!("This request was blocked by rule {rule}.");
                (StatusCode::FORBIDDEN, Kind::Permission, message)
            }
            Answer::Mistake(status, message) => {
                let kind = match *status {
                    StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
                    _ => Kind::InvalidRequest,
                };
                (*status, kind, format!("{message} (rule {rule})."))
            }
        };
        let reason = format!("rule {rule} ({title}) matched {}", self.place);
        Refusal::new(status, kind, CODE, message).because(reason)
    }
}

/// A rule's number as the operator writes it.
struct Number(u32);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:06}", RuleId::PREFIX, self.0)
    }
}

/// What was found in one request, in order.
#[derive(Debug)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    mode: Mode,
}

impl Findings {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            found: Vec::new(),
            mode,
        }
    }

    /// Adds a finding. Says whether to go on: one that refuses is enough, and a log line
    /// takes no more than it takes.
    pub(super) fn add(&mut self, finding: Finding) -> bool {
        let known = self
            .found
            .iter()
            .any(|known| known.number == finding.number);
        if !known && self.found.len() < FINDINGS_MAX {
            self.found.push(finding);
        }
        self.is_open()
    }

    /// Whether more is to be looked for.
    pub(super) fn is_open(&self) -> bool {
        let refused = |finding: &Finding| finding.decision == Decision::Refuse;
        let decided = self.mode == Mode::Block && self.found.iter().any(refused);
        !decided && self.found.len() < FINDINGS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.found.iter()
    }

    /// The rules' numbers, for the log.
    pub(super) fn numbers(&self) -> String {
        joined(self.found.iter().map(|finding| Number(finding.number)))
    }

    /// Where they matched, in the order of [`numbers`](Self::numbers).
    pub(super) fn places(&self) -> String {
        joined(self.found.iter().map(|finding| &finding.place))
    }
}

fn joined(items: impl Iterator<Item = impl fmt::Display>) -> String {
    let mut text = String::new();
    for (index, item) in items.enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{item}");
    }
    text
}
