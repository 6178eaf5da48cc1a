//! What a route asks for besides an exact path or a prefix.

use http::header::HOST;
use http::{HeaderName, Method, request};
use penstock_config::route::{Match, PathMatch};

use super::pattern::Pattern;

/// The part of a route's match that is checked request by request; all of it must
/// hold.
#[derive(Debug)]
pub(super) struct Condition {
    path: Option<Pattern>,
    /// Any of these; empty, every method.
    methods: Box<[Method]>,
    headers: Box<[(HeaderName, Pattern)]>,
    /// Any of these; empty, any body.
    models: Box<[Pattern]>,
}

/// What is known of the body's `model`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Model<'a> {
    /// The body was not looked at.
    Unknown,
    /// The body has this model or none.
    Known(Option<&'a str>),
}

/// Whether a route matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    No,
    DependsOnModel,
    Yes,
}

impl Condition {
    pub(super) fn new(matches: &Match) -> Self {
        let headers = matches.headers.iter();
        Self {
            path: match &matches.path {
                Some(PathMatch::Glob(glob)) => Some(Pattern::new(glob)),
                // These two are settled by the index of paths.
                Some(PathMatch::Exact(_) | PathMatch::Prefix(_)) | None => None,
            },
            methods: matches.methods.iter().map(|m| m.as_ref().clone()).collect(),
            headers: headers
                .map(|(name, glob)| (name.as_ref().clone(), Pattern::new(glob)))
                .collect(),
            models: matches.models.iter().map(Pattern::new).collect(),
        }
    }

    pub(super) fn judge(&self, head: &request::Parts, model: Model<'_>) -> Answer {
        let holds = (self.methods.is_empty() || self.methods.contains(&head.method))
            && self
                .path
                .as_ref()
                .is_none_or(|path| path.matches_path(head.uri.path()))
            && self
                .headers
                .iter()
                .all(|(name, pattern)| has_header(head, name, pattern));
        match model {
            _ if !holds => Answer::No,
            _ if self.models.is_empty() => Answer::Yes,
            Model::Unknown => Answer::DependsOnModel,
            Model::Known(Some(model)) if self.models.iter().any(|m| m.matches_text(model)) => {
                Answer::Yes
            }
            Model::Known(_) => Answer::No,
        }
    }
}

/// Whether a field of this name has a value that matches. A value that is not UTF-8
/// matches nothing.
fn has_header(head: &request::Parts, name: &HeaderName, pattern: &Pattern) -> bool {
    let mut values = head.headers.get_all(name).iter().peekable();
    if *name == HOST && values.peek().is_none() {
        // HTTP/2 has the host in `:authority` (RFC 9113 section 8.3.1).
        let authority = head.uri.authority();
        return authority.is_some_and(|authority| pattern.matches_text(authority.as_str()));
    }
    values.any(|value| {
        std::str::from_utf8(value.as_bytes()).is_ok_and(|value| pattern.matches_text(value))
    })
}
