//! What a request costs that passes no plugin, and the scan of its body. What nobody
//! configured must cost nothing: an empty chain is not to be told from none.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::request::Parts;
use penstock_benches::shapes::SHAPES;
use penstock_plugins::build::Given;
use penstock_plugins::json::Scanner;
use penstock_plugins::{Arrival, Dialect, Exchange, RouteTable, Shared};

fn head(path: &str) -> Parts {
    http::Request::post(path)
        .header("host", "bench")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

/// Each phase of an empty chain, and the same request without one.
fn an_empty_chain(criterion: &mut Criterion) {
    let config = "upstreams: { up: { endpoints: [\"127.0.0.1:1\"] } }
routes: [{ name: all, split: [{ upstream: up }] }]";
    let config = penstock_config::parse(config).unwrap();
    let table = RouteTable::new(&config, &Shared::default(), &Given::default()).unwrap();
    let chain = table.get(0).unwrap().chain();
    let (head, body) = (head("/v1/chat/completions"), Bytes::new());
    let arrival = Arrival {
        id: 7,
        client: None,
        generation: 1,
        at: Duration::ZERO,
        dialect: Dialect::OpenAi,
    };
    let mut group = criterion.benchmark_group("an exchange");
    group.bench_function("without a chain", |bencher| {
        bencher.iter(|| black_box(Exchange::new(black_box(arrival))).id());
    });
    group.bench_function("with an empty chain", |bencher| {
        bencher.iter(|| {
            let mut exchange = black_box(Exchange::new(black_box(arrival)));
            let passed = chain.authenticate(&mut exchange, &head).is_ok()
                && chain.request(&mut exchange, &head).is_ok()
                && chain.body(&mut exchange, &head, &body).is_ok();
            black_box(passed);
            exchange.id()
        });
    });
}

fn the_body(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("body scan");
    for (kib, (kind, shape)) in [1, 16, 1024]
        .into_iter()
        .flat_map(|kib| SHAPES.map(|shape| (kib, shape)))
    {
        let body = shape(kib * 1024);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{kib} KiB of {kind}"), |bencher| {
            bencher.iter(|| {
                let mut scanner = Scanner::new();
                scanner.push(black_box(body.as_bytes())).unwrap();
                scanner.finish().unwrap()
            });
        });
    }
}

criterion_group!(benches, an_empty_chain, the_body);
criterion_main!(benches);
