//! What it costs to know who asks: a request's way through authentication and roles, as
//! every request pays it, and reading 10,000 keys, as a reload pays it. The first is to
//! stay under 300 ns for the key alone, the second well under 50 ms.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::request::Parts;
use penstock_benches::exchange;
use penstock_plugins::build::Given;
use penstock_plugins::{RouteTable, Shared, authenticate};

const KEYS: u32 = 10_000;

/// As long as one that `penstock hash-key` makes.
fn key(n: u32) -> String {
    format!("psk_{n:043}")
}

fn file() -> String {
    let entry = |n| {
        let hash = authenticate::hash(key(n).as_bytes());
        format!(
            "- hash: {hash}\n  consumer: consumer-{n}\n  tenant: tenant-{}\n  roles: [chat, batch]\n  expires: 2099-12-31T23:59:59Z\n",
            n % 100
        )
    };
    (0..KEYS).map(entry).collect()
}

fn table(file: &str) -> RouteTable {
    let config = "upstreams: { u: { endpoints: [\"127.0.0.1:1\"] } }
chain:
- authenticate: { keys: { file: keys.yaml } }
- authorize: { roles: { chat: { routes: [chat], methods: [GET, POST] } } }
routes: [{ name: chat, split: [{ upstream: u }] }]";
    let mut given = Given::default();
    given.files.insert("keys.yaml".into(), file.into());
    penstock_benches::table(config, &Shared::default(), &given)
}

fn head(name: &str, value: &str) -> Parts {
    // The headers that an SDK sends besides.
    http::Request::post("/v1/chat/completions")
        .header("host", "bench")
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .header("user-agent", "OpenAI/Python 1.99.0")
        .header("x-stainless-lang", "python")
        .header("x-stainless-runtime", "CPython")
        .header("content-length", "1024")
        .header(name, value)
        .body(())
        .unwrap()
        .into_parts()
        .0
}

fn a_request(criterion: &mut Criterion) {
    let table = table(&file());
    let heads: Vec<Parts> = (0..KEYS)
        .map(|n| head("authorization", &format!("Bearer {}", key(n))))
        .collect();
    let mut group = criterion.benchmark_group("authenticate");
    let mut authenticate = |name: &str, heads: &[Parts]| {
        let mut next = heads.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut exchange = exchange();
                let head = next.next().unwrap();
                table
                    .global()
                    .authenticate(&mut exchange, black_box(head))
                    .is_ok()
            });
        });
    };
    authenticate("the first key", heads.get(..1).unwrap());
    authenticate("the last key", heads.get(heads.len() - 1..).unwrap());
    // No two requests in a row find each other's traces in the processor's cache.
    authenticate("10,000 keys in turn", &heads);
    authenticate(
        "an unknown key",
        &[head("x-api-key", "psk_nobody-has-this-key-0123456789")],
    );
    authenticate("no key", &[head("accept-language", "en")]);
    group.finish();
    let route = table.get(0).unwrap();
    let mut known = exchange();
    let head = heads.first().unwrap();
    table.global().authenticate(&mut known, head).unwrap();
    known.enter(route);
    criterion.bench_function("authorize", |bencher| {
        bencher.iter(|| route.chain().request(&mut known, black_box(head)).is_ok());
    });
}

fn a_reload(criterion: &mut Criterion) {
    let file = file();
    let mut group = criterion.benchmark_group("10,000 keys");
    group.sample_size(20);
    group.bench_function("parse", |bencher| {
        bencher.iter(|| penstock_config::keys::parse(black_box(&file)).unwrap());
    });
    group.bench_function("parse and build", |bencher| {
        bencher.iter(|| table(black_box(&file)))
    });
}

criterion_group!(benches, a_request, a_reload);
criterion_main!(benches);
