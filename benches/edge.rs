//! What it costs to check that a request can be read in one way: a usual head, chunks, a
//! path; and to count the frames of HTTP/2. None of it allocates.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::hint::black_box;
use std::time::Instant;

use allocation_counter::measure;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use penstock::frames::{Bounds, Meter};
use penstock::strict::{ChunkCheck, HeadCheck, Limits, Paths};

/// As OpenAI's client for Python sends it.
const HEAD: &str = "POST /v1/chat/completions HTTP/1.1\r\n\
    Host: inference.example.com\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Connection: keep-alive\r\n\
    Accept: application/json\r\n\
    Content-Type: application/json\r\n\
    User-Agent: OpenAI/Python 2.8.0\r\n\
    X-Stainless-Lang: python\r\n\
    X-Stainless-Package-Version: 2.8.0\r\n\
    X-Stainless-OS: Linux\r\n\
    X-Stainless-Arch: x64\r\n\
    X-Stainless-Runtime: CPython\r\n\
    X-Stainless-Runtime-Version: 3.12.7\r\n\
    Authorization: Bearer sk-0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
    X-Stainless-Async: false\r\n\
    x-stainless-retry-count: 0\r\n\
    x-stainless-read-timeout: 600\r\n\
    Content-Length: 1024\r\n\r\n";

const LIMITS: Limits = Limits {
    target: 8 << 10,
    head: 64 << 10,
    fields: 128,
};

fn check(head: &str) -> bool {
    let head = HeadCheck::default().check(&LIMITS, black_box(head.as_bytes()));
    matches!(head, Ok(Some(_)))
}

fn edge(criterion: &mut Criterion) {
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let chunks = |body: &str| {
        let mut chunks = ChunkCheck::default();
        chunks.check(black_box(body.as_bytes())).is_ok()
    };
    let paths = Paths::default();
    let path = |path: &str| paths.normalise(black_box(path)).is_ok();
    assert!(check(HEAD) && chunks(&chunk) && path("/v1/chat/completions"));
    let allocated = measure(|| {
        assert!(check(HEAD) && chunks(&chunk) && path("/v1/chat/completions"));
    });
    assert_eq!(allocated.count_total, 0, "a good request allocates nothing");

    let mut group = criterion.benchmark_group("edge");
    group.throughput(Throughput::Bytes(HEAD.len() as u64));
    group.bench_function(format!("head of {} bytes", HEAD.len()), |bencher| {
        bencher.iter(|| check(HEAD));
    });
    group.throughput(Throughput::Bytes(chunk.len() as u64));
    group.bench_function("chunk of 16 KiB", |bencher| bencher.iter(|| chunks(&chunk)));
    group.throughput(Throughput::Elements(1));
    group.bench_function("path", |bencher| {
        bencher.iter(|| path("/v1/chat/completions"))
    });
    group.bench_function("path with an escape", |bencher| {
        bencher.iter(|| path("/v1/models/llama%203"));
    });
    group.finish();
    frames(criterion);
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = len.get(1..).unwrap().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What counting frames adds: to a request of 20 fields, most of them by their places in the
/// table, with a body of 1 KiB; to an answer of 16 tokens; to a PING.
fn frames(criterion: &mut Criterion) {
    let mut fields = vec![0xbe; 16];
    for _ in 0..4 {
        fields.extend([0x7f, 0x01, 40]);
        fields.extend([b'x'; 40]);
    }
    let request = [frame(1, 4, 1, &fields), frame(0, 1, 1, &[b'x'; 1024])].concat();
    let answer = frame(0, 0, 1, &[b'x'; 200]).repeat(16);
    let ping = frame(6, 0, 0, &[0; 8]);
    let bounds = Bounds {
        head: 64 << 10,
        fields: 128,
        resets: 100,
        control_frames: u32::MAX / 2,
    };
    let mut meter = Meter::new(&bounds, Instant::now());
    let preface = meter.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Instant::now);
    assert_eq!(preface, Ok(()));
    let allocated = measure(|| {
        assert_eq!(meter.receive(&request, Instant::now), Ok(()));
        assert_eq!(meter.send(&answer, Instant::now), Ok(()));
    });
    assert_eq!(
        allocated.count_total, 0,
        "frames are counted without memory"
    );

    let mut group = criterion.benchmark_group("frames");
    group.bench_function("of a request", |bencher| {
        bencher.iter(|| meter.receive(black_box(&request), Instant::now));
    });
    group.bench_function("of an answer of 16 tokens", |bencher| {
        bencher.iter(|| meter.send(black_box(&answer), Instant::now));
    });
    group.bench_function("a PING", |bencher| {
        bencher.iter(|| meter.receive(black_box(&ping), Instant::now));
    });
    group.finish();
}

criterion_group!(benches, edge);
criterion_main!(benches);
