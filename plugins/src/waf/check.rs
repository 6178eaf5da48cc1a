//! Bounds and lists that the operator sets.

use std::net::IpAddr;

use http::{StatusCode, header, request};
use penstock_config::plugin;
use penstock_config::unit::{Glob, MediaType, Size};

use super::finding::{Finding, Findings, Place};
use super::rule::Decision;
use crate::facts::Facts;
use crate::media_type;
use crate::networks::Networks;

const MALFORMED: u32 = 100_809;
const ENCODED: u32 = 100_810;
const MAX_TOKENS: u32 = 109_001;
const ANSWERS: u32 = 109_002;
const MESSAGES: u32 = 109_003;
const TOOLS: u32 = 109_004;
const DEPTH: u32 = 109_005;
const SIZE: u32 = 109_006;
const DENIED: u32 = 109_011;
const NOT_ALLOWED: u32 = 109_012;
const AGENT: u32 = 109_013;

/// The checks that have no pattern, by number.
#[cfg(test)]
pub(super) const NUMBERS: [u32; 11] = [
    MALFORMED,
    ENCODED,
    MAX_TOKENS,
    ANSWERS,
    MESSAGES,
    TOOLS,
    DEPTH,
    SIZE,
    DENIED,
    NOT_ALLOWED,
    AGENT,
];

/// As much of a `user-agent` as is held against patterns, in bytes: a pattern's time
/// grows with it, and no client needs more to say what it is.
const AGENT_BYTES_MAX: usize = 1024;

/// Bounds and lists, ready to be asked. One whose rule is off is empty.
pub(super) struct Checks {
    fields: [Bound; 5],
    sizes: Box<[(MediaType, Size)]>,
    allow: Networks,
    deny: Networks,
    /// In lower case.
    agents: Box<[Glob]>,
    malformed: bool,
    encoded: bool,
}

/// The greatest value of a field.
struct Bound {
    number: u32,
    field: &'static str,
    most: Option<u64>,
    of: fn(&Facts) -> Option<u64>,
}

impl Checks {
    pub(super) fn new(config: &plugin::Waf) -> Self {
        let on = |number| !config.rules.is_off(number);
        let bound = |number, field, most: Option<u32>, of| Bound {
            number,
            field,
            most: most.filter(|_| on(number)).map(u64::from),
            of,
        };
        let fields = &config.fields;
        let networks = |number, list: &[_]| match on(number) {
            true => Networks::new(list),
            false => Networks::default(),
        };
        let sizes = fields.body.iter().filter(|_| on(SIZE));
        let agents = config.agents.deny.iter().filter(|_| on(AGENT));
        Self {
            fields: [
                bound(MAX_TOKENS, "max_tokens", fields.max_tokens, |facts| {
                    facts.max_tokens
                }),
                bound(ANSWERS, "n", fields.n, |facts| facts.n),
                bound(MESSAGES, "messages", fields.messages, |facts| {
                    Some(facts.messages)
                }),
                bound(TOOLS, "tools", fields.tools, |facts| Some(facts.tools)),
                bound(DEPTH, "depth", fields.depth, |facts| {
                    u64::try_from(facts.depth).ok()
                }),
            ],
            sizes: sizes
                .map(|(media_type, size)| (media_type.clone(), *size))
                .collect(),
            allow: networks(NOT_ALLOWED, &config.addresses.allow),
            deny: networks(DENIED, &config.addresses.deny),
            // A pattern in lower case is a pattern too.
            agents: agents
                .filter_map(|glob| glob.as_str().to_lowercase().parse().ok())
                .collect(),
            malformed: on(MALFORMED),
            encoded: on(ENCODED),
        }
    }

    /// Whether the client may connect at all.
    pub(super) fn client(
        &self,
        client: Option<IpAddr>,
        head: &request::Parts,
        found: &mut Findings,
    ) -> bool {
        let within = |networks: &Networks| client.is_some_and(|client| networks.contains(client));
        let refuse = |number, place| Finding::attack(number, Decision::Refuse, Place::Bare(place));
        if within(&self.deny) && !found.add(refuse(DENIED, "address")) {
            return false;
        }
        // A list of those who may refuses whoever cannot be told.
        if !self.allow.is_empty()
            && !within(&self.allow)
            && !found.add(refuse(NOT_ALLOWED, "address"))
        {
            return false;
        }
        let denied = !self.agents.is_empty() && self.denies_agent(head);
        !denied || found.add(refuse(AGENT, "header:user-agent"))
    }

