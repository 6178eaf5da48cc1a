//! A stream is used on a thread that does not own its ring.
//!
//! 1. A stream is made on one thread and sent to another: the types allow it.
//! 2. Polled there, it must return an error and touch no memory, even if that thread has
//!    a ring of its own with a connection in the slot of the same number.
//! 3. Dropped there, its slot must be freed by the thread that owns it, soon, even if
//!    that thread is asleep.

use std::io::Read;
use std::thread;

use penstock_uring::{Options, TcpListener, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{LOCALHOST, all_freed, eventually, on_ring, pair, poll_once};

async fn every_poll_fails(mut stream: TcpStream) -> TcpStream {
    assert!(stream.read(&mut [0; 16]).await.is_err());
    assert!(stream.write(b"x").await.is_err());
    assert!(stream.flush().await.is_err());
    assert!(stream.readable().await.is_err());
    assert!(stream.shutdown().await.is_err());
    stream
}

#[test]
fn polled_on_a_thread_without_a_ring_it_fails() {
    on_ring(Options::default(), |metrics| async move {
        let (stream, mut peer) = pair();
        let runtime = || {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
        };
        let mut stream = thread::spawn(move || runtime().block_on(every_poll_fails(stream)))
            .join()
            .unwrap();
        assert_eq!(metrics.foreign_polls.value(), 5);
        // Back at home it is as good as ever.
        stream.write_all(b"x").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(peer.read(&mut [0; 16]).unwrap(), 1);
    });
}

#[test]
fn polled_on_a_thread_with_a_ring_it_fails() {
    on_ring(Options::default(), |metrics| async move {
        let (stream, mut peer) = pair();
        let stream = thread::spawn(move || {
            on_ring(Options::default(), |_| async move {
                let (mut own, mut own_peer) = pair();
                let stream = every_poll_fails(stream).await;
                own.write_all(b"mine").await.unwrap();
                own.shutdown().await.unwrap();
                let mut got = String::new();
                own_peer.read_to_string(&mut got).unwrap();
                assert_eq!(got, "mine", "the other ring's connection is untouched");
                stream
            })
        });
        drop(stream.join().unwrap());
        all_freed(&metrics).await;
        assert_eq!(peer.read(&mut [0; 16]).unwrap(), 0);
    });
}

#[test]
fn dropped_on_another_thread_it_is_freed_by_its_own() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let (closed, when_closed) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            // The owner is asleep by now, and nothing but the drop can wake it.
            thread::sleep(std::time::Duration::from_millis(20));
            drop(stream);
            closed.send(peer.read(&mut [0; 16]).unwrap()).unwrap();
        });
        assert_eq!(when_closed.await.unwrap(), 0, "the peer sees the end");
        assert_eq!(metrics.foreign_drops.value(), 1);
        all_freed(&metrics).await;
    });
}

#[test]
fn a_listener_dropped_on_another_thread_is_freed_too() {
    on_ring(Options::default(), |metrics| async move {
        let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
        let mut listener = TcpListener::from_std(listener).unwrap();
        assert!(poll_once(listener.accept()).await.is_none());
        eventually("the listener is known", || metrics.connections.value() == 1).await;
        thread::spawn(move || drop(listener)).join().unwrap();
        all_freed(&metrics).await;
    });
}
