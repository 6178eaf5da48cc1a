//! What choosing costs a request: its route among many, and its target by weight. Under
//! 300 ns in all, however many routes there are and with every core at it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use penstock_plugins::build::Given;
use penstock_plugins::{Arrival, Dialect, Exchange, Found, Route, RouteTable, Shared};

fn head(path: &str) -> Parts {
    http::Request::post(path)
        .header("host", "bench")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn table(routes: &str) -> RouteTable {
    let mut text = String::from("upstreams:\n");
    for n in 0..8 {
        writeln!(text, "  up{n}: {{ endpoints: [\"127.0.0.1:1\"] }}").unwrap();
    }
    let config = penstock_config::parse(&format!("{text}routes:\n{routes}"));
    RouteTable::new(&config.unwrap(), &Shared::default(), &Given::default()).unwrap()
}

/// Half of them with an exact path, half with a prefix, and one for the rest.
fn many(count: usize) -> RouteTable {
    let mut text = String::new();
    for n in 0..count {
        let path = match n % 2 {
            0 => format!("exact: /t{n}/chat"),
            _ => format!("prefix: /t{n}/v1"),
        };
        let matches = format!("match: {{ path: {{ {path} }} }}");
        writeln!(
            text,
            "  - {{ name: r{n}, {matches}, split: [{{ upstream: up0 }}] }}"
        )
        .unwrap();
    }
    writeln!(text, "  - {{ name: rest, split: [{{ upstream: up0 }}] }}").unwrap();
    table(&text)
}

fn finding_a_route(criterion: &mut Criterion) {
    for count in [2, 1_000, 9_999] {
        let table = many(count);
        let mut group = criterion.benchmark_group(format!("route among {count}"));
        let last = (count - 1) / 2 * 2;
        for (name, path) in [
            ("exact, first", "/t0/chat".to_owned()),
            ("exact, last", format!("/t{last}/chat")),
            ("prefix", "/t1/v1/chat/completions".to_owned()),
            ("no other", "/v1/chat/completions".to_owned()),
        ] {
            let head = head(&path);
            group.bench_function(name, |bencher| {
                bencher.iter(|| matches!(table.find(black_box(&head), None), Found::Route(_)));
            });
        }
    }
}

/// Routes that share a path and are told apart by the body's model.
fn by_model(criterion: &mut Criterion) {
    let mut text = String::new();
    for n in 0..100 {
        let matches = format!("match: {{ path: {{ prefix: /v1 }}, models: [\"model-{n}-*\"] }}");
        writeln!(
            text,
            "  - {{ name: r{n}, {matches}, split: [{{ upstream: up0 }}] }}"
        )
        .unwrap();
    }
    let (table, head) = (table(&text), head("/v1/chat/completions"));
    let mut group = criterion.benchmark_group("route by model among 100");
    for (name, model) in [("first", "model-0-mini"), ("last", "model-99-mini")] {
        assert!(table.find_with_model(&head, None, Some(model)).is_some());
        group.bench_function(name, |bencher| {
            bencher.iter(|| table.find_with_model(black_box(&head), None, Some(black_box(model))));
        });
    }
}

fn exchange() -> Exchange {
    Exchange::new(Arrival {
        id: 7,
        client: None,
        generation: 1,
        at: Duration::ZERO,
        dialect: Dialect::OpenAi,
    })
}

/// How long a core takes in the mean to choose so many targets while all others do.
fn on_every_core(route: &Route, rounds: u64) -> Duration {
    let cores = thread::available_parallelism().unwrap().get();
    let start = Barrier::new(cores);
    let work = || {
        let (exchange, head) = (exchange(), head("/"));
        start.wait();
        let started = Instant::now();
        for _ in 0..rounds {
            black_box(route.router().target(black_box(&exchange), &head));
        }
        started.elapsed()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let times = workers.into_iter().map(|worker| worker.join().unwrap());
        times.sum::<Duration>() / u32::try_from(cores).unwrap()
    })
}

fn a_split(criterion: &mut Criterion) {
    let (exchange, head) = (exchange(), head("/"));
    for count in [1, 2, 8] {
        let targets = (0..count).map(|n| format!("{{ upstream: up{n}, weight: {} }}", n + 1));
        let targets: Vec<_> = targets.collect();
        let table = table(&format!(
            "  - {{ name: all, split: [{}] }}\n",
            targets.join(", ")
        ));
        let route = table.get(0).unwrap();
        let mut group = criterion.benchmark_group(format!("split among {count}"));
        group.bench_function("one core", |bencher| {
            bencher.iter(|| route.router().target(black_box(&exchange), &head).upstream);
        });
        group.bench_function("every core", |bencher| {
            bencher.iter_custom(|rounds| on_every_core(route, rounds));
        });
    }
}

criterion_group!(benches, finding_a_route, by_model, a_split);
criterion_main!(benches);
