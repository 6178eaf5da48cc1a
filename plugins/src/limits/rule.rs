//! One limit of a generation: its numbers, and the counters that it shares with others.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use penstock_config::plugin::{Limit, Measure, Mode, Part, TokenKind};
use penstock_config::unit::Period;

use super::counter::{Counter, Taken};
use super::estimate::{Asked, Need};
use super::held::Hold;
use super::key::{Key, KeyParts};
use super::meter::{Counts, Judged, Meter};
use super::standing::{Class, Standing, Standings};
use super::table::Refused;
use crate::exchange::Exchange;
use crate::refusal::{Kind, Refusal};
use crate::shared::Shared;

/// How long a client is told to wait where only requests under way stand in its way:
/// nobody knows when they end.
const WAIT_FOR_OTHERS: Duration = Duration::from_secs(1);

/// A limit as configured, and its counters.
#[derive(Debug)]
pub(super) struct Rule {
    meter: Arc<Meter>,
    limit: u64,
    measure: Measure,
    by: Box<[Part]>,
    mode: Mode,
}

/// Why a limit does not let a request through.
enum Denied {
    /// It is reached.
    Reached {
        left: u64,
        wait: Duration,
        reset: Duration,
    },
    /// The request needs more than the whole limit.
    TooLarge { least: u64 },
    /// There are too many keys.
    Keys,
}

impl Rule {
    pub(super) fn new(limit: &Limit, shared: &Shared) -> Self {
        Self {
            meter: Meter::of(limit, shared),
            limit: limit.limit,
            measure: limit.measure.clone(),
            by: limit.by.as_slice().into(),
            mode: limit.mode,
        }
    }

    /// Whether it can only be judged with the body at hand.
    pub(super) fn needs_body(&self) -> bool {
        matches!(self.measure, Measure::Tokens(_)) || self.by.contains(&Part::Model)
    }

    /// Whether requests whose tokens cannot be counted must not pass.
    pub(super) fn enforces_tokens(&self) -> bool {
        matches!(self.measure, Measure::Tokens(_)) && self.mode == Mode::Enforce
    }

    /// Takes what the request needs, or says why not. `asked` is what it asks for in
    /// tokens; none if it uses none.
    pub(super) fn take(
        &self,
        exchange: &mut Exchange,
        asked: Option<&Asked>,
    ) -> Result<(), Box<Refusal>> {
        let own = exchange.identity();
        let own = own.and_then(|identity| identity.limits.get(self.meter.name()));
        let limit = own.copied().unwrap_or(self.limit);
        let taken = match (&self.measure, asked) {
            (Measure::Tokens(_), None) => return Ok(()),
            (Measure::Tokens(tokens), Some(asked)) => {
                self.tokens(exchange, tokens.kind, asked.need(tokens), limit)
            }
            (Measure::Requests { .. }, _) => self.request(exchange, limit),
            (Measure::Concurrent, _) => self.running(exchange, limit),
        };
        match taken {
            Ok((hold, standing)) => {
                let since = exchange.arrived_at();
                exchange.held.add(hold, since);
                if let (Some(standing), Mode::Enforce) = (standing, self.mode) {
                    exchange.held.standings.note(self.class(), standing);
                }
                Ok(())
            }
            Err(denied) => self.deny(exchange, &denied, limit),
        }
    }

    fn request(&self, exchange: &Exchange, limit: u64) -> Result<(Hold, Option<Standing>), Denied> {
        let (key, now) = (self.key(exchange), exchange.arrived_at());
        match self.meter.counts() {
            Counts::Exact(table) => {
                let taken = table.take(key, now, |counter| counter.spend(now, 1, limit));
                let (counter, taken) = taken.map_err(|why| denied(why, now, 1, limit))?;
                let reset = counter.forgets_in(now);
                let stamp = taken.stamp;
                let hold = Hold::Request { counter, stamp };
                Ok((
                    hold,
                    Some(Standing {
                        limit,
                        left: taken.left,
                        reset,
                    }),
                ))
            }
            Counts::Estimated(sketch) => {
                let window = self.per().map_or(Duration::ZERO, Period::get);
                let reached = |wait| Denied::Reached {
                    left: 0,
                    wait,
                    reset: window,
                };
                let (mark, left) = sketch.spend(key, now, limit).map_err(reached)?;
                let meter = Arc::clone(&self.meter);
                let hold = Hold::Estimated { meter, mark };
                Ok((
                    hold,
                    Some(Standing {
                        limit,
                        left,
                        reset: window,
                    }),
                ))
            }
        }
    }

