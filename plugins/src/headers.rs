//! Sets, adds and removes headers, with values from who asks and what for.
//!
//! The changes to the answer are asked for with those to the request, so that they are
//! made to a refusal by a later plugin too. Rules that name the model wait until the
//! body was read; all others run with the head.
//!
//! What a rule sets from the identity, the upstream believes. So the client's own header
//! of that name is removed where nothing can be set, and so is one that differs only by
//! `_` for `-`: servers that hand headers on as variables (RFC 3875 section 4.1.18) take
//! the two for one.

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, request};
use penstock_config::plugin;
use penstock_config::plugin::headers::{HeaderRule, Piece, Template, Variable};

use crate::chain::Parts;
use crate::edit::HeaderEdits;
use crate::exchange::Exchange;
use crate::request_id;
use crate::role::{BodyFilter, RequestFilter, Verdict};

/// Longest value that is set. A model's name may be as long as the client likes.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// Rules that run in one phase.
struct Rules {
    request: Box<[Rule]>,
    response: Box<[Rule]>,
}

enum Rule {
    Set {
        name: HeaderName,
        value: Value,
        /// Whether the upstream takes it for who the client is.
        of_identity: bool,
    },
    Add(HeaderName, Value),
    Remove(HeaderName),
}

enum Value {
    Fixed(HeaderValue),
    Filled(Box<[Piece]>),
}

/// The plugin in its roles: see [`plugin::Headers`] for what the operator writes.
pub fn parts(config: &plugin::Headers) -> Parts {
    let (request, late_request) = by_phase(&config.request);
    let (response, late_response) = by_phase(&config.response);
    let early = Rules { request, response };
    let late = Rules {
        request: late_request,
        response: late_response,
    };
    Parts {
        request: early.filled().map(|rules| Arc::new(rules) as _),
        body: late.filled().map(|rules| Arc::new(rules) as _),
        ..Parts::default()
    }
}

/// The rules that run with the head, and those that wait for the body. They keep their
/// order among each other, so all wait if one does.
fn by_phase(rules: &[HeaderRule]) -> (Box<[Rule]>, Box<[Rule]>) {
    let compiled = rules.iter().flat_map(compiled).collect();
    if needs_body(rules) {
        (Box::default(), compiled)
    } else {
        (compiled, Box::default())
    }
}

fn needs_body(rules: &[HeaderRule]) -> bool {
    rules.iter().any(|rule| match rule {
        HeaderRule::Set(values) | HeaderRule::Add(values) => values
            .values()
            .flat_map(Template::variables)
            .any(|variable| *variable == Variable::Model),
        HeaderRule::Remove(_) => false,
    })
}

fn compiled(rule: &HeaderRule) -> Vec<Rule> {
    match rule {
        HeaderRule::Set(values) => {
            let set = values.iter().map(|(name, template)| Rule::Set {
                name: name.as_ref().clone(),
                value: Value::new(template),
                of_identity: template.variables().any(Variable::is_of_identity),
            });
            set.collect()
        }
        HeaderRule::Add(values) => {
            let add = values
                .iter()
                .map(|(name, template)| Rule::Add(name.as_ref().clone(), Value::new(template)));
            add.collect()
        }
        HeaderRule::Remove(name) => vec![Rule::Remove(name.as_ref().clone())],
    }
}

impl Rules {
    fn filled(self) -> Option<Self> {
        (!self.request.is_empty() || !self.response.is_empty()).then_some(self)
    }

    fn apply(&self, exchange: &mut Exchange, head: &request::Parts) {
        for rule in &self.request {
            if let Rule::Set {
                name,
                of_identity: true,
                ..
            } = rule
            {
                remove_lookalikes(name, exchange, head);
            }
            if let Some(edit) = rule.edit(exchange) {
                edit.make(&mut exchange.request);
            }
        }
        for rule in &self.response {
            if let Some(edit) = rule.edit(exchange) {
                edit.make(&mut exchange.response);
            }
        }
    }
}

