//! What the cache costs a request of 16 KiB: the scan of its body that every request of
//! such a route pays, and on top of it the key and the lookup, found or not. Together they
//! stand for everything that a cache adds before a request goes upstream.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::request::Parts;
use http::{Response, header};
use penstock_benches::shapes::SHAPES;
use penstock_benches::{NOW, exchange};
use penstock_plugins::build::Given;
use penstock_plugins::role::{Destination, Lookup};
use penstock_plugins::{Facts, RouteTable, Shared};

const KIB: usize = 16;

fn table(shared: &Shared) -> RouteTable {
    let text = "upstreams:\n  up: { endpoints: [\"127.0.0.1:1\"] }\nroutes:\n  - { name: all, chain: [cache: {}], split: [{ upstream: up }] }\n";
    penstock_benches::table(text, shared, &Given::default())
}

fn head() -> Parts {
    let request = http::Request::post("/v1/chat/completions")
        .header("host", "bench")
        .header("accept", "application/json")
        .header(
            "authorization",
            "Bearer sk-0123456789abcdef0123456789abcdef",
        )
        .header("content-type", "application/json");
    request.body(()).unwrap().into_parts().0
}

fn a_request(criterion: &mut Criterion) {
    let shared = Shared::default();
    let table = table(&shared);
    let policy = table.get(0).unwrap().chain().cache().unwrap();
    let head = head();
    let destination = Destination {
        upstream: "up",
        host: None,
        model: None,
    };
    for (kind, shape) in SHAPES {
        let body = Bytes::from(shape(KIB * 1024));
        let mut group = criterion.benchmark_group(format!("{KIB} KiB of {kind}"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("scan", |bencher| {
            bencher.iter(|| Facts::of(black_box(&body)).unwrap());
        });
        let ask = || {
            let mut exchange = exchange();
            exchange.learn(Facts::of(black_box(&body)).unwrap());
            let lookup = policy.look_up(&mut exchange, &head, &body, destination);
            (exchange, lookup.unwrap())
        };
        group.bench_function("scan, key and miss", |bencher| bencher.iter(ask));
        let (_, Lookup::Miss(recorder)) = ask() else {
            unreachable!("nothing was stored");
        };
        let (media_type, text): (_, &[u8]) = match Facts::of(&body).unwrap().stream {
            true => ("text/event-stream", b"data: {}\n\ndata: [DONE]\n\n"),
            false => ("application/json", b"{}"),
        };
        let response = Response::builder().header(header::CONTENT_TYPE, media_type);
        let (answer, ()) = response.body(()).unwrap().into_parts();
        let recorder = recorder.head(&answer, NOW).unwrap();
        assert_eq!(recorder.chunk(text).unwrap().finish(), "stored");
        group.bench_function("scan, key and hit", |bencher| bencher.iter(ask));
    }
}

criterion_group!(benches, a_request);
criterion_main!(benches);
