//! What the firewall costs one ordinary request: its head, and its body of 1 KiB and of
//! 16 KiB, of which most is a prompt. The body is scanned for its facts before, which
//! is not counted here.

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
use penstock_plugins::build::Given;
use penstock_plugins::{Arrival, Chain, ChainBuilder, Dialect, Exchange, Facts, Shared};

/// The head that OpenAI's Python client sends.
fn head() -> Parts {
    let request = http::Request::post("/v1/chat/completions")
        .header("host", "llm.example.com")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate")
        .header("connection", "keep-alive")
        .header("content-type", "application/json")
        .header("user-agent", "OpenAI/Python 1.109.1")
        .header(
            "authorization",
            "Bearer sk-proj-0123456789abcdef0123456789abcdef",
        )
        .header("x-stainless-lang", "python")
        .header("x-stainless-package-version", "1.109.1")
        .header("x-stainless-os", "Linux")
        .header("x-stainless-arch", "x64")
        .header("x-stainless-runtime", "CPython")
        .header("x-stainless-runtime-version", "3.12.4")
        .header("x-stainless-retry-count", "0")
        .header("x-stainless-read-timeout", "600")
        .header("content-length", "1024");
    request.body(()).unwrap().into_parts().0
}

/// A chat of so many bytes, give or take a few.
fn body(bytes: usize) -> Bytes {
    let prompt = "It's \\\"quoted\\\"; SELECT a FROM b\\n".repeat(bytes / 34);
    let text = format!(
        r#"{{"model":"gpt-4o-mini","messages":[{{"role":"system","content":"Be brief."}},{{"role":"user","content":"{prompt}"}}],"temperature":0.2,"max_tokens":512,"stream":true,"user":"user-42"}}"#
    );
    text.into()
}

fn chain() -> Chain {
    let config = penstock_config::parse("chain: [{ waf: {} }]").unwrap();
    let builder = ChainBuilder::default();
    let built = builder.plugins(&config.chain, &Shared::default(), &Given::default());
    built.unwrap().build()
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

fn an_ordinary_request(criterion: &mut Criterion) {
    let (chain, head) = (chain(), head());
    let mut group = criterion.benchmark_group("firewall");
    group.bench_function("head", |bencher| {
        bencher.iter(|| chain.request(&mut exchange(), black_box(&head)).is_ok());
    });
    for bytes in [1024, 16 * 1024] {
        let body = body(bytes - 200);
        let facts = Facts::of(&body).unwrap();
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("head and body of {bytes} bytes"), |bencher| {
            bencher.iter_batched(
                || {
                    let mut exchange = exchange();
                    exchange.learn(facts.clone());
                    exchange
                },
                |mut exchange| {
                    chain.request(&mut exchange, black_box(&head)).is_ok()
                        && chain.body(&mut exchange, &head, black_box(&body)).is_ok()
                },
                criterion::BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, an_ordinary_request);
criterion_main!(benches);
