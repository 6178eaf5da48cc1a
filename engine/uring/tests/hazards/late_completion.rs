//! A completion arrives when its slot belongs to another connection.
//!
//! 1. A stream with a receive in flight is dropped; its receive is cancelled.
//! 2. Its slot is freed, and the next connection takes the same place.
//! 3. A completion of the first one's operations (here: of the cancellation, and of
//!    bytes that crossed it) must not touch the second. The key's generation tells.
//!
//! `src/driver/tests.rs` feeds forged completions of every kind; here the crossing is real.

use std::io::Write;

use penstock_uring::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{all_freed, on_ring, pair, poll_once};

#[test]
fn the_next_connection_never_sees_the_last_ones_bytes() {
    let options = Options {
        connections_max: 2,
        ..Options::default()
    };
    on_ring(options, |metrics| async move {
        for round in 0..500u16 {
            let (mut first, mut first_peer) = pair();
            assert!(poll_once(first.read(&mut [0; 16])).await.is_none());
            tokio::task::yield_now().await;
            first_peer.write_all(b"stale").unwrap();
            drop(first);
            if round % 2 == 0 {
                all_freed(&metrics).await;
            }
            let (mut second, mut second_peer) = pair();
            second.write_all(b"x").await.unwrap();
            assert!(poll_once(second.read(&mut [0; 16])).await.is_none());
            second_peer.write_all(&round.to_be_bytes()).unwrap();
            assert_eq!(second.read_u16().await.unwrap(), round);
            drop(second);
            all_freed(&metrics).await;
        }
    });
}
