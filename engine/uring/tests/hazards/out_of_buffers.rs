//! More connections receive at once than there are buffers.
//!
//! 1. Sixty-four receives are in flight; there are eight buffers.
//! 2. Bytes arrive for all: some receives end with `ENOBUFS`, which is no error of
//!    their connections.
//! 3. They must be queued again as soon as buffers are free: all of them, also if some
//!    that wait have been dropped, and also if those queued first have nothing to receive.

use std::io::Write;
use std::time::Duration;

use penstock_uring::Options;
use tokio::io::AsyncReadExt;

use super::harness::{all_freed, eventually, on_ring, pair, pattern, poll_once, through_ring};

fn few_buffers() -> Options {
    Options {
        buffers: 8,
        buffer_size: 1024,
        ..through_ring()
    }
}

#[test]
fn every_byte_arrives() {
    on_ring(few_buffers(), |metrics| async move {
        let mut readers = Vec::new();
        let mut peers = Vec::new();
        for _ in 0..64 {
            let (mut stream, mut peer) = pair();
            readers.push(tokio::spawn(async move {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).await.unwrap();
                assert!(got == pattern(100_000));
            }));
            peers.push(std::thread::spawn(move || {
                peer.write_all(&pattern(100_000)).unwrap()
            }));
        }
        for reader in readers {
            reader.await.unwrap();
        }
        peers.into_iter().for_each(|peer| peer.join().unwrap());
        let scarce = metrics.buffer_exhaustion.value() + metrics.buffers_spilled.value();
        assert!(scarce > 0, "there always was a buffer");
        all_freed(&metrics).await;
    });
}

#[test]
fn a_dropped_connection_does_not_stand_in_the_way_of_the_next() {
    on_ring(few_buffers(), |metrics| async move {
        for _ in 0..20 {
            let mut waiting = Vec::new();
            for _ in 0..64 {
                let (stream, mut peer) = pair();
                peer.write_all(&pattern(900)).unwrap();
                assert!(poll_once(stream.readable()).await.is_none());
                waiting.push((stream, peer));
            }
            tokio::task::yield_now().await;
            // Three in four are dropped, some with their receive queued again, some starved.
            let mut n = 0;
            waiting.retain(|_| {
                n += 1;
                n % 4 == 0
            });
            for (stream, _peer) in &mut waiting {
                let mut got = [0; 900];
                stream.read_exact(&mut got).await.unwrap();
                assert!(got[..] == pattern(900));
            }
            drop(waiting);
            all_freed(&metrics).await;
        }
    });
}

#[test]
fn readers_that_do_not_read_leave_buffers_for_the_others() {
    on_ring(few_buffers(), |metrics| async move {
        let mut idle = Vec::new();
        for _ in 0..64 {
            let (stream, mut peer) = pair();
            assert!(poll_once(stream.readable()).await.is_none());
            peer.write_all(&pattern(5000)).unwrap();
            idle.push((stream, peer));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        eventually("bytes are copied out", || {
            metrics.buffers_spilled.value() > 0
        })
        .await;
        assert!(
            metrics.buffers_in_use.value() <= 4,
            "at most half of the buffers are held"
        );
        let (mut stream, mut peer) = pair();
        peer.write_all(b"x").unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    });
}
