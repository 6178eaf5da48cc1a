//! What deciding about one request costs: finding its route, an empty chain, the scan of
//! its body. What nobody configured must cost nothing.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::request::Parts;
use penstock_benches::shapes::SHAPES;
use penstock_plugins::build::Given;
use penstock_plugins::json::Scanner;
use penstock_plugins::{Arrival, Dialect, Exchange, Found, RouteTable, Shared};

fn head(path: &str) -> Parts {
    http::Request::post(path)
        .header("host", "bench")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn routes(count: usize) -> RouteTable {
    let mut text = String::from("upstreams:\n  up: { endpoints: [\"127.0.0.1:1\"] }\nroutes:\n");
    for n in 0..count {
        writeln!(text, "  - {{ name: r{n}, match: {{ path: {{ exact: /t{n}/chat }} }}, split: [{{ upstream: up }}] }}")
            .unwrap();
    }
    writeln!(text, "  - {{ name: rest, split: [{{ upstream: up }}] }}").unwrap();
    let config = penstock_config::parse(&text).unwrap();
    RouteTable::new(&config, &Shared::default(), &Given::default()).unwrap()
}

fn finding_a_route(criterion: &mut Criterion) {
    for count in [1, 1_000] {
        let table = routes(count);
        let (first, none) = (head("/t0/chat"), head("/elsewhere"));
        let mut group = criterion.benchmark_group(format!("route among {count}"));
        group.bench_function("exact", |bencher| {
            bencher.iter(|| matches!(table.find(black_box(&first)), Found::Route(_)))
        });
        group.bench_function("last", |bencher| {
            bencher.iter(|| matches!(table.find(black_box(&none)), Found::Route(_)))
        });
    }
}

fn an_empty_chain(criterion: &mut Criterion) {
    let table = routes(1);
    let head = head("/t0/chat");
    let chain = table.get(0).unwrap().chain();
    let arrival = Arrival {
        id: 7,
        client: None,
        generation: 1,
        at: Duration::ZERO,
        dialect: Dialect::OpenAi,
    };
    criterion.bench_function("empty chain", |bencher| {
        bencher.iter(|| {
            let mut exchange = Exchange::new(arrival);
            chain.request(&mut exchange, black_box(&head)).is_ok()
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

criterion_group!(benches, finding_a_route, an_empty_chain, the_body);
criterion_main!(benches);
