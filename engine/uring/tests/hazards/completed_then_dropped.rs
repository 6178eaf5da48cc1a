//! A receive has completed and its stream is dropped before anyone polled it again.
//!
//! 1. A task reads; the receive completes, and its buffer waits in the slot.
//! 2. Before the task runs, it is cancelled and the stream is dropped.
//! 3. Nobody will read the buffer: it must be given back at once.

use std::io::Write;

use penstock_uring::Options;
use tokio::io::AsyncReadExt;

use super::harness::{all_freed, eventually, on_ring, pair, poll_once, through_ring};

#[test]
fn the_buffer_is_given_back() {
    on_ring(through_ring(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
        peer.write_all(b"completed").unwrap();
        eventually("the receive completes", || {
            metrics.buffers_in_use.value() == 1
        })
        .await;
        drop(stream);
        all_freed(&metrics).await;
    });
}

#[test]
fn a_half_read_buffer_is_given_back() {
    on_ring(through_ring(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        peer.write_all(b"completed").unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'c');
        drop(stream);
        all_freed(&metrics).await;
    });
}

#[test]
fn spilled_bytes_are_forgotten() {
    let options = Options {
        buffers: 2,
        ..through_ring()
    };
    on_ring(options, |metrics| async move {
        let mut held = Vec::new();
        for _ in 0..6 {
            let (stream, mut peer) = pair();
            assert!(poll_once(stream.readable()).await.is_none());
            peer.write_all(b"completed").unwrap();
            held.push((stream, peer));
        }
        eventually("buffers run low", || metrics.buffers_spilled.value() > 0).await;
        drop(held);
        all_freed(&metrics).await;
    });
}
