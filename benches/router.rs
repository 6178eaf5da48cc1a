//! What choosing costs a request: its route among many, its target by weight, its endpoint.
//! About as much for ten thousand routes as for ten, and without an allocation.

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

use allocation_counter::measure;
use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use penstock_benches::{NOW, exchange};
use penstock_config::unit::Weight;
use penstock_plugins::balance::{Ask, Member, Policy, Pool, Settings, hash};
use penstock_plugins::build::Given;
use penstock_plugins::{Exchange, Found, Route, RouteTable, Shared};

fn head(path: &str) -> Parts {
    http::Request::post(path)
        .header("host", "bench")
        .header("x-user", "alice")
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
    let config = format!("{text}routes:\n{routes}");
    penstock_benches::table(&config, &Shared::default(), &Given::default())
}

/// The route of a request, as the engine looks for it.
fn find<'t>(table: &'t RouteTable, head: &Parts, model: &str) -> Option<&'t Route> {
    match table.find(head, None) {
        Found::Route(route) => Some(route),
        Found::NeedsModel => table.find_with_model(head, None, Some(model)),
        Found::None => None,
    }
}

/// The last of so many routes, each of which has one thing of its own.
fn growth(criterion: &mut Criterion) {
    let kinds = [
        ("exact path", "path: {exact: /t/N}"),
        ("prefix", "path: {prefix: /t/N}"),
        ("model", "models: [m-N]"),
        ("beginning of a model", "models: [m-N-*]"),
        ("path and model", "path: {exact: /t/N}, models: [m-N]"),
    ];
    for (kind, matches) in kinds {
        let mut group = criterion.benchmark_group(format!("route by {kind}"));
        for count in [10, 100, 1_000, 10_000] {
            let route = |n: usize| {
                let matches = matches.replace('N', &n.to_string());
                format!("- {{name: r{n}, match: {{{matches}}}, split: [{{upstream: up0}}]}}\n")
            };
            let table = table(&(0..count).map(route).collect::<String>());
            let last = count - 1;
            let (path, model) = match kind {
                "exact path" | "path and model" => (format!("/t/{last}"), format!("m-{last}")),
                "prefix" => (format!("/t/{last}/chat/completions"), String::new()),
                _ => (
                    "/v1/chat/completions".to_owned(),
                    if kind == "model" {
                        format!("m-{last}")
                    } else {
                        format!("m-{last}-mini")
                    },
                ),
            };
            let head = head(&path);
            let found = find(&table, &head, &model).map(Route::index);
            assert_eq!(found, Some(last), "the last of {count} by {kind}");
            group.bench_function(count.to_string(), |bencher| {
                bencher.iter(|| find(&table, black_box(&head), black_box(&model)));
            });
        }
    }
}

/// Ten tenants with a hundred models each.
fn tenants() -> RouteTable {
    let mut text = String::new();
    for n in 0..1_000 {
        let matches = format!(
            "path: {{prefix: /t{}/v1}}, models: [model-{}]",
            n / 100,
            n % 100
        );
        writeln!(text, "- {{name: r{n}, match: {{{matches}}}, split: [{{upstream: up0, weight: 95}}, {{upstream: up1, weight: 5}}]}}").unwrap();
    }
    table(&text)
}

fn endpoints(policy: Policy) -> Pool<usize> {
    let settings = Settings {
        policy,
        rules: None,
        ejected_percent_max: 50,
        slow_start: Duration::ZERO,
    };
    let members = (0..100_u8).map(|n| Member {
        target: usize::from(n),
        weight: Weight::try_from(u32::from(n % 4) + 1).unwrap(),
        near: true,
        requests_max: None,
        vitals: Default::default(),
        seed: hash(&[n]),
    });
    Pool::new(settings, members).unwrap()
}

/// Route, target and endpoint: all that is chosen for a request.
fn all_of_it(criterion: &mut Criterion) {
    let table = tenants();
    let (exchange, head) = (exchange(), head("/t9/v1/chat/completions"));
    let ask = Ask {
        now: NOW,
        key: Some(7),
        tried: &[],
    };
    let mut group =
        criterion.benchmark_group("one of 1,000 routes, a target, one of 100 endpoints");
    for (name, policy) in [
        ("in turn", Policy::RoundRobin),
        ("less busy of two", Policy::LeastBusy),
        ("sooner of two", Policy::Latency),
        ("by hash", Policy::Hash),
    ] {
        let pool = endpoints(policy);
        let choose = || {
            let route = find(&table, black_box(&head), black_box("model-99"))?;
            let target = route.router().target(&exchange, &head);
            let (member, flight) = pool.enter(ask).ok()?;
            Some((target.upstream, member.target, flight))
        };
        assert!(choose().is_some());
        let counted = measure(|| (0..1_000).for_each(|_| drop(black_box(choose()))));
        assert_eq!(counted.count_total, 0, "allocations of 1,000 choices");
        group.bench_function(name, |bencher| bencher.iter(choose));
    }
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
    let (exchange, head): (Exchange, _) = (exchange(), head("/"));
    for (kind, sticky) in [("", ""), ("sticky ", "sticky: {header: x-user}, ")] {
        for count in [1, 2, 8] {
            let targets = (0..count).map(|n| format!("{{ upstream: up{n}, weight: {} }}", n + 1));
            let targets: Vec<_> = targets.collect();
            let table = table(&format!(
                "  - {{ name: all, {sticky}split: [{}] }}\n",
                targets.join(", ")
            ));
            let route = table.get(0).unwrap();
            let mut group = criterion.benchmark_group(format!("{kind}split among {count}"));
            group.bench_function("one core", |bencher| {
                bencher.iter(|| route.router().target(black_box(&exchange), &head).upstream);
            });
            group.bench_function("every core", |bencher| {
                bencher.iter_custom(|rounds| on_every_core(route, rounds));
            });
        }
    }
}

criterion_group!(benches, growth, all_of_it, a_split);
criterion_main!(benches);
