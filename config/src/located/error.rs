//! Why a node could not be decoded.

use std::fmt::{self, Display};

use serde::de::{Expected, Unexpected};

use super::found::{Found, looks_like_a_key};
use super::tree::{Mark, Node};
use crate::unit::shown;

/// Why a node could not be decoded, and which.
#[derive(Debug)]
pub(super) struct Error<'t> {
    cause: Cause,
    place: Option<Place<'t>>,
    /// A value that may be a secret: none of its text may be repeated.
    secret: Option<&'t Node<'t>>,
}

#[derive(Debug)]
struct Place<'t> {
    mark: Mark,
    /// The node at fault: dropped, so that decoding gets past it.
    node: &'t Node<'t>,
}

#[derive(Debug)]
enum Cause {
    /// In full sentences, made where it arose.
    Message {
        message: String,
        hint: Option<String>,
    },
    /// A structure lacks this key.
    MissingKey(&'static str),
    /// A structure does not have this key.
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    /// No choice has this name.
    UnknownChoice {
        name: String,
        known: &'static [&'static str],
    },
}

/// What is told in the place of a mapping's key that may be an API key.
const KEY_ITSELF: &str = "that may be an API key";

/// Bytes by which a text may be longer in the file than by itself.
const QUOTES: usize = 2;

impl<'t> Error<'t> {
    pub(super) fn new(
        node: &'t Node<'t>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let cause = Cause::Message {
            message: message.into(),
            hint,
        };
        Self {
            cause,
            place: None,
            secret: None,
        }
        .at(node)
    }

    /// Says that a node is at fault, unless one further within is.
    pub(super) fn at(mut self, node: &'t Node<'t>) -> Self {
        let mark = match self.cause {
            // What a mapping lacks has no place of its own: the mapping's heading has.
            Cause::MissingKey(_) => node.heading,
            _ => node.mark,
        };
        self.place.get_or_insert(Place { mark, node });
        self
    }

    /// Says that a key is at fault, and its value with it.
    pub(super) fn at_key(mut self, mark: Mark, node: &'t Node<'t>) -> Self {
        self.place.get_or_insert(Place { mark, node });
        self
    }

    pub(super) fn in_secret(mut self, node: &'t Node<'t>) -> Self {
        self.secret = Some(node);
        self
    }

    /// Within the entry of a list of API keys. Where one has a key that is as long as
    /// an API key, it probably is one.
    pub(super) fn in_key(mut self, node: &'t Node<'t>) -> Self {
        /// Names of ours are shorter.
        const BYTES_MIN: usize = 16;
        if let Cause::UnknownKey { key, .. } = &mut self.cause
            && key.len() >= BYTES_MIN
        {
            KEY_ITSELF.clone_into(key);
            return self.in_secret(node);
        }
        self
    }

    /// Where places of API keys are named. What is no misspelt name of ours may be one of
    /// the keys, however short.
    pub(super) fn in_key_source(mut self, node: &'t Node<'t>) -> Self {
        if let Cause::UnknownKey { key, known } = &mut self.cause
            && nearest(key, known.iter().copied()).is_none()
        {
            KEY_ITSELF.clone_into(key);
            return self.in_secret(node);
        }
        self
    }

    /// Notes the mistake, unless it only follows from one that was noted before, and
    /// drops the node at fault.
    pub(super) fn settle(mut self, root: &'t Node<'t>, found: &mut Found) {
        let Place { mark, node } = self.place.unwrap_or(Place {
            mark: root.mark,
            node: root,
        });
        if let Some(secret) = self.secret {
            found.mask(secret.bytes());
        }
        if let Cause::UnknownKey { key: name, .. } | Cause::UnknownChoice { name, .. } =
            &mut self.cause
            && looks_like_a_key(name)
        {
            found.mask(mark.byte()..mark.byte() + name.len() + QUOTES);
            KEY_ITSELF.clone_into(name);
        }
        let follows = match &self.cause {
            // A misspelt key is one that is missing as well.
            Cause::MissingKey(key) => {
                node.has_dropped(key)
                    || node
                        .dropped_keys()
                        .any(|known| nearest(known, [*key].into_iter()).is_some())
            }
            // Complaints about a list or mapping as a whole, as that it is empty.
            Cause::Message { .. } => !node.is_whole(),
            Cause::UnknownKey { .. } | Cause::UnknownChoice { .. } => false,
        };
        if matches!(self.cause, Cause::UnknownKey { .. }) {
            // What was meant is unknown, so it may have been a secret.
            found.mask(node.bytes());
        }
        node.drop_out();
        if !follows {
            let (message, hint) = self.cause.tell();
            found.at(mark, message, hint);
        }
    }
}