    fn tokens(
        &self,
        exchange: &Exchange,
        kind: TokenKind,
        need: Need,
        limit: u64,
    ) -> Result<(Hold, Option<Standing>), Denied> {
        if need.least > limit {
            return Err(Denied::TooLarge { least: need.least });
        }
        let now = exchange.arrived_at();
        let least = need.least.max(1);
        let (counter, taken) = self.reserve(exchange, need.tokens.max(least), least, limit)?;
        let (reserved, left) = (taken.amount, taken.left);
        let standing = Standing {
            limit,
            left,
            // It begins to be forgotten when it is settled.
            reset: self
                .per()
                .map_or(Duration::ZERO, Period::get)
                .max(counter.forgets_in(now)),
        };
        let hold = Hold::Tokens {
            counter,
            reserved,
            estimate: need.tokens.min(limit),
            kind,
        };
        Ok((hold, Some(standing)))
    }

    fn running(&self, exchange: &Exchange, limit: u64) -> Result<(Hold, Option<Standing>), Denied> {
        let (counter, _) = self.reserve(exchange, 1, 1, limit)?;
        Ok((Hold::Running { counter }, None))
    }

    fn reserve(
        &self,
        exchange: &Exchange,
        amount: u64,
        least: u64,
        limit: u64,
    ) -> Result<(Arc<Counter>, Taken), Denied> {
        // Only requests are estimated: the configuration has no other.
        let Counts::Exact(table) = self.meter.counts() else {
            return Err(Denied::Keys);
        };
        let now = exchange.arrived_at();
        let taken = table.take(self.key(exchange), now, |counter| {
            counter.reserve_or_close(now, amount, least, limit)
        });
        taken.map_err(|why| denied(why, now, least, limit))
    }

    fn key(&self, exchange: &Exchange) -> Key {
        let start = self.meter.keys().start();
        let parts = self.by.iter();
        parts
            .fold(start, |key, part| add_part(key, part, exchange))
            .finish()
    }

    fn per(&self) -> Option<Period> {
        match &self.measure {
            Measure::Requests { per, .. } => Some(*per),
            Measure::Tokens(tokens) => Some(tokens.per),
            Measure::Concurrent => None,
        }
    }

    fn class(&self) -> Class {
        match &self.measure {
            Measure::Requests { .. } | Measure::Concurrent => Class::Requests,
            Measure::Tokens(tokens) => match tokens.kind {
                TokenKind::Total => Class::Tokens,
                TokenKind::Prompt => Class::PromptTokens,
                TokenKind::Completion => Class::CompletionTokens,
            },
        }
    }

