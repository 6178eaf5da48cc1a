//! The plugin as a chain runs it.

mod outcomes;
mod refusals;

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Request};

use super::meter::Meter;
use super::table::Held;
use super::*;
use crate::build::Given;
use crate::dialect::Dialect;
use crate::ending::Outcome;
use crate::exchange::Arrival;
use crate::identity::Identity;
use crate::routes::RouteTable;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const T0: Duration = Duration::from_secs(1_800_000_000);
const CHAT: &str = "/v1/chat/completions";
/// Reserves at most 20 tokens.
const SAY: &str = r#"{"model":"m","max_tokens":10,"messages":["hello"]}"#;

/// A configuration in force, and what survives it.
struct World {
    shared: Shared,
    table: RouteTable,
}

fn table(limits: &str, shared: &Shared) -> RouteTable {
    let text = format!(
        "upstreams: {{ u: {{ endpoints: [u:1] }} }}
chain: [{{ limits: {limits} }}]
routes: [{{ name: r, split: [{{ upstream: u }}] }}]"
    );
    let config = penstock_config::parse(&text).unwrap_or_else(|report| panic!("{report}"));
    RouteTable::new(&config, shared, &Given::default()).unwrap()
}

impl World {
    fn new(limits: &str) -> Self {
        let shared = Shared::default();
        let table = table(limits, &shared);
        Self { shared, table }
    }

    fn reload(&mut self, limits: &str) {
        self.table = table(limits, &self.shared);
    }

    /// What the limit of this name holds.
    fn held(&self, name: &str) -> Held {
        let meters = Meter::all(&self.shared);
        let meter = meters.iter().find(|meter| meter.name() == name).unwrap();
        meter.read().held
    }

    fn spent(&self, name: &str) -> u64 {
        let held = self.held(name);
        assert_eq!(held.reserved, 0, "nothing is left reserved of {name}");
        held.spent
    }
}

/// A request on its way.
struct Sent {
    exchange: Exchange,
    head: request::Parts,
}

struct Client {
    key: &'static str,
    tenant: &'static str,
    limits: &'static [(&'static str, u64)],
    address: &'static str,
    path: &'static str,
    body: &'static str,
}

const CLIENT: Client = Client {
    key: "k",
    tenant: "t",
    limits: &[],
    address: "192.0.2.1",
    path: CHAT,
    body: SAY,
};

impl Client {
    fn send(&self, world: &World, at: Duration) -> Result<Sent, Box<Refusal>> {
        let address: IpAddr = self.address.parse().unwrap();
        let mut exchange = Exchange::new(Arrival {
            id: 1,
            client: Some(address),
            generation: 1,
            at,
            dialect: Dialect::of(self.path),
        });
        exchange.identify(Arc::new(Identity {
            key: self.key.into(),
            tenant: self.tenant.into(),
            limits: self
                .limits
                .iter()
                .map(|(name, limit)| ((*name).into(), *limit))
                .collect(),
            ..Identity::default()
        }));
        let route = world.table.get(0).unwrap();
        exchange.enter(route);
        let request = Request::post(self.path).header(header::ACCEPT_ENCODING, "gzip");
        let head = request.body(()).unwrap().into_parts().0;
        let body = Bytes::from_static(self.body.as_bytes());
        let chain = route.chain();
        let mut sent = Sent { exchange, head };
        let verdict = chain
            .request(&mut sent.exchange, &sent.head)
            .and_then(|()| {
                sent.exchange.learn(Facts::of(&body).unwrap_or_default());
                chain.body(&mut sent.exchange, &sent.head, &body)
            });
        match verdict {
            Ok(()) => Ok(sent),
            Err(refusal) => {
                let what = sent.end(world, Outcome::Refused, 0, SECOND);
                assert!(what.response.is_empty(), "a refusal brings its own headers");
                Err(refusal)
            }
        }
    }
}

impl Sent {
    /// The upstream answers with this body.
    fn answer(
        &mut self,
        world: &World,
        status: u16,
        content_type: &str,
        pieces: &[&str],
    ) -> String {
        let response = http::Response::builder().status(status);
        let response = response.header(header::CONTENT_TYPE, content_type);
        let head = response.body(()).unwrap().into_parts().0;
        let chain = world.table.get(0).unwrap().chain();
        let mut readers = chain.response(&mut self.exchange, &head);
        let mut got = Vec::new();
        for piece in pieces {
            let piece = Bytes::copy_from_slice(piece.as_bytes());
            got.extend_from_slice(&readers.chunk(&mut self.exchange, piece, false));
        }
        String::from_utf8(got).unwrap()
    }

