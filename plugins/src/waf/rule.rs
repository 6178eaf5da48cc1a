//! What a rule is.
//!
//! Rules are data. Each has a number that never changes its meaning, the targets that
//! it looks at, the readings of them that it wants, words without which it cannot
//! match, a pattern, and a decision. A rule set in another language becomes the same:
//! its phases are the targets of the head and those of the body, its transformations
//! are readings, its scores a kind of decision.

use super::view::{Encoding, Views};

/// A part of a request. Each is looked at by its own selection of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The request's method.
    Method,
    /// The path, without the query.
    Path,
    /// Name of a parameter, in the query or in a form.
    ParameterName,
    /// Value of a parameter.
    Parameter,
    /// Value of a parameter that is named like an address to be fetched.
    ParameterLink,
    /// Name of a header.
    HeaderName,
    /// Value of a header.
    Header,
    /// Value of a header that has a grammar of its own full of marks, or that is a
    /// credential.
    OpaqueHeader,
    /// Value of `user-agent`.
    Agent,
    /// Value of `host`.
    Host,
    /// Value of `content-type`.
    ContentType,
    /// Value of a header that holds the address of a page, which is not ours.
    Page,
    /// Value of a cookie.
    Cookie,
    /// Key of a JSON object, after its parent's and a dot.
    JsonKey,
    /// A string in JSON that is no prompt.
    Json,
    /// A string in JSON that is named like an address to be fetched.
    JsonLink,
    /// The address of an image, a file or a server, amid a prompt.
    JsonMedia,
    /// Name of an uploaded file.
    FileName,
    /// A body of XML.
    Xml,
}

impl Target {
    /// Every target.
    pub(super) const ALL: [Self; 19] = [
        Self::Method,
        Self::Path,
        Self::ParameterName,
        Self::Parameter,
        Self::ParameterLink,
        Self::HeaderName,
        Self::Header,
        Self::OpaqueHeader,
        Self::Agent,
        Self::Host,
        Self::ContentType,
        Self::Page,
        Self::Cookie,
        Self::JsonKey,
        Self::Json,
        Self::JsonLink,
        Self::JsonMedia,
        Self::FileName,
        Self::Xml,
    ];

    /// How its texts are encoded besides what any text may be.
    pub(super) fn encoding(self) -> Encoding {
        match self {
            Self::ParameterName | Self::Parameter | Self::ParameterLink => Encoding::Query,
            _ => Encoding::Plain,
        }
    }
}

/// Targets, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Targets(u32);

impl Targets {
    pub(super) const fn of(targets: &[Target]) -> Self {
        let mut set = 0;
        let mut rest = targets;
        while let [first, others @ ..] = rest {
            set |= 1 << *first as u32;
            rest = others;
        }
        Self(set)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn contains(self, target: Target) -> bool {
        self.0 & 1 << target as u32 != 0
    }
}

/// What a rule that matches means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The request is an attack.
    Refuse,
    /// Something that an operator may want to know, and that ordinary requests hold.
    Note,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its number.
    pub(super) number: u32,
    /// What it looks at.
    pub(super) targets: Targets,
    /// How it reads that.
    pub(super) views: Views,
    /// One of these words, in any letter case, must stand in the text.
    pub(super) words: &'static [&'static str],
    /// A regular expression that must match too, in bytes, in any letter case; without
    /// one, a word is enough.
    pub(super) pattern: Option<&'static str>,
    /// What a match means.
    pub(super) decision: Decision,
}

impl Rule {
    /// A rule that refuses, on every reading.
    pub(super) const fn new(
        number: u32,
        targets: Targets,
        words: &'static [&'static str],
        pattern: &'static str,
    ) -> Self {
        Self {
            number,
            targets,
            views: Views::ALL,
            words,
            pattern: Some(pattern),
            decision: Decision::Refuse,
        }
    }

    /// A rule that refuses wherever one of the words stands.
    pub(super) const fn words(
        number: u32,
        targets: Targets,
        words: &'static [&'static str],
    ) -> Self {
        Self {
            number,
            targets,
            views: Views::ALL,
            words,
            pattern: None,
            decision: Decision::Refuse,
        }
    }

    /// The same rule that does not refuse.
    pub(super) const fn noted(mut self) -> Self {
        self.decision = Decision::Note;
        self
    }
}