/// Removes what the client sent under a name that some servers take for this one.
fn remove_lookalikes(name: &HeaderName, exchange: &mut Exchange, head: &request::Parts) {
    let folded = |name: &HeaderName| name.as_str().replace('_', "-");
    let alike = |other: &&HeaderName| {
        other.as_str().contains('_')
            && other.as_str().len() == name.as_str().len()
            && *other != name
            && folded(other) == folded(name)
    };
    for other in head.headers.keys().filter(alike) {
        exchange.request.remove(other.clone());
    }
}

impl RequestFilter for Rules {
    fn request(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict {
        self.apply(exchange, head);
        Ok(())
    }
}

impl BodyFilter for Rules {
    fn body(&self, exchange: &mut Exchange, head: &request::Parts, _: &Bytes) -> Verdict {
        self.apply(exchange, head);
        Ok(())
    }
}

/// A rule with its value filled in.
enum Change {
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl Change {
    fn make(self, edits: &mut HeaderEdits) {
        match self {
            Self::Set(name, value) => edits.set(name, value),
            Self::Add(name, value) => edits.add(name, value),
            Self::Remove(name) => edits.remove(name),
        }
    }
}

impl Rule {
    fn edit(&self, exchange: &Exchange) -> Option<Change> {
        match self {
            Self::Set { name, value, .. } => Some(match value.fill(exchange) {
                Some(value) => Change::Set(name.clone(), value),
                None => Change::Remove(name.clone()),
            }),
            Self::Add(name, value) => Some(Change::Add(name.clone(), value.fill(exchange)?)),
            Self::Remove(name) => Some(Change::Remove(name.clone())),
        }
    }
}

impl Value {
    fn new(template: &Template) -> Self {
        let mut text = String::new();
        for piece in template.pieces() {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(_) => return Self::Filled(template.pieces().into()),
            }
        }
        match HeaderValue::from_str(&text) {
            Ok(value) => Self::Fixed(value),
            // The template's constructor lets nothing else through.
            Err(_) => Self::Filled(template.pieces().into()),
        }
    }

    /// The value for this exchange; none if something in it is not known.
    fn fill(&self, exchange: &Exchange) -> Option<HeaderValue> {
        let pieces = match self {
            Self::Fixed(value) => return Some(value.clone()),
            Self::Filled(pieces) => pieces,
        };
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable(variable) => {
                    let before = text.len();
                    push(&mut text, variable, exchange)?;
                    if text.len() == before {
                        return None;
                    }
                }
            }
            if text.len() > VALUE_BYTES_MAX {
                return None;
            }
        }
        HeaderValue::from_str(&text).ok()
    }
}

/// Appends what is known; none if nothing is.
fn push(text: &mut String, variable: &Variable, exchange: &Exchange) -> Option<()> {
    let identity = exchange.identity();
    match variable {
        Variable::Consumer => push_encoded(text, &identity?.consumer, ""),
        Variable::Tenant => push_encoded(text, &identity?.tenant, ""),
        Variable::Key => push_encoded(text, &identity?.key, ""),
        Variable::Roles => {
            for (place, role) in identity?.roles.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                push_encoded(text, role, ",");
            }
        }
        Variable::Claim(name) => push_encoded(text, identity?.metadata.get(name.as_str())?, ""),
        Variable::ClientCertificate => push_encoded(text, exchange.client_certificate()?, ""),
        Variable::Route => push_encoded(text, exchange.route()?.as_str(), ""),
        Variable::Model => push_encoded(text, exchange.model()?, ""),
        Variable::RequestId => push_encoded(text, &request_id::of(exchange), ""),
        Variable::ClientAddress => {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", exchange.client()?);
        }
    }
    Some(())
}

/// Appends a value in which nothing can be mistaken: whatever is not visible ASCII is
/// percent-encoded (RFC 3986 section 2.1), as are `%` and what is in `also`.
fn push_encoded(text: &mut String, value: &str, also: &str) {
    for byte in value.bytes().take(VALUE_BYTES_MAX + 1) {
        let plain = byte.is_ascii_graphic() && byte != b'%' && !also.as_bytes().contains(&byte);
        if plain {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}