impl Cause {
    fn tell(self) -> (String, Option<String>) {
        match self {
            Self::Message { message, hint } => (message, hint),
            Self::MissingKey(key) => (format!("the key `{key}` is missing"), None),
            Self::UnknownKey { key, known } => (
                format!("unknown key {}", shown(&key)),
                Some(suggest(&key, known)),
            ),
            Self::UnknownChoice { name, known } => (
                format!("{} is not one of the choices", shown(&name)),
                Some(suggest(&name, known)),
            ),
        }
    }
}

/// The known name that was most likely meant, else all of them.
fn suggest(name: &str, known: &[&str]) -> String {
    if let Some(nearest) = nearest(name, known.iter().copied()) {
        return format!("did you mean `{nearest}`?");
    }
    match known {
        [] => "no key is known here".to_owned(),
        [only] => format!("known is only `{only}`"),
        known => format!("known are {}", list(known, "and")),
    }
}

/// The candidate nearest to what was written, if one is near enough to be meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Least similarity: a swapped pair or a lost letter passes, another word does not.
    const SIMILARITY_MIN: f64 = 0.85;
    /// Longer texts are no misspelt names, and comparing them would take time.
    const BYTES_MAX: usize = 64;

    let fold = |text: &str| text.to_lowercase().replace('-', "_");
    if name.len() > BYTES_MAX {
        return None;
    }
    let name = fold(name);
    candidates
        .filter(|candidate| candidate.len() <= BYTES_MAX)
        .map(|candidate| (similarity(&name, &fold(candidate)), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// From 0 to 1. Jaro-Winkler, which favours a common beginning, and two cases that it
/// undervalues: one letter wrong in a short name, and a name that lost a whole part.
fn similarity(a: &str, b: &str) -> f64 {
    /// Shorter names are parts of too many others.
    const PART_BYTES_MIN: usize = 4;
    let shorter = a.len().min(b.len());
    let special = if shorter >= PART_BYTES_MIN && (a.contains(b) || b.contains(a)) {
        0.86
    } else if shorter >= 3 && strsim::osa_distance(a, b) == 1 {
        0.9
    } else {
        0.0
    };
    strsim::jaro_winkler(a, b).max(special)
}

/// Names for a message: "`a`, `b` and `c`".
pub(super) fn list(names: &[&str], last_word: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| shown(name)).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {last_word} {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

impl Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Message { message, .. } => f.write_str(message),
            Cause::MissingKey(key) => write!(f, "missing key `{key}`"),
            Cause::UnknownKey { key, .. } => write!(f, "unknown key `{key}`"),
            Cause::UnknownChoice { name, .. } => write!(f, "unknown choice `{name}`"),
        }
    }
}

impl std::error::Error for Error<'_> {}

impl From<Cause> for Error<'_> {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            place: None,
            secret: None,
        }
    }
}

impl serde::de::Error for Error<'_> {
    fn custom<T: Display>(message: T) -> Self {
        Cause::Message {
            message: message.to_string(),
            hint: None,
        }
        .into()
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Seq => Self::custom(format!("expected {expected}, not a list")),
            Unexpected::Map => Self::custom(format!("expected {expected}, not a mapping")),
            _ => Self::custom(format!("expected {expected}")),
        }
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("expected {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Cause::UnknownKey {
            key: field.to_owned(),
            known: expected,
        }
        .into()
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Cause::UnknownChoice {
            name: variant.to_owned(),
            known: expected,
        }
        .into()
    }

    fn missing_field(field: &'static str) -> Self {
        Cause::MissingKey(field).into()
    }
}
