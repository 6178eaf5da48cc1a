//! What every request passes allocates nothing.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, request};
use penstock_plugins::balance::{
    self, Ask, Change, Member, Policy, Pool, Rules, Settings, Slowness,
};
use penstock_plugins::build::Given;
use penstock_plugins::{
    Arrival, Dialect, Exchange, Facts, Found, RouteTable, Shared, authenticate,
};

const KEY: &str = "psk_dGhpcyBpcyBub3QgYSBrZXkgb2YgYW55Ym9keQ";

const BODY: &str = r#"{"model":"gpt-4o","messages":[]}"#;

/// Ten thousand keys, of which [`KEY`] is one, and roles that it needs.
fn table() -> RouteTable {
    let hash = |key: &str| authenticate::hash(key.as_bytes());
    let entry = |n: u32| {
        format!(
            "- {{ hash: '{}', consumer: c{n} }}\n",
            hash(&format!("key-{n}"))
        )
    };
    let mut keys: String = (1..10_000).map(entry).collect();
    keys += &format!(
        "- {{ hash: '{}', consumer: me, roles: [chat], models: [gpt-*], routes: [chat, 'embed*'] }}",
        hash(KEY)
    );
    let config = penstock_config::parse(
        "upstreams: { u: { endpoints: [u:1] } }
chain:
- authenticate: { keys: { file: keys.yaml } }
- authorize: { roles: { chat: { routes: [chat], models: [gpt-*], methods: [POST] } } }
routes: [{ name: chat, split: [{ upstream: u }] }]",
    );
    let mut given = Given::default();
    given.files.insert("keys.yaml".into(), keys.into_bytes());
    RouteTable::new(&config.unwrap(), &Shared::default(), &given)
        .unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn head(name: &str, value: &str) -> request::Parts {
    let request = Request::post("/v1/chat/completions").header(name, value);
    request.body(()).unwrap().into_parts().0
}

fn exchange() -> Exchange {
    Exchange::new(Arrival {
        id: 1,
        client: None,
        generation: 1,
        at: Duration::from_secs(1_800_000_000),
        dialect: Dialect::OpenAi,
    })
}

#[test]
fn limits_allocate_nothing() {
    let config = penstock_config::parse(
        "upstreams: { u: { endpoints: [u:1] } }
chain:
- limits:
  - { name: a, requests: 600, per: 1m, by: [key] }
  - { name: b, concurrent: 600, by: [tenant] }
  - { name: c, tokens: 60000, per: 1m, by: [key, model, route, client], answer_tokens: 9 }
  - { name: d, requests: 600, per: 1m, by: [client], estimate: true }
routes: [{ name: chat, split: [{ upstream: u }] }]",
    );
    let table = RouteTable::new(&config.unwrap(), &Shared::default(), &Given::default());
    let table = table.unwrap_or_else(|errors| panic!("{errors:?}"));
    let head = head("content-type", "application/json");
    let route = table.get(0).unwrap();
    let chain = route.chain();
    let body = Bytes::from_static(BODY.as_bytes());
    // The first one makes the counters.
    for (round, allowed) in [u64::MAX, 0, 0].into_iter().enumerate() {
        let mut exchange = exchange();
        exchange.enter(route);
        exchange.learn(Facts::of(BODY.as_bytes()).unwrap());
        let mut passed = false;
        let counted = measure(|| {
            passed = chain.request(&mut exchange, &head).is_ok()
                && chain.body(&mut exchange, &head, &body).is_ok();
        });
        assert!(passed);
        assert!(
            counted.count_total <= allowed,
            "request {round}: {counted:?}"
        );
        // Settling them does not either.
        assert_eq!(measure(|| drop(exchange)).count_total, 0);
    }
}

#[test]
fn authentication_and_roles_allocate_nothing() {
    let table = table();
    let heads = [
        head("authorization", &format!("Bearer {KEY}")),
        head("x-api-key", KEY),
        head("x-goog-api-key", KEY),
    ];
    for head in &heads {
        let mut exchange = exchange();
        let route = table.get(0).unwrap();
        exchange.enter(route);
        exchange.learn(Facts::of(BODY.as_bytes()).unwrap());
        let body = Bytes::from_static(BODY.as_bytes());
        let mut passed = false;
        let counted = measure(|| {
            passed = table.global().authenticate(&mut exchange, head).is_ok()
                && route.chain().request(&mut exchange, head).is_ok()
                && route.chain().body(&mut exchange, head, &body).is_ok();
        });
        assert!(passed, "{head:?}");
        let holders = exchange.identity().map(Arc::strong_count);
        assert_eq!(
            holders,
            Some(2),
            "the identity is the keyring's own, not a copy"
        );
        assert_eq!(counted.count_total, 0, "allocations for {head:?}");
    }
}

#[test]
fn routing_allocates_nothing() {
    let config = penstock_config::parse(
        "upstreams: { a: { endpoints: [u:1] }, b: { endpoints: [u:1] } }
routes:
- { name: exact, match: { path: { exact: /v1/exact } }, split: [{ upstream: a }] }
- { name: prefix, match: { path: { prefix: /v1/images } }, split: [{ upstream: a, weight: 9 }, { upstream: b, weight: 1 }] }
- { name: glob, match: { path: { glob: '/v*/audio/**' }, methods: [POST] }, split: [{ upstream: a }] }
- { name: header, match: { headers: { x-region: 'eu-*' } }, split: [{ upstream: b }] }
- { name: model, match: { models: ['gpt-*'] }, split: [{ upstream: a, model: o1 }, { upstream: b }] }
- { name: rest, split: [{ upstream: a }] }",
    );
    let table = RouteTable::new(&config.unwrap(), &Shared::default(), &Given::default());
    let table = table.unwrap_or_else(|errors| panic!("{errors:?}"));
    let post = |path: &str, region: &str| {
        let request = Request::post(path).header("x-region", region);
        request.body(()).unwrap().into_parts().0
    };
    for (head, model, name) in [
        (post("/v1/exact", "us"), None, "exact"),
        (post("/v1/images/edits", "us"), None, "prefix"),
        (post("/v2/audio/speech", "us"), None, "glob"),
        (post("/v1/chat/completions", "eu-west"), None, "header"),
        (post("/v1/chat/completions", "us"), Some("gpt-4o"), "model"),
        (post("/v1/chat/completions", "us"), Some("claude"), "rest"),
    ] {
        let mut exchange = exchange();
        let mut found = None;
        let counted = measure(|| {
            let route = match table.find(&head, exchange.client()) {
                Found::Route(route) => Some(route),
                Found::NeedsModel => table.find_with_model(&head, exchange.client(), model),
                Found::None => None,
            };
            if let Some(route) = route {
                exchange.enter(route);
                route.router().target(&exchange, &head);
            }
            found = route;
        });
        assert_eq!(found.map(|route| route.name().as_str()), Some(name));
        assert_eq!(counted.count_total, 0, "allocations for {name}");
    }
}

#[test]
fn countries_and_sticky_splits_allocate_nothing() {
    let config = penstock_config::parse(
        "geoip: { file: countries.mmdb }
upstreams: { a: { endpoints: [a:1] }, b: { endpoints: [b:1] } }
routes:
- { name: fr, match: { countries: [FR] }, split: [{ upstream: a }] }
- name: de
  match: { countries: [DE], models: [gpt-4o] }
  sticky: { header: x-user }
  split: [{ upstream: a, weight: 3 }, { upstream: b, model: o1 }]",
    );
    let countries = include_bytes!("../../config/examples/geoip/countries.mmdb");
    let given = Given {
        files: [("countries.mmdb".into(), countries.to_vec())].into(),
        ..Given::default()
    };
    let table = RouteTable::new(&config.unwrap(), &Shared::default(), &given);
    let table = table.unwrap_or_else(|errors| panic!("{errors:?}"));
    let (head, exchange) = (head("x-user", "alice"), exchange());
    let client = Some("192.0.2.1".parse().unwrap());
    let mut found = None;
    let counted = measure(|| {
        assert!(matches!(table.find(&head, client), Found::NeedsModel));
        let route = table.find_with_model(&head, client, Some("gpt-4o"));
        if let Some(route) = route {
            route.router().target(&exchange, &head);
        }
        found = route;
    });
    assert_eq!(found.map(|route| route.name().as_str()), Some("de"));
    assert_eq!(counted.count_total, 0, "allocations");
}

#[test]
fn openings_of_prompts_allocate_nothing() {
    let text = format!(
        r#"{{"model":"m","system":"\u00e4{}","messages":[{{"role":"user","content":"Hi"}}]}}"#,
        "long ".repeat(100)
    );
    let facts = Facts::of(text.as_bytes()).unwrap();
    let body = [Bytes::from(text)];
    for bytes in [64, 1024] {
        let mut key = None;
        let counted = measure(|| key = facts.opening(&body, facts.model(), bytes));
        assert!(key.is_some());
        assert_eq!(counted.count_total, 0, "allocations");
    }
}

#[test]
fn finding_the_slow_allocates_nothing() {
    let mut rules = Rules {
        failures: NonZeroU32::new(5),
        error_rate: None,
        slowness: None,
        ejected: Duration::from_secs(10),
        ejected_max: Duration::from_secs(60),
    };
    rules.slowness = NonZeroU32::new(20).map(|requests| Slowness {
        factor: 3,
        floor: Duration::from_secs(1),
        requests,
        window: Duration::from_secs(30),
    });
    let settings = Settings {
        policy: Policy::RoundRobin,
        rules: Some(rules),
        ejected_percent_max: 50,
        slow_start: Duration::ZERO,
    };
    let members = (0..4_u32).map(|target| Member {
        target,
        weight: 1.try_into().unwrap(),
        near: true,
        requests_max: None,
        vitals: Arc::default(),
        seed: target.into(),
    });
    let pool = Pool::new(settings, members).unwrap();
    let start = Duration::from_secs(1_800_000_000);
    let mut ejected = 0;
    // The first answers make what the others are counted in.
    for (allowed, requests) in [(u64::MAX, 0..8_u32), (0, 8..400)] {
        let counted = measure(|| {
            for n in requests {
                let asked = start + Duration::from_millis(20) * n;
                let ask = Ask {
                    now: asked,
                    key: None,
                    tried: &[],
                };
                let Ok((member, mut flight)) = pool.enter(ask) else {
                    continue;
                };
                let took = if member.target == 0 { 2_000 } else { 200 };
                let now = asked + Duration::from_millis(took);
                let change = pool.judge(&mut flight, balance::Verdict::Good, now);
                ejected += u32::from(matches!(change, Some(Change::TooSlow { .. })));
            }
        });
        assert!(counted.count_total <= allowed, "{counted:?}");
    }
    assert!(ejected > 0, "the slow one is found");
}
