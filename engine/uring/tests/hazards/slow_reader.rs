//! Streams whose owner does not read stand beside a stream whose owner does.
//!
//! 1. Peers flood sixteen streams whose owner has asked for a byte and then reads no more.
//! 2. There are eight buffers, fewer than such streams.
//! 3. A fast stream must keep its pace: the others may hold no buffer for good, and bytes
//!    that nobody asked for must stay in the kernel.

use std::io::Write;
use std::time::{Duration, Instant};

use penstock_uring::{Options, TcpStream};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{on_ring, pair, pattern, poll_once, sockets, with_tokio};

/// Round trips of one byte within a fixed time.
async fn round_trips(stream: &mut TcpStream) -> usize {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_millis(20) {
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        count += 1;
    }
    count
}

async fn flooded_streams() -> Vec<(TcpStream, std::net::TcpStream)> {
    let flood = pattern(256 * 1024);
    let mut flooded = Vec::new();
    for _ in 0..16 {
        let (near, mut peer) = sockets();
        SockRef::from(&near)
            .set_recv_buffer_size(64 * 1024)
            .unwrap();
        let stream = TcpStream::from_fd(near).unwrap();
        assert!(poll_once(stream.readable()).await.is_none());
        peer.set_nonblocking(true).unwrap();
        while peer.write(&flood).is_ok() {}
        flooded.push((stream, peer));
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    flooded
}

fn median(mut counts: Vec<usize>) -> usize {
    counts.sort_unstable();
    counts[counts.len() / 2]
}

#[test]
fn the_fast_stream_keeps_its_pace() {
    let options = Options {
        buffers: 8,
        ..Options::default()
    };
    on_ring(options, |_| async move {
        // Its peer runs on the same thread: a pace that depends on how soon another thread
        // gets a processor would tell nothing.
        let (mut fast, peer) = pair();
        let (mut from, mut to) = with_tokio(peer).into_split();
        let echo = tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
        let mut tries = Vec::new();
        // Other tests share the processors: a try that noise has spoilt is repeated.
        for _ in 0..3 {
            let (mut alone, mut beside) = (Vec::new(), Vec::new());
            for _ in 0..15 {
                alone.push(round_trips(&mut fast).await);
                let flooded = flooded_streams().await;
                beside.push(round_trips(&mut fast).await);
                drop(flooded);
            }
            let (alone, beside) = (median(alone), median(beside));
            if beside * 10 >= alone * 9 {
                echo.abort();
                return;
            }
            tries.push((alone, beside));
        }
        panic!("round trips alone and beside slow readers: {tries:?}");
    });
}
