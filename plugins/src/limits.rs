//! Limits on requests, tokens and concurrency.
//!
//! A request is held against all of its limits, or none: one that is refused, by a limit
//! or by anything after it, gives back what it took. What it holds meanwhile is in the
//! exchange, and settled exactly once: when the exchange ends, or when it is dropped.
//!
//! Requests are counted when they come. Of tokens an estimate is reserved
//! before anything is sent, and replaced by the [usage](crate::usage) that the answer
//! states; where it states none, the estimate stands. A request whose estimate does not
//! fit any more, but which may be smaller than that, is let in as the last one: until it
//! is settled nothing else is. So what is settled within a window exceeds the limit by no
//! more than this last request, as long as no other uses more than was reserved for it.
//!
//! The counters outlive the configuration: see [`meter`].

pub mod counter;
mod estimate;
pub(crate) mod held;
pub mod key;
pub mod meter;
mod rule;
pub mod sketch;
mod standing;
pub mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header, request, response};
use penstock_config::plugin;

use crate::chain::Parts;
use crate::ending::Ending;
use crate::exchange::Exchange;
use crate::facts::Facts;
use crate::refusal::{Kind, Refusal};
use crate::role::{BodyFilter, Observer, Reading, RequestFilter, ResponseFilter, Verdict};
use crate::shared::Shared;
use crate::usage::Reader;

use estimate::Asked;
use rule::Rule;

/// The plugin: see [`plugin::Limits`] for what the operator writes.
#[derive(Debug)]
pub struct Limits {
    /// Judged by the head.
    head: Box<[Rule]>,
    /// Judged with the body at hand.
    body: Box<[Rule]>,
}

impl Limits {
    /// The plugin as configured, with the counters that earlier generations left.
    pub fn build(config: &plugin::Limits, shared: &Shared) -> Parts {
        let rules = config.iter().map(|limit| Rule::new(limit, shared));
        let (body, head): (Vec<_>, Vec<_>) = rules.partition(Rule::needs_body);
        let (with_head, with_body) = (!head.is_empty(), !body.is_empty());
        let limits = Arc::new(Self {
            head: head.into(),
            body: body.into(),
        });
        Parts {
            request: with_head.then(|| Arc::clone(&limits) as _),
            body: with_body.then(|| Arc::clone(&limits) as _),
            response: Some(Arc::clone(&limits) as _),
            observer: Some(limits),
            ..Parts::default()
        }
    }

    fn take(rules: &[Rule], exchange: &mut Exchange, asked: Option<&Asked>) -> Verdict {
        let taken = rules.iter().try_for_each(|rule| rule.take(exchange, asked));
        if taken.is_err() {
            exchange.held.give_back();
        }
        taken
    }

    /// Sees to it that the answer states its usage.
    fn ask_for_usage(exchange: &mut Exchange, head: &request::Parts) {
        if head.headers.contains_key(header::ACCEPT_ENCODING) {
            // A compressed answer could not be read.
            let identity = HeaderValue::from_static("identity");
            exchange.request.set(header::ACCEPT_ENCODING, identity);
        }
        let path = head.uri.path();
        // Only these APIs have to be asked.
        let must_ask = path.trim_end_matches('/').ends_with("/completions");
        let facts = exchange.facts().filter(|facts| facts.stream && must_ask);
        exchange.held.reading = match facts.and_then(Facts::ask_for_usage) {
            Some(edit) => {
                exchange.body_edits.add(edit);
                held::Reading::Strip
            }
            None => held::Reading::Read,
        };
    }
}

impl RequestFilter for Limits {
    fn request(&self, exchange: &mut Exchange, _: &request::Parts) -> Verdict {
        Self::take(&self.head, exchange, None)
    }
}

impl BodyFilter for Limits {
    fn body(&self, exchange: &mut Exchange, head: &request::Parts, body: &Bytes) -> Verdict {
        let path = head.uri.path();
        let none = Facts::default();
        let facts = exchange.facts().unwrap_or(&none);
        if self.enforces_tokens() && estimate::may_be_read_otherwise(facts, body) {
            exchange.held.give_back();
            return Err(not_json());
        }
        let asked = Asked::new(path, facts, body);
        Self::take(&self.body, exchange, asked.as_ref())?;
        if asked.is_some() && exchange.held.has_tokens() {
            Self::ask_for_usage(exchange, head);
        }
        Ok(())
    }
}

impl Limits {
    fn enforces_tokens(&self) -> bool {
        self.body.iter().any(Rule::enforces_tokens)
    }
}

/// A body whose tokens cannot be estimated, but that an upstream might read.
fn not_json() -> Box<Refusal> {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        Kind::InvalidRequest,
        "invalid_json",
        "The body looks like JSON but is not declared as such. Send it as `content-type: \
         application/json`.",
    )
}

impl ResponseFilter for Limits {
    fn response(&self, exchange: &mut Exchange, head: &response::Parts) -> Option<Reading> {
        // Whichever of a chain's plugins comes first does it for all.
        if exchange.held.answered.replace(head.status).is_some() {
            return None;
        }
        let (dialect, now) = (exchange.dialect(), exchange.arrived_at());
        let standings = exchange.held.standings;
        standings.headers(dialect, now, |name, value| {
            exchange.response.set(name, value);
        });
        let strip = match exchange.held.reading {
            held::Reading::Leave => return None,
            held::Reading::Read => false,
            held::Reading::Strip => true,
        };
        let reader = Reader::new(&head.headers, strip)?;
        Some(match reader.rewrites() {
            true => Reading::rewrite(reader),
            false => Reading::watch(reader),
        })
    }
}

impl Observer for Limits {
    fn ended(&self, exchange: &mut Exchange, ending: &Ending<'_>) {
        let usage = exchange.usage().copied();
        exchange.held.settle(ending, usage.as_ref());
        let whole = usage.filter(|usage| usage.is_whole());
        let notes = whole.map(|usage| {
            [
                ("prompt_tokens", usage.prompt_tokens()),
                ("completion_tokens", usage.completion_tokens()),
            ]
        });
        for (name, tokens) in notes.into_iter().flatten() {
            if let Some(tokens) = tokens {
                exchange.note(name, tokens.to_string());
            }
        }
    }
}
