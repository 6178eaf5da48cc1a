//! The peer resets the connection.
//!
//! 1. A receive or a send is in flight, or neither, or both.
//! 2. The peer resets: the operations end with an error.
//! 3. A reader must get the bytes that came before the reset, then the error; a writer
//!    the error at its next write or flush; nobody may wait for ever, and the slot of the
//!    dropped stream must be freed.

use std::io::{self, Write};
use std::time::Duration;

use penstock_uring::Options;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{all_freed, fill, narrow_pair, on_ring, pair, pattern, poll_once};

fn reset(peer: std::net::TcpStream) {
    SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[test]
fn a_waiting_reader_is_told() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, peer) = pair();
        assert!(poll_once(stream.read(&mut [0; 16])).await.is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
        reset(peer);
        let error = stream.read(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let again = stream.readable().await.unwrap_err();
        assert_eq!(
            again.kind(),
            io::ErrorKind::ConnectionReset,
            "it does not go away"
        );
        drop(stream);
        all_freed(&metrics).await;
    });
}

#[test]
fn bytes_before_the_reset_come_first() {
    on_ring(Options::default(), |metrics| async move {
        for receive_waits in [true, false] {
            let (mut stream, mut peer) = pair();
            if receive_waits {
                assert!(poll_once(stream.readable()).await.is_none());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            peer.write_all(b"before").unwrap();
            reset(peer);
            let mut got = [0; 6];
            stream.read_exact(&mut got[..3]).await.unwrap();
            stream.read_exact(&mut got[3..]).await.unwrap();
            assert_eq!(&got, b"before");
            let error = stream.read(&mut [0; 16]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        all_freed(&metrics).await;
    });
}

#[test]
fn a_waiting_writer_is_told() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, peer) = narrow_pair();
        fill(&mut stream, &pattern(4 << 20)).await;
        reset(peer);
        let error = stream.write_all(&pattern(1 << 20)).await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ),
            "{error}"
        );
        stream.flush().await.unwrap_err();
        stream.shutdown().await.unwrap_err();
        drop(stream);
        all_freed(&metrics).await;
    });
}

#[test]
fn a_writer_into_a_reset_connection_is_told_at_a_later_write() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, peer) = pair();
        reset(peer);
        let mut writes = 0;
        let error = loop {
            if let Err(error) = stream.write_all(b"into the void").await {
                break error;
            }
            writes += 1;
            assert!(writes < 1000, "no write fails");
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        assert!(
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ),
            "{error}"
        );
        stream.flush().await.unwrap_err();
        drop(stream);
        all_freed(&metrics).await;
    });
}

#[test]
fn a_dropped_sender_is_freed() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, peer) = narrow_pair();
        fill(&mut stream, &pattern(4 << 20)).await;
        drop(stream);
        tokio::time::sleep(Duration::from_millis(2)).await;
        reset(peer);
        all_freed(&metrics).await;
        assert_eq!(metrics.linger_timeouts.value(), 0);
    });
}
