//! What a route asks for besides an exact path, a prefix and a model.

use std::cell::OnceCell;
use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderName, Method, request};
use penstock_config::route::{Match, PathMatch};
use penstock_config::unit::Country;

use super::pattern::Pattern;
use crate::geoip::Countries;

/// The part of a route's match that is checked request by request; all of it must
/// hold.
#[derive(Debug)]
pub(super) struct Condition {
    path: Option<Pattern>,
    /// Any of these; empty, every method.
    methods: Box<[Method]>,
    headers: Box<[(HeaderName, Pattern)]>,
    /// Any of these; empty, every address.
    countries: Box<[Country]>,
}

/// What a route is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) head: &'a request::Parts,
    pub(super) model: Model<'a>,
    pub(super) origin: &'a Origin<'a>,
}

/// Where a request comes from. The country is looked up once, when a route wants to know.
pub(super) struct Origin<'a> {
    countries: Option<&'a Countries>,
    client: Option<IpAddr>,
    found: OnceCell<Option<&'a str>>,
}

impl<'a> Origin<'a> {
    pub(super) fn new(countries: Option<&'a Countries>, client: Option<IpAddr>) -> Self {
        Self {
            countries,
            client,
            found: OnceCell::new(),
        }
    }

    fn country(&self) -> Option<&str> {
        let look_up = || self.countries?.of(self.client?);
        *self.found.get_or_init(look_up)
    }
}

/// What is known of the body's `model`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Model<'a> {
    /// The body was not looked at.
    Unknown,
    /// The body has this model or none.
    Known(Option<&'a str>),
}

/// How a route that is not ruled out matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
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
            countries: matches.countries.as_slice().into(),
        }
    }

    /// All that [`Condition::new`] looks at: where this is equal, so is the condition.
    pub(super) fn terms(matches: &Match) -> Vec<&str> {
        let mut terms = Vec::new();
        if let Some(PathMatch::Glob(glob)) = &matches.path {
            terms.extend(["path", glob.as_str()]);
        }
        for method in &matches.methods {
            terms.extend(["method", method.as_str()]);
        }
        for (name, glob) in &matches.headers {
            terms.extend(["header", name.as_str(), glob.as_str()]);
        }
        for country in &matches.countries {
            terms.extend(["country", country.as_str()]);
        }
        terms
    }

    /// Whether a request is like this.
    pub(super) fn holds(&self, asked: Asked<'_>) -> bool {
        let head = asked.head;
        (self.methods.is_empty() || self.methods.contains(&head.method))
            && self
                .path
                .as_ref()
                .is_none_or(|path| path.matches_path(head.uri.path()))
            && self
                .headers
                .iter()
                .all(|(name, pattern)| has_header(head, name, pattern))
            && (self.countries.is_empty() || self.is_of_one(asked.origin))
    }

    fn is_of_one(&self, origin: &Origin<'_>) -> bool {
        let country = origin.country();
        country.is_some_and(|code| self.countries.iter().any(|one| one.as_str() == code))
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
