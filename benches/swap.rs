//! What a request pays to take hold of the configuration in force: tens of nanoseconds, and
//! about as much while another thread reloads without pause.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench, not an interface"
)]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use penstock::live::{Live, Source};
use penstock::telemetry::Telemetry;
use penstock::transport::Transport;

fn live() -> Live {
    let text = "upstreams: { up: { endpoints: [\"127.0.0.1:1\"] } }
routes: [{ name: all, split: [{ upstream: up }] }]";
    let telemetry = Arc::new(Telemetry::new().unwrap());
    let config = penstock_config::parse(text).unwrap();
    Live::new(
        config,
        Source::BuiltIn(text.to_owned()),
        Transport::Epoll,
        telemetry,
    )
    .unwrap()
}

/// What a request does at its beginning, and undoes at its end.
fn hold(live: &Live) {
    black_box(live.load());
}

/// How long each of so many threads takes in the mean to hold it so many times.
fn by_threads(live: &Live, threads: usize, rounds: u64) -> Duration {
    let start = Barrier::new(threads);
    let work = || {
        start.wait();
        let started = Instant::now();
        (0..rounds).for_each(|_| hold(live));
        started.elapsed()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let times = workers.into_iter().map(|worker| worker.join().unwrap());
        times.sum::<Duration>() / u32::try_from(threads).unwrap()
    })
}

fn reading(criterion: &mut Criterion) {
    let live = live();
    let cores = thread::available_parallelism().unwrap().get();
    let mut group = criterion.benchmark_group("configuration in force");
    group.bench_function("one core", |bencher| bencher.iter(|| hold(&live)));
    group.bench_function("every core", |bencher| {
        bencher.iter_custom(|rounds| by_threads(&live, cores, rounds));
    });
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                live.reload().unwrap();
            }
        });
        group.bench_function("one core, reloads on another", |bencher| {
            bencher.iter(|| hold(&live));
        });
        is_done.store(true, Ordering::Relaxed);
    });
    group.bench_function("a reload", |bencher| {
        bencher.iter(|| live.reload().unwrap());
    });
}

criterion_group!(benches, reading);
criterion_main!(benches);
