//! The event loop never parks, so its park hook never turns the ring.
//!
//! 1. A task yields without end, or other threads wake tasks without end: tokio then
//!    polls its epoll set without calling the hooks.
//! 2. Other tasks queue operations, and wait.
//! 3. The operations must be submitted and their completions taken all the same, whether
//!    or not the restless task itself polls streams.

use std::io::{Read, Write};
use std::thread;

use penstock_uring::{Options, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{on_ring, pair, poll_once};

async fn echoed(mut stream: TcpStream, mut peer: std::net::TcpStream, times: usize) {
    thread::spawn(move || {
        let mut byte = [0];
        while let Ok(1) = peer.read(&mut byte) {
            peer.write_all(&byte).unwrap();
        }
    });
    for _ in 0..times {
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    }
}

#[test]
fn a_task_that_yields_for_ever_starves_nobody() {
    on_ring(Options::default(), |_| async move {
        let restless = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let (stream, peer) = pair();
        tokio::spawn(echoed(stream, peer, 20)).await.unwrap();
        restless.abort();
    });
}

#[test]
fn a_receive_that_waited_before_it_all_began_completes_too() {
    on_ring(Options::default(), |_| async move {
        let (mut stream, mut peer) = pair();
        let reader = tokio::spawn(async move { stream.read_u8().await });
        // Longer than the watch that the receive started.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let restless = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        peer.write_all(b"x").unwrap();
        assert_eq!(reader.await.unwrap().unwrap(), b'x');
        restless.abort();
    });
}

#[test]
fn a_task_that_polls_streams_for_ever_is_its_own_clock() {
    on_ring(Options::default(), |_| async move {
        let (other, _other_peer) = pair();
        let restless = tokio::spawn(async move {
            loop {
                assert!(poll_once(other.readable()).await.is_none());
                tokio::task::yield_now().await;
            }
        });
        let (stream, peer) = pair();
        tokio::spawn(echoed(stream, peer, 500)).await.unwrap();
        restless.abort();
    });
}

#[test]
fn an_idle_ring_is_not_woken() {
    on_ring(Options::default(), |metrics| async move {
        let (stream, _peer) = pair();
        assert!(poll_once(stream.readable()).await.is_none());
        // Another thread keeps the time: tokio's own timers would wake the loop.
        let pause = |ms| {
            tokio::task::spawn_blocking(move || thread::sleep(std::time::Duration::from_millis(ms)))
        };
        pause(100).await.unwrap();
        let before = metrics.wakeups.value();
        pause(300).await.unwrap();
        let woken = metrics.wakeups.value() - before;
        // Whatever woke the loop, the watch wakes it once more; and the pause is over.
        assert!(woken <= 5, "woken {woken} times while nothing happened");
    });
}