    fn denies_agent(&self, head: &request::Parts) -> bool {
        head.headers
            .get_all(header::USER_AGENT)
            .iter()
            .any(|agent| {
                let agent = agent.as_bytes();
                let agent = agent.get(..AGENT_BYTES_MAX).unwrap_or(agent);
                let agent = String::from_utf8_lossy(agent).to_lowercase();
                self.agents.iter().any(|glob| glob.matches_text(&agent))
            })
    }

    /// The size that the head announces. A body without one is told its size when it is
    /// here.
    pub(super) fn declared_size(&self, head: &request::Parts, found: &mut Findings) -> bool {
        let length = head.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        length.is_none_or(|length| self.size(head, length, found))
    }

    /// The size of the body.
    pub(super) fn size(&self, head: &request::Parts, bytes: usize, found: &mut Findings) -> bool {
        let Some(most) = self.size_max(head) else {
            return true;
        };
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= most.bytes()) {
            return true;
        }
        let message = format!("The body may have at most {most} here");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        found.add(Finding::mistake(SIZE, "body", status, message))
    }

    /// The bound for the declared type. Of several that fit, the most exact.
    fn size_max(&self, head: &request::Parts) -> Option<Size> {
        if self.sizes.is_empty() {
            return None;
        }
        let value = head.headers.get(header::CONTENT_TYPE);
        let declared = media_type::essence(value.map_or(b"", |value| value.as_bytes()));
        let exactness = |range: &MediaType| match range.as_str().split_once('/') {
            Some(("*", _)) => Some(0),
            Some((class, "*")) => {
                let (head, tail) = declared.split_at_checked(class.len())?;
                let fits = head.eq_ignore_ascii_case(class.as_bytes()) && tail.starts_with(b"/");
                fits.then_some(1)
            }
            _ => declared
                .eq_ignore_ascii_case(range.as_str().as_bytes())
                .then_some(2),
        };
        let fitting = self
            .sizes
            .iter()
            .filter_map(|(range, size)| Some((exactness(range)?, size)));
        fitting
            .max_by_key(|(exactness, _)| *exactness)
            .map(|(_, size)| *size)
    }

    /// The fields of the body.
    pub(super) fn fields(&self, facts: Option<&Facts>, found: &mut Findings) -> bool {
        let Some(facts) = facts else {
            return true;
        };
        self.fields.iter().all(|bound| {
            let Some(most) = bound.most else {
                return true;
            };
            if (bound.of)(facts).is_none_or(|value| value <= most) {
                return true;
            }
            let message = match bound.field {
                "depth" => format!("The body may be nested at most {most} deep here"),
                "messages" | "tools" => {
                    format!("`{}` may have at most {most} elements here", bound.field)
                }
                field => format!("`{field}` may be at most {most} here"),
            };
            let place = "body";
            found.add(Finding::mistake(
                bound.number,
                place,
                StatusCode::BAD_REQUEST,
                message,
            ))
        })
    }

    /// A body that is JSON by its type or its beginning and not by the rest: whoever
    /// reads it more leniently than this reads what was not looked at.
    pub(super) fn malformed(&self, found: &mut Findings) -> bool {
        let message = "The body is not valid JSON";
        let status = StatusCode::BAD_REQUEST;
        !self.malformed || found.add(Finding::mistake(MALFORMED, "body", status, message))
    }

    /// A body that is compressed, and so cannot be looked at. Says whether it can be.
    pub(super) fn encoding(&self, head: &request::Parts, found: &mut Findings) -> bool {
        let mut encodings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return true;
        }
        if self.encoded {
            let message = "The body must not be compressed";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            found.add(Finding::mistake(
                ENCODED,
                "header:content-encoding",
                status,
                message,
            ));
        }
        false
    }
}
