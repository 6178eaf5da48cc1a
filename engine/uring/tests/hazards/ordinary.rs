//! Ordinary use: what any TCP stream does, the ring's must do as well.

use std::io::{IoSlice, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use penstock_uring::{Options, TcpListener, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{
    BOUND, LOCALHOST, Random, all_freed, eventually, on_ring, pair, pattern, poll_once, sockets,
    with_tokio,
};

/// Writes all of `bytes` in pieces of random sizes, flushing now and then.
async fn write_in_pieces(
    mut to: impl tokio::io::AsyncWrite + Unpin,
    bytes: &[u8],
    mut random: Random,
) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(rest.len().min(1 + random.below(20_000)));
        to.write_all(piece).await.unwrap();
        match random.below(4) {
            0 => to.flush().await.unwrap(),
            1 => tokio::task::yield_now().await,
            _ => {}
        }
        rest = left;
    }
    to.shutdown().await.unwrap();
}

/// Reads to the end in pieces of random sizes.
async fn read_in_pieces(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut random: Random,
) -> Vec<u8> {
    let mut got = Vec::new();
    loop {
        let mut piece = vec![0; 1 + random.below(40_000)];
        match from.read(&mut piece).await.unwrap() {
            0 => return got,
            n => got.extend_from_slice(&piece[..n]),
        }
    }
}

#[test]
fn bodies_of_all_sizes_both_ways_at_once() {
    on_ring(Options::default(), |metrics| async move {
        let mut random = Random::new(7);
        for size in [
            0,
            1,
            2,
            1000,
            16 * 1024,
            16 * 1024 + 1,
            65_537,
            300_000,
            1 << 20,
        ] {
            let (there, back) = (random.bytes(size), random.bytes(size));
            let (stream, peer) = pair();
            let (from, to) = tokio::io::split(stream);
            let (peer_from, peer_to) = with_tokio(peer).into_split();
            let seed = |n| Random::new(n + size as u64);
            let (_, _, got_there, got_back) = tokio::join!(
                write_in_pieces(to, &there, seed(1)),
                write_in_pieces(peer_to, &back, seed(2)),
                read_in_pieces(peer_from, seed(3)),
                read_in_pieces(from, seed(4)),
            );
            assert!(
                got_there == there && got_back == back,
                "bodies of {size} bytes"
            );
        }
        all_freed(&metrics).await;
    });
}

#[test]
fn sockets_that_never_block_do_as_well() {
    on_ring(Options::default(), |metrics| async move {
        let (near, mut peer) = sockets();
        std::net::TcpStream::from(near.try_clone().unwrap())
            .set_nonblocking(true)
            .unwrap();
        let mut stream = TcpStream::from_fd(near).unwrap();
        assert!(poll_once(stream.readable()).await.is_none());
        tokio::time::sleep(Duration::from_millis(5)).await;
        let before = metrics.operations.value();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(
            metrics.operations.value(),
            before,
            "the receive waits in the kernel"
        );
        peer.write_all(b"x").unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        // A send that has to wait, too.
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            let mut got = Vec::new();
            peer.read_to_end(&mut got).map(|_| got).unwrap()
        });
        stream.write_all(&pattern(16 << 20)).await.unwrap();
        drop(stream);
        all_freed(&metrics).await;
        assert!(reader.join().unwrap() == pattern(16 << 20));
        assert!(
            metrics.operations.value() < 5000,
            "{} operations",
            metrics.operations.value()
        );

        let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = TcpListener::from_std(listener).unwrap();
        assert!(poll_once(listener.accept()).await.is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
        let _client = std::net::TcpStream::connect(address).unwrap();
        listener.accept().await.unwrap();
        assert_eq!(metrics.accept_errors.value(), 0);
    });
}

#[test]
fn readable_owns_no_buffer_while_it_waits_and_takes_no_byte() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        assert!(poll_once(stream.readable()).await.is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(metrics.buffers_in_use.value(), 0);
        peer.write_all(b"xy").unwrap();
        stream.readable().await.unwrap();
        stream.readable().await.unwrap();
        assert_eq!(stream.read_u16().await.unwrap(), u16::from_be_bytes(*b"xy"));
        drop(peer);
        stream.readable().await.unwrap();
        assert_eq!(
            stream.read(&mut [0; 4]).await.unwrap(),
            0,
            "the end of the stream is readable"
        );
        assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0, "and stays");
    });
}

#[test]
fn vectored_writes_keep_their_order() {
    on_ring(Options::default(), |_| async move {
        let (mut stream, mut peer) = pair();
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            peer.read_to_end(&mut got).unwrap();
            got
        });
        assert!(tokio::io::AsyncWrite::is_write_vectored(&stream));
        let bytes = pattern(500_000);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let cut = rest.len() / 3;
            let slices = [
                IoSlice::new(&rest[..cut]),
                IoSlice::new(&[]),
                IoSlice::new(&rest[cut..]),
            ];
            let n = stream.write_vectored(&slices).await.unwrap();
            assert!(n > 0);
            rest = &rest[n..];
        }
        stream.shutdown().await.unwrap();
        assert!(reader.join().unwrap() == bytes);
    });
}

#[test]
fn its_own_direction_may_end_first() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        stream.shutdown().await.unwrap();
        let answerer = thread::spawn(move || {
            let mut question = String::new();
            peer.read_to_string(&mut question).unwrap();
            peer.write_all(question.to_uppercase().as_bytes()).unwrap();
        });
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "QUESTION");
        answerer.join().unwrap();
        drop(stream);
        all_freed(&metrics).await;
    });
}

