//! More operations are queued in one turn than the submission queue has room for.
//!
//! 1. Hundreds of tasks run in one turn of the event loop; each queues a receive and
//!    leaves bytes to send. The submission queue has eight entries.
//! 2. The ninth operation finds the queue full: it must go over after the queue has been
//!    handed to the kernel, neither lost nor reordered.

use penstock_uring::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{all_freed, on_ring, pair, pattern, through_ring, with_tokio};

#[test]
fn every_byte_arrives() {
    let options = Options {
        entries: 8,
        ..through_ring()
    };
    on_ring(options, |metrics| async move {
        let mut tasks = Vec::new();
        for _ in 0..300 {
            let (stream, peer) = pair();
            let (mut from, mut to) = tokio::io::split(stream);
            let (mut peer_from, mut peer_to) = with_tokio(peer).into_split();
            let bytes = pattern(40_000);
            // Both directions at once.
            tasks.push(tokio::spawn(async move {
                to.write_all(&pattern(40_000)).await.unwrap();
                to.shutdown().await.unwrap();
            }));
            tasks.push(tokio::spawn(async move {
                peer_to.write_all(&pattern(40_000)).await.unwrap();
                peer_to.shutdown().await.unwrap();
            }));
            tasks.push(tokio::spawn(async move {
                let (mut got, mut peer_got) = (Vec::new(), Vec::new());
                let ours = from.read_to_end(&mut got);
                let theirs = peer_from.read_to_end(&mut peer_got);
                let (ours, theirs) = tokio::join!(ours, theirs);
                ours.and(theirs).unwrap();
                assert!(got == bytes && peer_got == bytes);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert!(
            metrics.submission_full.value() > 0,
            "the queue never was full"
        );
        all_freed(&metrics).await;
    });
}
