//! A stream is dropped while the kernel may still fill a buffer for it.
//!
//! 1. A task reads; nothing has arrived, so a receive is in flight.
//! 2. The task is cancelled and drops the stream.
//! 3. Bytes arrive before, while or after the receive is cancelled.
//! 4. A buffer filled for nobody must be given back, the descriptor must be closed, and
//!    the slot freed, but only after the receive's completion.

use std::io::{Read, Write};

use penstock_uring::Options;
use tokio::io::AsyncReadExt;

use super::harness::{all_freed, on_ring, pair, poll_once};

#[test]
fn the_receive_is_cancelled() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
        tokio::task::yield_now().await;
        drop(stream);
        all_freed(&metrics).await;
        assert_eq!(
            peer.read(&mut [0; 16]).unwrap(),
            0,
            "the peer is told of the end"
        );
    });
}

#[test]
fn the_receive_is_cancelled_before_it_is_submitted() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
        drop(stream);
        all_freed(&metrics).await;
        assert_eq!(
            peer.read(&mut [0; 16]).unwrap(),
            0,
            "the peer is told of the end"
        );
    });
}

#[test]
fn bytes_that_cross_the_cancellation_cost_no_buffer() {
    let options = Options {
        buffers: 8,
        ..Options::default()
    };
    on_ring(options, |metrics| async move {
        for round in 0..300 {
            let (mut stream, mut peer) = pair();
            assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
            if round % 3 == 0 {
                tokio::time::sleep(std::time::Duration::from_micros(100)).await;
            }
            peer.write_all(b"nobody reads this").unwrap();
            if round % 3 == 1 {
                tokio::task::yield_now().await;
            }
            drop(stream);
        }
        all_freed(&metrics).await;
        // All eight buffers still serve.
        let mut readers = Vec::new();
        for n in 0..8 {
            let (stream, mut peer) = pair();
            peer.write_all(&[n]).unwrap();
            readers.push((stream, peer));
        }
        for (n, (stream, _peer)) in readers.iter_mut().enumerate() {
            assert_eq!(usize::from(stream.read_u8().await.unwrap()), n);
        }
        assert_eq!(metrics.buffer_exhaustion.value(), 0, "no buffer was lost");
    });
}
