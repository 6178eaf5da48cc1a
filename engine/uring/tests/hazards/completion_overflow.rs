//! More operations complete between two turns than the completion queue has room for.
//!
//! 1. Two hundred receives are in flight; the completion queue has room for four.
//! 2. The thread is busy elsewhere while bytes arrive for all of them.
//! 3. The kernel keeps the completions that found no room, and says so in a flag. Unless
//!    the ring is entered again, and again, they never come.

use std::io::Write;
use std::time::Duration;

use penstock_uring::Options;
use tokio::io::AsyncReadExt;

use super::harness::{all_freed, on_ring, pair, through_ring};

#[test]
fn nothing_is_lost() {
    let options = Options {
        entries: 1,
        ..through_ring()
    };
    on_ring(options, |metrics| async move {
        let mut peers = Vec::new();
        let mut readers = Vec::new();
        for n in 0..200u64 {
            let (mut stream, peer) = pair();
            peers.push(peer);
            readers.push(tokio::spawn(async move {
                for round in 0..5 {
                    assert_eq!(stream.read_u64().await.unwrap(), n + round);
                }
            }));
        }
        for round in 0..5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            for (n, peer) in peers.iter_mut().enumerate() {
                peer.write_all(&(n as u64 + round).to_be_bytes()).unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        for reader in readers {
            reader.await.unwrap();
        }
        assert!(
            metrics.completion_overflow.value() > 0,
            "the queue never overflowed"
        );
        all_freed(&metrics).await;
    });
}
