//! The order in which a chain calls its plugins, and what ends it.

use std::sync::Mutex;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use penstock_config::plugin;

use super::*;
use crate::build::Given;
use crate::dialect::Dialect;
use crate::ending::Outcome;
use crate::exchange::Arrival;
use crate::refusal::{Kind, Refusal};
use crate::role::{Destination, Lookup};

/// A plugin of the kind that later ones are: it reserves before a request, counts
/// its answer, and settles at its end.
struct Budget {
    left: Mutex<u64>,
    state: Slot<Reserved>,
}

struct Reserved {
    tokens: u64,
    used: u64,
}

impl Budget {
    fn add_to(builder: &mut ChainBuilder, tokens: u64) -> Arc<Self> {
        let budget = Arc::new(Self {
            left: Mutex::new(tokens),
            state: builder.slot(),
        });
        *builder = builder.clone().part(Parts {
            request: Some(budget.clone()),
            response: Some(budget.clone()),
            observer: Some(budget.clone()),
            ..Parts::default()
        });
        budget
    }

    fn left(&self) -> u64 {
        *self.left.lock().unwrap()
    }
}

impl RequestFilter for Budget {
    fn request(&self, exchange: &mut Exchange, _: &request::Parts) -> Verdict {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(10).ok_or_else(|| {
            let message = "no tokens left";
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                Kind::RateLimit,
                "tokens",
                message,
            )
        })?;
        exchange.put(
            self.state,
            Reserved {
                tokens: 10,
                used: 0,
            },
        );
        Ok(())
    }
}

impl ResponseFilter for Budget {
    fn response(&self, _: &mut Exchange, head: &response::Parts) -> Option<Reading> {
        let reader = Counter(self.state);
        head.status.is_success().then(|| Reading::watch(reader))
    }
}

struct Counter(Slot<Reserved>);

impl BodyReader for Counter {
    fn chunk(&mut self, exchange: &mut Exchange, chunk: Bytes, _: bool) -> Bytes {
        if let Some(reserved) = exchange.peek_mut(self.0) {
            reserved.used += chunk.len() as u64;
        }
        chunk
    }
}

/// Gives back a byte less of each piece than it gets, and all of them at the end.
struct Withholder(Vec<u8>);

impl BodyReader for Withholder {
    fn chunk(&mut self, _: &mut Exchange, mut chunk: Bytes, last: bool) -> Bytes {
        if !chunk.is_empty() {
            self.0.extend(chunk.split_off(chunk.len() - 1));
        }
        match last {
            true => [&chunk[..], &self.0].concat().into(),
            false => chunk,
        }
    }
}

struct Withholding;

impl ResponseFilter for Withholding {
    fn response(&self, _: &mut Exchange, _: &response::Parts) -> Option<Reading> {
        Some(Reading::rewrite(Withholder(Vec::new())))
    }
}

impl Observer for Budget {
    fn ended(&self, exchange: &mut Exchange, _: &Ending<'_>) {
        if let Some(Reserved { tokens, used }) = exchange.take(self.state) {
            *self.left.lock().unwrap() += tokens.saturating_sub(used);
            exchange.note("tokens", used.to_string());
        }
    }
}

/// Writes down who was asked.
struct Witness {
    name: &'static str,
    refuses: bool,
}

impl Witness {
    fn part(name: &'static str, refuses: bool) -> Parts {
        let witness = Arc::new(Self { name, refuses });
        Parts {
            authenticator: Some(witness.clone()),
            request: Some(witness.clone()),
            body: Some(witness.clone()),
            cache: Some(witness.clone()),
            observer: Some(witness),
            ..Parts::default()
        }
    }

    fn judge(&self, exchange: &mut Exchange) -> Verdict {
        exchange.note(self.name, "asked");
        if self.refuses {
            let message = "This is not allowed.";
            let refusal = Refusal::new(StatusCode::FORBIDDEN, Kind::Permission, "denied", message);
            return Err(refusal.because(format!("{} refuses", self.name)));
        }
        Ok(())
    }
}

impl Authenticator for Witness {
    fn authenticate(&self, exchange: &mut Exchange, _: &request::Parts) -> Verdict {
        self.judge(exchange)
    }
}

impl RequestFilter for Witness {
    fn request(&self, exchange: &mut Exchange, _: &request::Parts) -> Verdict {
        self.judge(exchange)
    }
}

impl BodyFilter for Witness {
    fn body(&self, exchange: &mut Exchange, _: &request::Parts, _: &Bytes) -> Verdict {
        self.judge(exchange)
    }
}

impl CachePolicy for Witness {
    fn look_up(
        &self,
        exchange: &mut Exchange,
        _: &request::Parts,
        _: &Bytes,
        _: Destination<'_>,
    ) -> Result<Lookup, Box<Refusal>> {
        self.judge(exchange).map(|()| Lookup::Bypass)
    }
}

impl Observer for Witness {
    fn ended(&self, exchange: &mut Exchange, ending: &Ending<'_>) {
        exchange.note("outcome", ending.outcome.as_str());
    }
}