    fn end(
        mut self,
        world: &World,
        outcome: Outcome,
        attempts: usize,
        after: Duration,
    ) -> Exchange {
        let ending = Ending {
            outcome,
            method: &self.head.method,
            path: self.head.uri.path(),
            status: None,
            duration: after,
            first_byte: None,
            request_bytes: 0,
            response_bytes: 0,
            upstream: (attempts > 0).then_some("u"),
            attempts,
        };
        world
            .table
            .get(0)
            .unwrap()
            .chain()
            .ended(&mut self.exchange, &ending);
        // Whoever settles twice settles too much.
        world
            .table
            .get(0)
            .unwrap()
            .chain()
            .ended(&mut self.exchange, &ending);
        self.exchange
    }

    /// The upstream answers, and all of it reaches the client.
    fn complete(mut self, world: &World, prompt: u64, completion: u64) -> Exchange {
        let usage =
            format!(r#"{{"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}}}"#);
        self.answer(world, 200, "application/json", &[&usage]);
        self.end(world, Outcome::Completed, 1, SECOND)
    }
}

fn code(sent: Result<Sent, Box<Refusal>>) -> &'static str {
    match sent {
        Ok(_) => "sent",
        Err(refusal) => refusal.code,
    }
}

#[test]
fn requests_are_counted_and_forgotten() {
    let world = World::new("[{ name: a, requests: 2, per: 1m, by: [key] }]");
    CLIENT.send(&world, T0).unwrap().complete(&world, 1, 1);
    CLIENT.send(&world, T0).unwrap().complete(&world, 1, 1);
    assert_eq!(code(CLIENT.send(&world, T0)), "rate_limit_exceeded");
    assert_eq!(world.spent("a"), 2);
    assert!(CLIENT.send(&world, T0 + SECOND * 61).is_ok());
}

#[test]
fn whoever_differs_in_a_part_has_a_counter_of_their_own() {
    let with = |by: &str, other: Client| {
        let world = World::new(&format!("[{{ name: a, requests: 1, per: 1m, by: {by} }}]"));
        CLIENT.send(&world, T0).unwrap().complete(&world, 1, 1);
        other.send(&world, T0).is_ok()
    };
    let key = || Client {
        key: "other",
        ..CLIENT
    };
    let tenant = || Client {
        tenant: "other",
        ..CLIENT
    };
    let address = || Client {
        address: "192.0.2.2",
        ..CLIENT
    };
    let model = || Client {
        body: r#"{"model":"other"}"#,
        ..CLIENT
    };
    assert!(with("[key]", key()) && !with("[tenant]", key()) && !with("[]", key()));
    assert!(
        with("[tenant]", tenant()) && with("[key]", tenant()),
        "keys are a tenant's own"
    );
    assert!(with("[consumer]", tenant()) && !with("[client]", tenant()));
    assert!(with("[client]", address()) && !with("[key, model, route]", address()));
    assert!(with("[model]", model()) && with("[key, model]", model()));
    assert!(!with("[key]", model()) && !with("[{ claim: team }]", tenant()));
}

#[test]
fn a_key_can_have_a_number_of_its_own() {
    let world = World::new("[{ name: a, requests: 1, per: 1m, by: [tenant] }]");
    let more = Client {
        key: "more",
        limits: &[("b", 9), ("a", 3)],
        ..CLIENT
    };
    for _ in 0..3 {
        more.send(&world, T0).unwrap().complete(&world, 1, 1);
    }
    assert_eq!(code(more.send(&world, T0)), "rate_limit_exceeded");
    assert_eq!(
        code(CLIENT.send(&world, T0)),
        "rate_limit_exceeded",
        "it shares the counter"
    );
    let none = Client {
        key: "none",
        tenant: "else",
        limits: &[("a", 0)],
        ..CLIENT
    };
    assert_eq!(code(none.send(&world, T0)), "rate_limit_exceeded");
}

#[test]
fn concurrency_is_limited() {
    let world = World::new("[{ name: a, concurrent: 2, by: [key] }]");
    let (one, two) = (
        CLIENT.send(&world, T0).unwrap(),
        CLIENT.send(&world, T0).unwrap(),
    );
    assert_eq!(
        code(CLIENT.send(&world, T0 + SECOND * 9999)),
        "rate_limit_exceeded"
    );
    one.complete(&world, 1, 1);
    let three = CLIENT.send(&world, T0).unwrap();
    two.end(&world, Outcome::ClientGone, 1, SECOND);
    drop(three);
    assert_eq!(world.spent("a"), 0);
}

#[test]
fn tokens_are_reserved_and_settled() {
    let world = World::new("[{ name: a, tokens: 35, per: 1m, by: [key] }]");
    let (one, two) = (
        CLIENT.send(&world, T0).unwrap(),
        CLIENT.send(&world, T0).unwrap(),
    );
    let reserved = world.held("a").reserved;
    assert!(
        (26..=40).contains(&reserved),
        "{reserved} for two prompts and answers"
    );
    assert_eq!(
        code(CLIENT.send(&world, T0)),
        "rate_limit_exceeded",
        "three would not fit"
    );
    one.complete(&world, 3, 4);
    assert_eq!(
        world.held("a"),
        Held {
            keys: 1,
            reserved: reserved / 2,
            spent: 7
        }
    );
    two.complete(&world, 3, 2);
    assert_eq!(world.spent("a"), 12);
    assert!(
        CLIENT.send(&world, T0 + SECOND * 30).is_ok(),
        "there is room again"
    );
}

