//! What it costs to hold a request against three limits of its key (requests, tokens and
//! concurrency) and to settle them at its end: under 1 us, also with every core on one key.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use http::{Method, StatusCode};
use penstock_plugins::build::Given;
use penstock_plugins::{
    Arrival, Chain, ChainBuilder, Dialect, Ending, Exchange, Facts, Identity, Outcome, Shared,
};

const PATH: &str = "/v1/chat/completions";

/// How a request of the simplest kind ends: its answer states no usage.
const ENDING: Ending<'static> = Ending {
    outcome: Outcome::Completed,
    method: &Method::POST,
    path: PATH,
    status: Some(StatusCode::OK),
    duration: Duration::from_millis(250),
    first_byte: None,
    request_bytes: 1024,
    response_bytes: 1024,
    upstream: Some("up"),
    attempts: 1,
};

/// Limits that are never reached: whoever is refused pays for the words that say so.
fn chain() -> Chain {
    let config = penstock_config::parse(
        "chain:
- limits:
  - { name: requests, requests: 1000000000000, per: 1m, by: [key] }
  - { name: tokens, tokens: 1000000000000, per: 1m, by: [key] }
  - { name: at-once, concurrent: 1000000, by: [key] }",
    );
    let builder = ChainBuilder::default();
    let built = builder.plugins(
        &config.unwrap().chain,
        &Shared::default(),
        &Given::default(),
    );
    built.unwrap().build()
}

/// A request of a key, to be made again and again.
struct Request {
    head: Parts,
    body: Bytes,
    exchange: Exchange,
}

impl Request {
    fn of(key: &str) -> Self {
        let prompt = "The quick brown fox jumps over the lazy dog. ".repeat(20);
        let body = Bytes::from(format!(
            r#"{{"model":"gpt-4o","max_tokens":256,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
        ));
        let mut exchange = Exchange::new(Arrival {
            id: 7,
            client: None,
            generation: 1,
            at: Duration::from_secs(1_800_000_000),
            dialect: Dialect::OpenAi,
        });
        exchange.learn(Facts::of(&body).unwrap());
        exchange.identify(Arc::new(Identity {
            tenant: "acme".into(),
            key: key.into(),
            ..Identity::default()
        }));
        let head = http::Request::post(PATH).body(()).unwrap().into_parts().0;
        Self {
            head,
            body,
            exchange,
        }
    }

    /// Through the limits, and to its end.
    fn pass(&mut self, chain: &Chain) {
        let (exchange, head) = (&mut self.exchange, black_box(&self.head));
        assert!(chain.request(exchange, head).is_ok());
        assert!(chain.body(exchange, head, &self.body).is_ok());
        chain.ended(exchange, &ENDING);
    }
}

/// How long a core takes in the mean for so many requests of its key while all others do
/// the same.
fn on_every_core(chain: &Chain, rounds: u64, key: impl Fn(usize) -> String) -> Duration {
    let cores = thread::available_parallelism().unwrap().get();
    let start = Barrier::new(cores);
    let work = |mut request: Request| {
        start.wait();
        let started = Instant::now();
        (0..rounds).for_each(|_| request.pass(chain));
        started.elapsed()
    };
    thread::scope(|scope| {
        let requests = (0..cores).map(|core| Request::of(&key(core)));
        let workers: Vec<_> = requests
            .map(|request| scope.spawn(|| work(request)))
            .collect();
        let times = workers.into_iter().map(|worker| worker.join().unwrap());
        times.sum::<Duration>() / u32::try_from(cores).unwrap()
    })
}

fn three_limits(criterion: &mut Criterion) {
    let chain = chain();
    let mut group = criterion.benchmark_group("three limits");
    group.bench_function("one core", |bencher| {
        let mut request = Request::of("key");
        bencher.iter(|| request.pass(&chain));
    });
    group.bench_function("every core on its own key", |bencher| {
        bencher.iter_custom(|rounds| on_every_core(&chain, rounds, |core| format!("key-{core}")));
    });
    group.bench_function("every core on one key", |bencher| {
        bencher.iter_custom(|rounds| on_every_core(&chain, rounds, |_| "key".to_owned()));
    });
    // As many counters as 10,000 clients have: none is in the processor's cache still.
    let mut requests: Vec<_> = (0..10_000)
        .map(|n| Request::of(&format!("key-{n}")))
        .collect();
    group.bench_function("10,000 keys in turn", |bencher| {
        let mut turn = 0;
        bencher.iter(|| {
            turn = (turn + 1) % requests.len();
            requests.get_mut(turn).unwrap().pass(&chain);
        });
    });
}

criterion_group!(benches, three_limits);
criterion_main!(benches);