fn exchange() -> Exchange {
    Exchange::new(Arrival {
        id: 7,
        client: None,
        generation: 1,
        at: Duration::from_secs(1),
        dialect: Dialect::OpenAi,
    })
}

fn request() -> request::Parts {
    Request::post("/v1/chat/completions")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn response(status: StatusCode) -> response::Parts {
    Response::builder()
        .status(status)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

const ENDING: Ending<'static> = Ending {
    outcome: Outcome::ClientGone,
    method: &Method::POST,
    path: "/v1/chat/completions",
    status: None,
    duration: Duration::from_millis(5),
    first_byte: None,
    request_bytes: 0,
    response_bytes: 0,
    upstream: None,
    attempts: 0,
};

fn built(plugins: &[Plugin]) -> Chain {
    let (shared, materials) = (Shared::default(), Given::default());
    let builder = ChainBuilder::default().plugins(plugins, &shared, &materials);
    builder.unwrap().build()
}

fn names(exchange: &Exchange) -> Vec<&'static str> {
    exchange.notes().iter().map(|note| note.name).collect()
}

#[test]
fn an_empty_chain_lets_everything_pass_and_asks_for_nothing() {
    let chain = built(&[]);
    let mut exchange = exchange();
    assert!(!chain.needs_body());
    assert!(chain.authenticate(&mut exchange, &request()).is_ok());
    assert!(!chain.authenticates());
    assert!(chain.request(&mut exchange, &request()).is_ok());
    assert!(chain.body(&mut exchange, &request(), &Bytes::new()).is_ok());
    assert!(
        chain
            .response(&mut exchange, &response(StatusCode::OK))
            .is_empty()
    );
    assert!(chain.cache().is_none());
    chain.ended(&mut exchange, &ENDING);
    assert!(exchange.notes().is_empty());
    assert!(exchange.request.is_empty() && exchange.response.is_empty());
}

#[test]
fn filters_are_asked_in_order_until_one_refuses() {
    let chain = ChainBuilder::default()
        .part(Witness::part("first", false))
        .part(Witness::part("second", true))
        .part(Witness::part("third", false))
        .build();
    for role in 0..3 {
        let mut exchange = exchange();
        let verdict = match role {
            0 => chain.authenticate(&mut exchange, &request()),
            1 => chain.request(&mut exchange, &request()),
            _ => chain.body(&mut exchange, &request(), &Bytes::new()),
        };
        let refusal = verdict.unwrap_err();
        assert_eq!(refusal.to_string(), "403 denied: second refuses");
        assert_eq!(refusal.message, "This is not allowed.");
        assert_eq!(names(&exchange), ["first", "second"]);
    }
    assert!(chain.needs_body());
}

#[test]
fn what_was_reserved_is_settled_however_the_exchange_ends() {
    let mut builder = ChainBuilder::default();
    let wide = Budget::add_to(&mut builder, 100);
    let narrow = Budget::add_to(&mut builder, 15);
    let chain = builder.part(Witness::part("witness", false)).build();

    let mut served = exchange();
    chain.request(&mut served, &request()).unwrap();
    assert_eq!((wide.left(), narrow.left()), (90, 5));
    let mut readers = chain.response(&mut served, &response(StatusCode::OK));
    let piece = Bytes::from_static(b"abc");
    assert_eq!(readers.chunk(&mut served, piece, false), "abc");
    assert!(!readers.rewrites());

    let mut refused = exchange();
    let refusal = chain.request(&mut refused, &request()).unwrap_err();
    assert_eq!(refusal.kind.as_str(), "rate_limit_error");
    chain.ended(&mut refused, &ENDING);
    assert_eq!(
        (wide.left(), narrow.left()),
        (90, 5),
        "the refused one gave back its part"
    );

    // The client of the first vanishes: no last piece, but an end.
    drop(readers);
    chain.ended(&mut served, &ENDING);
    assert_eq!(
        (wide.left(), narrow.left()),
        (97, 12),
        "three tokens of each were used"
    );
    assert_eq!(names(&served), ["witness", "tokens", "outcome"]);
}

#[test]
fn a_filter_that_does_not_want_the_body_costs_nothing_per_piece() {
    let mut builder = ChainBuilder::default();
    Budget::add_to(&mut builder, 100);
    let chain = builder.build();
    let failed = response(StatusCode::BAD_GATEWAY);
    assert!(chain.response(&mut exchange(), &failed).is_empty());
}

#[test]
fn readers_see_what_those_before_them_gave() {
    let mut builder = ChainBuilder::default().part(Parts {
        response: Some(Arc::new(Withholding)),
        ..Parts::default()
    });
    let budget = Budget::add_to(&mut builder, 100);
    let chain = builder.build();
    let mut exchange = exchange();
    chain.request(&mut exchange, &request()).unwrap();
    let mut readers = chain.response(&mut exchange, &response(StatusCode::OK));
    assert!(readers.rewrites());
    let mut sent = Vec::new();
    for (piece, last) in [("abc", false), ("d", false), ("", true)] {
        sent.push(readers.chunk(&mut exchange, Bytes::from_static(piece.as_bytes()), last));
        let used = exchange.peek(budget.state).unwrap().used;
        assert_eq!(used, sent.concat().len() as u64, "counted as sent");
    }
    assert_eq!(sent, ["ab", "", "cd"]);
}

