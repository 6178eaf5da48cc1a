//! A connect fails, or its future is dropped.
//!
//! 1. A connect is in flight; the kernel may read its address.
//! 2. It is refused, or finds no way, or is never answered.
//! 3. The error must reach the caller; and whether it failed or was given up, the slot
//!    and the descriptor must come back, and the address must stay until then.

use std::io;
use std::time::Duration;

use penstock_uring::{Options, TcpListener, TcpStream};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{LOCALHOST, all_freed, deaf_listener, eventually, on_ring, poll_once};

#[test]
fn a_refusal_is_told() {
    on_ring(Options::default(), |metrics| async move {
        // Bound, so that no other test gets the port, and not listening.
        let nobody = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        nobody.bind(&LOCALHOST.into()).unwrap();
        let address = nobody.local_addr().unwrap().as_socket().unwrap();
        for _ in 0..100 {
            let error = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
        all_freed(&metrics).await;
    });
}

#[test]
fn an_unreachable_address_is_told() {
    on_ring(Options::default(), |metrics| async move {
        // A broadcast address is no TCP peer, and port 0 of the loopback nobody's.
        for address in ["255.255.255.255:9", "127.0.0.1:0"] {
            TcpStream::connect(address.parse().unwrap())
                .await
                .unwrap_err();
        }
        all_freed(&metrics).await;
    });
}

#[test]
fn a_connect_that_nobody_answers_can_be_given_up() {
    on_ring(Options::default(), |metrics| async move {
        let (address, _kept) = deaf_listener();
        for round in 0..50 {
            let connect = TcpStream::connect(address);
            if round % 2 == 0 {
                // Dropped before it is submitted.
                assert!(poll_once(connect).await.is_none());
            } else {
                tokio::time::timeout(Duration::from_millis(2), connect)
                    .await
                    .unwrap_err();
            }
        }
        all_freed(&metrics).await;
    });
}

#[test]
fn a_connect_given_up_as_it_succeeds_leaves_nothing() {
    on_ring(Options::default(), |metrics| async move {
        let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..100 {
            let mut connect = Box::pin(TcpStream::connect(address));
            assert!(poll_once(connect.as_mut()).await.is_none());
            tokio::time::sleep(Duration::from_micros(1)).await;
            // It is connected by now, and the stream was never handed out.
            drop(connect);
            drop(listener.accept().unwrap());
        }
        all_freed(&metrics).await;
    });
}

#[test]
fn both_ends_may_live_on_one_ring() {
    on_ring(Options::default(), |metrics| async move {
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = TcpListener::from_std(listener).unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        near.write_all(b"over IPv6").await.unwrap();
        near.shutdown().await.unwrap();
        let mut got = String::new();
        far.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "over IPv6");
        drop((near, far, listener));
        eventually("all is freed", || metrics.connections.value() == 0).await;
    });
}

#[test]
fn the_limit_of_connections_is_an_error() {
    let options = Options {
        connections_max: 1,
        ..Options::default()
    };
    on_ring(options, |_| async move {
        let (near, _peer) = super::harness::sockets();
        let stream = TcpStream::from_fd(near).unwrap();
        let (second, _peer) = super::harness::sockets();
        let error = TcpStream::from_fd(second).unwrap_err();
        assert!(error.to_string().contains("limit of 1"), "{error}");
        drop(stream);
        let (third, _peer) = super::harness::sockets();
        TcpStream::from_fd(third).unwrap();
    });
}