    /// Counts the denial, and refuses the request if the limit is enforced.
    fn deny(&self, exchange: &Exchange, denied: &Denied, limit: u64) -> Result<(), Box<Refusal>> {
        let judged = match (denied, self.mode) {
            (Denied::Keys, _) => Judged::KeysFull,
            (_, Mode::Enforce) => Judged::Refused,
            (_, Mode::Shadow) => Judged::WouldRefuse,
        };
        self.meter.count(judged);
        if self.mode == Mode::Shadow {
            return Ok(());
        }
        let name = self.meter.name();
        let what = self.what(limit);
        match denied {
            Denied::Reached { left, wait, reset } => {
                let seconds = whole_seconds(*wait);
                let message =
                    format!("Rate limit `{name}` of {what} is reached. Try again in {seconds} s.");
                let mut refusal = refuse(message)
                    .because(format!("limit `{name}` of {what} is reached"))
                    .with_header(header::RETRY_AFTER, seconds.into());
                let mut standings = Standings::default();
                if !matches!(self.measure, Measure::Concurrent) {
                    let (left, reset) = (*left, *reset);
                    standings.note(self.class(), Standing { limit, left, reset });
                }
                standings.headers(exchange.dialect(), exchange.arrived_at(), |name, value| {
                    refusal.headers.push((name, value));
                });
                Err(refusal)
            }
            Denied::TooLarge { least } => {
                let message = format!(
                    "The request asks for at least {least} tokens, more than the rate limit \
                     `{name}` of {what} ever allows. Shorten the prompt or ask for fewer tokens."
                );
                // Read by the SDKs of OpenAI and Anthropic: no wait will help.
                let never = HeaderName::from_static("x-should-retry");
                Err(refuse(message).with_header(never, HeaderValue::from_static("false")))
            }
            Denied::Keys => Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Kind::Overloaded,
                "overloaded",
                "The proxy keeps track of too many clients. Try again later.",
            )
            .because(format!("limit `{name}` has no room for another key"))
            .with_header(header::RETRY_AFTER, WAIT_FOR_OTHERS.as_secs().into())),
        }
    }

    /// The limit in words.
    fn what(&self, limit: u64) -> String {
        let what = match &self.measure {
            Measure::Requests { .. } => "requests",
            Measure::Concurrent => return format!("{limit} requests at the same time"),
            Measure::Tokens(tokens) => match tokens.kind {
                TokenKind::Total => "tokens",
                TokenKind::Prompt => "prompt tokens",
                TokenKind::Completion => "completion tokens",
            },
        };
        match self.per() {
            Some(per) => format!("{limit} {what} in {per}"),
            None => format!("{limit} {what}"),
        }
    }
}

fn refuse(message: String) -> Box<Refusal> {
    Refusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        Kind::RateLimit,
        "rate_limit_exceeded",
        message,
    )
}

fn denied(why: Refused, now: Duration, amount: u64, limit: u64) -> Denied {
    match why {
        Refused::Limit(counter) => {
            let (reserved, spent) = counter.reserved_and_spent();
            Denied::Reached {
                left: limit.saturating_sub(reserved.saturating_add(spent)),
                wait: counter
                    .fits_in(now, amount, limit)
                    .unwrap_or(WAIT_FOR_OTHERS),
                reset: counter.forgets_in(now),
            }
        }
        Refused::Keys => Denied::Keys,
    }
}

/// Seconds to wait, rounded up, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

/// Adds one part of a request to a key. Keys and consumers belong to a tenant: two of
/// the same name do not share a budget.
fn add_part(key: KeyParts, part: &Part, exchange: &Exchange) -> KeyParts {
    let of_identity = |key: KeyParts, name: &str| match exchange.identity() {
        Some(identity) => key.text(&identity.tenant).text(name),
        None => key.absent(),
    };
    let optional = |key: KeyParts, text: Option<&str>| match text {
        Some(text) => key.text(text),
        None => key.absent(),
    };
    let identity = exchange.identity();
    match part {
        Part::Key => of_identity(key, identity.map_or("", |identity| &identity.key)),
        Part::Consumer => of_identity(key, identity.map_or("", |identity| &identity.consumer)),
        Part::Tenant => optional(key, identity.map(|identity| &*identity.tenant)),
        Part::Claim(name) => {
            let claims = identity.map(|identity| &identity.metadata);
            let claim = claims.and_then(|claims| claims.get(name.as_str()));
            optional(key, claim.map(|claim| &**claim))
        }
        Part::Model => optional(key, exchange.model()),
        Part::Route => optional(key, exchange.route().map(|name| name.as_str())),
        Part::Client => match exchange.client() {
            Some(address) => key.address(address),
            None => key.absent(),
        },
    }
}