#[test]
fn the_peer_may_end_its_direction_first() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, mut peer) = pair();
        peer.write_all(b"question").unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let mut question = String::new();
        stream.read_to_string(&mut question).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        drop(stream);
        all_freed(&metrics).await;
        let mut answer = String::new();
        peer.read_to_string(&mut answer).unwrap();
        assert_eq!((&*question, &*answer), ("question", "answer"));
    });
}

#[test]
fn an_empty_write_and_an_empty_read_do_nothing() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, _peer) = pair();
        assert_eq!(stream.write(&[]).await.unwrap(), 0);
        assert_eq!(stream.read(&mut []).await.unwrap(), 0);
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(metrics.operations.value(), 0);
    });
}

#[test]
fn a_reader_in_a_new_task_is_woken_for_a_receive_of_the_old_one() {
    on_ring(Options::default(), |_| async move {
        for _ in 0..100 {
            let (mut stream, mut peer) = pair();
            assert!(poll_once(stream.read_u8()).await.is_none());
            tokio::task::yield_now().await;
            let reader = tokio::spawn(async move { stream.read_u8().await.unwrap() });
            tokio::task::yield_now().await;
            thread::spawn(move || {
                peer.write_all(b"x").unwrap();
                peer
            });
            assert_eq!(reader.await.unwrap(), b'x');
        }
    });
}

#[test]
fn two_readers_of_one_stream_do_not_wake_each_other_for_ever() {
    on_ring(Options::default(), |metrics| async move {
        let (stream, _peer) = pair();
        let stream = std::sync::Arc::new(stream);
        let readers = [stream.clone(), stream]
            .map(|stream| tokio::spawn(async move { stream.readable().await }));
        tokio::time::sleep(Duration::from_millis(5)).await;
        let before = metrics.wakeups.value();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(metrics.wakeups.value() - before < 10, "the loop spins");
        readers.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

#[test]
fn many_rings_in_many_threads() {
    let threads: Vec<_> = (0..16u64)
        .map(|seed| {
            thread::spawn(move || {
                on_ring(
                    Options {
                        entries: 16,
                        buffers: 16,
                        ..Options::default()
                    },
                    move |metrics| async move {
                        let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
                        let address = listener.local_addr().unwrap();
                        let mut listener = TcpListener::from_std(listener).unwrap();
                        let bytes = Random::new(seed).bytes(50_000);
                        for _ in 0..20 {
                            let (near, far) =
                                tokio::join!(TcpStream::connect(address), listener.accept());
                            let (near, far) = (near.unwrap(), far.unwrap());
                            let written = write_in_pieces(near, &bytes, Random::new(seed));
                            let (_, got) =
                                tokio::join!(written, read_in_pieces(far, Random::new(seed)));
                            assert!(got == bytes);
                        }
                        drop(listener);
                        all_freed(&metrics).await;
                    },
                );
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn timers_fire_while_the_ring_is_idle_and_while_it_is_busy() {
    on_ring(Options::default(), |_| async move {
        let sleep = Duration::from_millis(30);
        let (idle, _peer) = pair();
        assert!(poll_once(idle.readable()).await.is_none());
        let start = Instant::now();
        tokio::time::sleep(sleep).await;
        assert!(start.elapsed() >= sleep && start.elapsed() < BOUND / 2);

        let (mut busy, busy_peer) = pair();
        let (mut from, mut to) = with_tokio(busy_peer).into_split();
        let echo = tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
        let traffic = tokio::spawn(async move {
            loop {
                busy.write_all(b"x").await.unwrap();
                busy.read_u8().await.unwrap();
            }
        });
        let start = Instant::now();
        for _ in 0..5 {
            tokio::time::sleep(sleep).await;
        }
        assert!(start.elapsed() >= 5 * sleep && start.elapsed() < BOUND / 2);
        traffic.abort();
        echo.abort();
    });
}

#[test]
fn another_threads_waker_wakes_the_loop() {
    on_ring(Options::default(), |_| async move {
        let (idle, _peer) = pair();
        assert!(poll_once(idle.readable()).await.is_none());
        for _ in 0..50 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            thread::spawn(move || sender.send(()).unwrap());
            receiver.await.unwrap();
        }
    });
}

#[test]
fn no_wake_up_is_lost_in_many_chances() {
    on_ring(Options::default(), |_| async move {
        let (mut stream, mut peer) = pair();
        let rounds = 20_000;
        let echo = thread::spawn(move || {
            let mut byte = [0];
            for _ in 0..rounds {
                peer.read_exact(&mut byte).unwrap();
                peer.write_all(&byte).unwrap();
            }
        });
        for n in 0..rounds {
            stream.write_all(&[n as u8]).await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), n as u8);
        }
        echo.join().unwrap();
    });
}

#[test]
fn a_thousand_connections_in_a_burst() {
    on_ring(Options::default(), |metrics| async move {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&LOCALHOST.into()).unwrap();
        socket.listen(4096).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut listener = TcpListener::from_std(socket.into()).unwrap();
        assert!(poll_once(listener.accept()).await.is_none());
        tokio::task::yield_now().await;
        // All at once, while the ring's thread does nothing else.
        let clients: Vec<_> = (0..1000)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        let mut accepted = Vec::new();
        for _ in 0..clients.len() {
            accepted.push(listener.accept().await.unwrap());
        }
        eventually("all are counted", || metrics.connections.value() == 1001).await;
        for (n, client) in clients.into_iter().enumerate() {
            let mut client = client;
            client.write_all(&(n as u16).to_be_bytes()).unwrap();
        }
        for stream in &mut accepted {
            stream.read_u16().await.unwrap();
            assert_eq!(stream.read(&mut [0; 4]).await.unwrap(), 0);
        }
        drop((accepted, listener));
        all_freed(&metrics).await;
    });
}
