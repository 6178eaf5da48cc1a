//! The ring is dropped while operations are in flight and streams are alive.
//!
//! 1. Receives, sends, an accept and a connect are in flight; tasks wait for them.
//! 2. The ring is dropped. It must cancel everything and wait for the kernel to let go
//!    of its memory, within its bound, before the memory is freed.
//! 3. The tasks that waited must be woken and told; so must later polls be, also when
//!    the thread has got a new ring meanwhile.

use std::io;
use std::time::{Duration, Instant};

use penstock_uring::{Ring, TcpListener, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{
    LOCALHOST, bounded, deaf_listener, fill, narrow_pair, options, pair, poll_once, runtime,
};

async fn one_stop(deaf: std::net::SocketAddr, fills: bool) {
    let ring = Ring::install(options()).unwrap();
    let metrics = ring.metrics();

    let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
    let mut listener = TcpListener::from_std(listener).unwrap();
    assert!(poll_once(listener.accept()).await.is_none());
    let (mut reading, _reading_peer) = pair();
    let (mut sending, _sending_peer) = narrow_pair();
    let (mut dropped, _dropped_peer) = narrow_pair();
    if fills {
        fill(&mut sending, &vec![0; 1 << 20]).await;
        fill(&mut dropped, &vec![0; 1 << 20]).await;
    } else {
        sending.write_all(&[0; 60_000]).await.unwrap();
        dropped.write_all(&[0; 60_000]).await.unwrap();
    }
    drop(dropped);
    let waiting = [
        tokio::spawn(async move { reading.read(&mut [0; 16]).await.map(drop) }),
        tokio::spawn(async move { sending.write_all(&vec![0; 1 << 20]).await }),
        tokio::spawn(async move { TcpStream::connect(deaf).await.map(drop) }),
        tokio::spawn(async move { listener.accept().await.map(drop) }),
    ];
    let (mut later, _later_peer) = pair();
    assert!(poll_once(later.read(&mut [0; 16])).await.is_none());
    if fills {
        tokio::time::sleep(Duration::from_millis(1)).await;
    } else {
        tokio::task::yield_now().await;
    }

    let start = Instant::now();
    drop(ring);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "the kernel did not let go"
    );
    assert_eq!(metrics.connections.value(), 0);
    assert_eq!(metrics.buffers_in_use.value(), 0);
    for task in waiting {
        let error = task.await.unwrap().unwrap_err();
        let told = matches!(
            error.kind(),
            io::ErrorKind::NotConnected | io::ErrorKind::Other
        );
        assert!(told, "{error:?}");
    }
    assert_eq!(
        later.read(&mut [0; 16]).await.unwrap_err().kind(),
        io::ErrorKind::NotConnected
    );
    let ring = Ring::install(options()).unwrap();
    assert_eq!(
        later.write(b"x").await.unwrap_err().kind(),
        io::ErrorKind::NotConnected
    );
    drop(ring);
    drop(later);
}

#[test]
fn two_hundred_stops() {
    bounded(|| {
        let (deaf, _kept) = deaf_listener();
        runtime().block_on(async {
            for round in 0..200 {
                one_stop(deaf, round % 20 == 0).await;
            }
        });
    });
}

#[test]
fn the_ring_may_be_dropped_by_the_runtimes_shutdown_or_after_it() {
    bounded(|| {
        for _ in 0..20 {
            // In a task that the shutdown drops.
            let inside = runtime();
            inside.block_on(async {
                let ring = Ring::install(options()).unwrap();
                let (mut stream, peer) = pair();
                tokio::task::spawn(async move { stream.read(&mut [0; 16]).await.map(drop) });
                let local = tokio::task::LocalSet::new();
                let never = local.run_until(async move {
                    let _kept = (ring, peer);
                    std::future::pending::<()>().await
                });
                tokio::time::timeout(Duration::from_millis(1), never)
                    .await
                    .unwrap_err();
            });
            drop(inside);

            // On the stack, after the runtime is gone.
            let outside = runtime();
            let (ring, stream, peer) = outside.block_on(async {
                let ring = Ring::install(options()).unwrap();
                let (mut stream, peer) = pair();
                assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
                (ring, stream, peer)
            });
            drop(outside);
            drop(ring);
            drop((stream, peer));
        }
    });
}

#[test]
fn a_thread_may_end_with_its_ring() {
    bounded(|| {
        std::thread::spawn(|| {
            runtime().block_on(async {
                let (mut stream, _peer) = {
                    std::mem::forget(Ring::install(options()).unwrap());
                    pair()
                };
                assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
                std::mem::forget(stream);
            });
        })
        .join()
        .unwrap();
    });
}

#[test]
fn a_ring_needs_the_right_runtime_and_is_alone_on_its_thread() {
    bounded(|| {
        let unsupported = |result: io::Result<Ring>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Unsupported);
        };
        unsupported(Ring::install(options()));
        runtime().block_on(async {
            let _ring = Ring::install(options()).unwrap();
            let second = Ring::install(options()).unwrap_err();
            assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        });
    });
}