#[test]
fn each_kind_of_token_is_counted_by_itself() {
    let limits =
        "[{ name: p, prompt_tokens: 90, per: 1m }, { name: c, completion_tokens: 90, per: 1m },
        { name: t, tokens: 90, per: 1m, mode: shadow }]";
    let world = World::new(limits);
    let sent = CLIENT.send(&world, T0).unwrap();
    assert_eq!(world.held("c").reserved, 10);
    assert_eq!(world.held("p").reserved + 10, world.held("t").reserved);
    let exchange = sent.complete(&world, 40, 30);
    assert_eq!(
        (world.spent("p"), world.spent("c"), world.spent("t")),
        (40, 30, 70)
    );
    let notes: Vec<_> = exchange
        .notes()
        .iter()
        .map(|note| (note.name, &*note.value))
        .collect();
    assert_eq!(
        notes,
        [("prompt_tokens", "40"), ("completion_tokens", "30")]
    );
}

#[test]
fn a_request_that_one_limit_refuses_costs_nothing_in_the_others() {
    let limits = "[{ name: a, requests: 9, per: 1m }, { name: b, concurrent: 9 }, { name: e, requests: 9, per: 1m, by: [client], estimate: true },
        { name: c, tokens: 900, per: 1m }, { name: d, requests: 1, per: 1m, by: [model] }]";
    let world = World::new(limits);
    CLIENT.send(&world, T0).unwrap().complete(&world, 3, 4);
    for _ in 0..100 {
        assert_eq!(code(CLIENT.send(&world, T0)), "rate_limit_exceeded");
    }
    assert_eq!(world.spent("a"), 1);
    assert_eq!(world.spent("b"), 0);
    assert_eq!(world.spent("c"), 7);
    assert_eq!(world.spent("d"), 1);
    let other = Client {
        body: r#"{"model":"n"}"#,
        ..CLIENT
    };
    for _ in 0..8 {
        // Each is of another model, so that nothing but the nine at `a` and `e` count.
        let sent = other.send(&world, T0);
        if let Ok(sent) = sent {
            sent.complete(&world, 0, 0);
        }
    }
    assert_eq!(world.spent("a"), 2, "the estimate has room as well");
}

#[test]
fn shadow_counts_and_refuses_nothing() {
    let world = World::new("[{ name: a, requests: 1, per: 1m, mode: shadow }]");
    for _ in 0..5 {
        CLIENT.send(&world, T0).unwrap().complete(&world, 1, 1);
    }
    let meters = Meter::all(&world.shared);
    let reading = meters[0].read();
    assert_eq!((reading.refused, reading.would_refuse), (0, 4));
    assert_eq!(
        reading.held.spent, 1,
        "it counts what it would have let through"
    );
}

#[test]
fn counters_survive_a_reload() {
    let mut world =
        World::new("[{ name: a, tokens: 100, per: 1m }, { name: b, requests: 5, per: 1m }]");
    CLIENT.send(&world, T0).unwrap().complete(&world, 20, 20);
    let under_way = CLIENT.send(&world, T0).unwrap();
    world.reload("[{ name: b, requests: 2, per: 1m }, { name: a, tokens: 50, per: 1m }]");
    assert_eq!(
        code(CLIENT.send(&world, T0)),
        "rate_limit_exceeded",
        "the number is the new one"
    );
    under_way.complete(&world, 5, 4);
    assert_eq!(
        (world.spent("a"), world.spent("b")),
        (49, 2),
        "settled where it was reserved"
    );
    world.reload("[{ name: b, requests: 9, per: 1m }, { name: a, tokens: 100, per: 2m }]");
    assert_eq!(
        (world.spent("a"), world.spent("b")),
        (0, 2),
        "another window is another limit"
    );
    world.reload("[{ name: b, requests: 9, per: 1m, by: [key] }]");
    assert_eq!(world.spent("b"), 0, "so are other keys");
    assert_eq!(Meter::all(&world.shared).len(), 1, "what nobody names goes");
}

#[test]
fn what_an_old_generation_holds_is_settled_where_it_was_taken() {
    let shared = Shared::default();
    let world = World {
        table: table("[{ name: a, tokens: 100, per: 1m }]", &shared),
        shared,
    };
    let under_way = CLIENT.send(&world, T0).unwrap();
    let new = World {
        table: table("[{ name: a, tokens: 100, per: 1m }]", &world.shared),
        ..world
    };
    // The old table is gone; what the exchange holds is not.
    under_way.complete(&new, 5, 4);
    assert_eq!(new.spent("a"), 9);
}
