//! Descriptors leak, one per connection or one in a thousand.
//!
//! 1. Ten thousand connections are accepted and made, and end in all the ways that
//!    connections end: read to the end, dropped with operations in flight, reset, shut
//!    down by either side.
//! 2. Afterwards the process must hold as many descriptors as before, and the ring no
//!    slot but the listener's and no buffer.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use penstock_uring::{Options, RingMetrics, TcpListener, TcpStream};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{LOCALHOST, Random, alone, eventually, on_ring, poll_once};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

fn reset_at_close(stream: &TcpStream) {
    // SAFETY: the stream, which is alive, keeps its descriptor open.
    let socket = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

async fn one_connection(address: std::net::SocketAddr, way: usize) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    match way {
        0 => {
            stream.read_exact(&mut [0; 4]).await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
        }
        1 => assert!(poll_once(stream.read(&mut [0; 4])).await.is_none()),
        2 => reset_at_close(&stream),
        3 => stream.read_exact(&mut [0; 2]).await.map(drop).unwrap(),
        _ => assert!(poll_once(stream.shutdown()).await.is_none()),
    }
}

async fn ten_thousand(metrics: &RingMetrics) {
    let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
    let address = listener.local_addr().unwrap();
    let mut listener = TcpListener::from_std(listener).unwrap();
    let acceptor = tokio::spawn(async move {
        while let Ok(stream) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let mut clients = Vec::new();
    for client in 0..50 {
        clients.push(tokio::spawn(async move {
            let mut random = Random::new(client);
            for _ in 0..200 {
                one_connection(address, random.below(5)).await;
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    eventually("only the listener is left", || {
        metrics.connections.value() == 1
    })
    .await;
    eventually("every buffer is given back", || {
        metrics.buffers_in_use.value() == 0
    })
    .await;
    acceptor.abort();
    eventually("the listener is freed", || metrics.connections.value() == 0).await;
}

#[test]
fn ten_thousand_connections_leave_nothing() {
    alone(
        "descriptors_return::ten_thousand_connections_leave_nothing",
        || {
            on_ring(Options::default(), |metrics| async move {
                let before = open_descriptors();
                ten_thousand(&metrics).await;
                assert_eq!(open_descriptors(), before, "descriptors before and after");
                assert_eq!(
                    metrics.late_completions.value(),
                    0,
                    "a slot outlives its operations"
                );
            });
        },
    );
}
