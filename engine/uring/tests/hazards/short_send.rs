//! The kernel takes a send only in part.
//!
//! 1. A stream with a small send buffer writes megabytes to a peer with a small window.
//! 2. A send completes with fewer bytes than it was given.
//! 3. The rest must follow before anything that was written later.

use std::io::Read;
use std::thread;

use penstock_uring::Options;
use tokio::io::AsyncWriteExt;

use super::harness::{all_freed, narrow_pair, on_ring, pattern};

#[test]
fn the_rest_follows_in_order() {
    // A large write buffer, so that one send is far larger than what the socket takes.
    let options = Options {
        write_buffer: 1 << 20,
        ..Options::default()
    };
    on_ring(options, |metrics| async move {
        let (mut stream, mut peer) = narrow_pair();
        let bytes = pattern(4 << 20);
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            got
        });
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        all_freed(&metrics).await;
        assert!(reader.join().unwrap() == bytes, "every byte, in order");
        assert!(metrics.short_sends.value() > 0, "no send was short");
    });
}