#[test]
fn an_authenticator_runs_once_for_a_request() {
    let global = ChainBuilder::default().part(Witness::part("global", false));
    let route = global.for_route();
    let own = route.clone().part(Witness::part("own", false));
    for (chain, wanted) in [
        (global.build(), &["global"][..]),
        (route.build(), &[]),
        (own.build(), &["own"]),
    ] {
        let mut exchange = exchange();
        chain.authenticate(&mut exchange, &request()).unwrap();
        assert_eq!(names(&exchange), wanted);
        assert_eq!(chain.authenticates(), !wanted.is_empty());
    }
    let mut exchange = exchange();
    own.build().request(&mut exchange, &request()).unwrap();
    assert_eq!(names(&exchange), ["global", "own"], "other roles run all");
}

#[test]
fn the_last_cache_policy_is_the_one() {
    let chain = ChainBuilder::default()
        .part(Witness::part("global", false))
        .part(Witness::part("route's own", false))
        .build();
    let destination = Destination {
        upstream: "vllm",
        host: None,
        model: None,
    };
    let mut exchange = exchange();
    let body = Bytes::new();
    let policy = chain.cache().unwrap();
    let lookup = policy.look_up(&mut exchange, &request(), &body, destination);
    assert!(matches!(lookup, Ok(Lookup::Bypass)));
    assert_eq!(names(&exchange), ["route's own"]);
}

#[test]
fn a_clone_of_a_builder_adds_to_itself_alone() {
    let mut global = ChainBuilder::default();
    let shared = Budget::add_to(&mut global, 100);
    let mut own = global.clone();
    let added = Budget::add_to(&mut own, 100);
    let mut first = exchange();
    global.build().request(&mut first, &request()).unwrap();
    assert_eq!((shared.left(), added.left()), (90, 100));
    let mut second = exchange();
    own.build().request(&mut second, &request()).unwrap();
    assert_eq!((shared.left(), added.left()), (80, 90));
    assert!(second.peek(shared.state).is_some() && second.peek(added.state).is_some());
}

#[test]
fn every_plugin_of_the_configuration_can_be_built() {
    let config = [Plugin::RequestId(plugin::RequestId::default())];
    let chain = built(&config);
    let mut exchange = exchange();
    chain.authenticate(&mut exchange, &request()).unwrap();
    assert_eq!(names(&exchange), ["request_id"]);
    assert_eq!(exchange.request.iter().count(), 1);
}

#[test]
fn what_a_request_holds_can_cross_threads() {
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Exchange>();
    send_and_sync::<Readers>();
    send_and_sync::<Chain>();
    send_and_sync::<crate::routes::RouteTable>();
}

#[test]
fn a_later_plugin_of_the_same_kind_stands_where_the_earlier_stood() {
    let of_kind = |name| Parts {
        replaces: Some("filter"),
        ..Witness::part(name, false)
    };
    let global = ChainBuilder::default()
        .part(of_kind("global"))
        .part(Witness::part("other", false));
    let own = global.for_route().part(of_kind("own")).build();
    let mut first = exchange();
    own.request(&mut first, &request()).unwrap();
    assert_eq!(names(&first), ["own", "other"]);
    let mut second = exchange();
    global.build().request(&mut second, &request()).unwrap();
    assert_eq!(
        names(&second),
        ["global", "other"],
        "the global chain is as it was"
    );
}

#[test]
fn a_chain_tells_what_runs_and_when() {
    let plugins = |text: &str| -> Vec<Plugin> { serde_json::from_str(text).unwrap() };
    let given = crate::build::Given::default();
    let shared = Shared::default();
    let global = ChainBuilder::default()
        .plugins(&plugins(r#"[{"request_id": {}}]"#), &shared, &given)
        .unwrap();
    let own = r#"[{"headers": {"request": [{"set": {"x-m": "{model}"}}], "response": [{"remove": "server"}]}}]"#;
    let route = global.for_route().plugins(&plugins(own), &shared, &given);
    let told = |chain: &Chain| -> Vec<String> {
        let told = chain.entries().iter().map(|entry| {
            let phases: Vec<_> = entry.phases.iter().map(|phase| phase.as_str()).collect();
            format!("{} {} {}", entry.name, entry.is_own, phases.join("+"))
        });
        told.collect()
    };
    assert_eq!(told(&global.build()), ["request_id false tag"]);
    assert_eq!(
        told(&route.unwrap().build()),
        ["request_id false tag", "headers true request+body"]
    );
    let alone = ChainBuilder::default().for_route();
    let alone = alone.plugins(&plugins(own), &shared, &given).unwrap();
    assert_eq!(told(&alone.build()), ["headers true request+body"]);
}
