//! A stream is dropped while the kernel may still read its send buffer.
//!
//! 1. A task writes more than the peer's window and the socket's buffer take, so a send
//!    is in flight and more bytes wait behind it.
//! 2. The task drops the stream. What it wrote was accepted: `write` returned its length.
//! 3. The peer reads on, slowly: every accepted byte must arrive, in order, then the end.
//! 4. Or it never reads: after `linger` the send is cancelled, the slot is freed, and a
//!    reset tells the peer that what it has is not all.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use penstock_uring::Options;
use tokio::io::AsyncWriteExt;

use super::harness::{all_freed, eventually, fill, narrow_pair, on_ring, pair, pattern};

#[test]
fn what_was_accepted_arrives() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = narrow_pair();
        let bytes = pattern(4 << 20);
        let accepted = fill(&mut stream, &bytes).await;
        assert!(accepted < bytes.len(), "the peer's window never closed");
        drop(stream);
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            let mut chunk = [0; 5000];
            loop {
                thread::sleep(Duration::from_micros(200));
                match peer.read(&mut chunk).unwrap() {
                    0 => return got,
                    n => got.extend_from_slice(&chunk[..n]),
                }
            }
        });
        all_freed(&metrics).await;
        let got = reader.join().unwrap();
        assert_eq!(got.len(), accepted);
        assert!(got == bytes[..accepted], "the bytes are in order");
        assert_eq!(metrics.linger_timeouts.value(), 0);
    });
}

#[test]
fn a_peer_that_never_reads_is_left_after_the_linger_time() {
    let options = Options {
        linger: Duration::from_millis(100),
        ..Options::default()
    };
    on_ring(options, |metrics| async move {
        let (mut stream, mut peer) = narrow_pair();
        let accepted = fill(&mut stream, &pattern(4 << 20)).await;
        drop(stream);
        eventually("the slot is freed", || metrics.connections.value() == 0).await;
        assert_eq!(metrics.linger_timeouts.value(), 1);
        let mut got = Vec::new();
        let end = peer.read_to_end(&mut got).map_err(|error| error.kind());
        assert!(got.len() < accepted, "not all can have arrived");
        assert_eq!(
            end,
            Err(io::ErrorKind::ConnectionReset),
            "the peer must not take it for all"
        );
    });
}

#[test]
fn a_peer_that_reads_only_a_little_is_left_after_the_linger_time_too() {
    let options = Options {
        linger: Duration::from_millis(150),
        ..Options::default()
    };
    on_ring(options, |metrics| async move {
        let (mut stream, mut peer) = narrow_pair();
        let accepted = fill(&mut stream, &pattern(4 << 20)).await;
        drop(stream);
        // Sends keep completing in part: their continuation must not outlive the bound.
        let reader = thread::spawn(move || {
            let mut got = 0;
            while let Ok(n @ 1..) = peer.read(&mut [0; 100]) {
                got += n;
                thread::sleep(Duration::from_millis(3));
            }
            got
        });
        eventually("the slot is freed", || metrics.connections.value() == 0).await;
        assert!(
            reader.join().unwrap() < accepted,
            "the peer was too slow to get all"
        );
        assert_eq!(metrics.linger_timeouts.value(), 1);
    });
}

#[test]
fn a_written_stream_dropped_at_once_needs_no_timer() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        stream.write_all(b"the last words").await.unwrap();
        drop(stream);
        all_freed(&metrics).await;
        let made = metrics.operations.value() + metrics.direct.value();
        assert_eq!(made, 1, "one send and nothing else");
        let mut got = String::new();
        peer.read_to_string(&mut got).unwrap();
        assert_eq!(got, "the last words");
    });
}
