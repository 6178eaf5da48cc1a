//! What a reload takes before it can swap: reading 1,000 routes, reading 10,000 API keys,
//! and building what serves of both. All three together are to stay well under 50 ms, on
//! processors that serve meanwhile.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use penstock_plugins::build::Given;
use penstock_plugins::{RouteTable, Shared, authenticate};

/// The one of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn routes() -> String {
    let route = |n| {
        format!(
            "  - {{ name: route-{n}, match: {{ path: {{ prefix: /team/{n} }}, models: [\"model-{n}-*\"] }}, split: [{{ upstream: up, model: served }}] }}\n"
        )
    };
    let routes: String = (0..1000).map(route).collect();
    format!(
        "upstreams:\n  up: {{ endpoints: [\"127.0.0.1:1\"] }}\nchain:\n  - authenticate: {{ keys: {{ file: keys.yaml }} }}\nroutes:\n{routes}"
    )
}

fn keys() -> String {
    let key = |n: u32| {
        let hash = authenticate::hash(&n.to_be_bytes());
        format!("- {{ hash: \"{hash}\", consumer: consumer-{} }}\n", n % 100)
    };
    (0..10_000).map(key).collect()
}

fn before_the_swap(criterion: &mut Criterion) {
    let (routes, keys) = (routes(), keys());
    let mut group = criterion.benchmark_group("a reload");
    group.sample_size(50);
    group.bench_function("reads 1,000 routes", |bencher| {
        bencher.iter(|| penstock_config::parse(black_box(&routes)).unwrap());
    });
    group.bench_function("reads 10,000 keys", |bencher| {
        bencher.iter(|| penstock_config::keys::parse(black_box(&keys)).unwrap());
    });
    let shared = Shared::default();
    let mut given = Given::default();
    given.files.insert("keys.yaml".into(), keys.into());
    group.bench_function("reads and builds both", |bencher| {
        bencher.iter(|| {
            let config = penstock_config::parse(black_box(&routes)).unwrap();
            RouteTable::new(&config, &shared, &given).unwrap()
        });
    });
}

criterion_group!(benches, before_the_swap);
criterion_main!(benches);
