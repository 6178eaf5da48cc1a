//! A listener is paused, and an accept completes while it is being cancelled.
//!
//! 1. A multishot accept is in flight; connections arrive.
//! 2. The queue of accepted connections is full, or `pause` is called: the accept is
//!    cancelled. Its last completions may carry connections: they must not be lost.
//! 3. `accept` is called again, before, while or after the cancellation completes. The
//!    accept must be armed again in each case.

use std::net::TcpStream as Client;
use std::time::Duration;

use penstock_uring::{Options, TcpListener};

use super::harness::{LOCALHOST, all_freed, on_ring, poll_once};

fn listener() -> (TcpListener, std::net::SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&LOCALHOST.into()).unwrap();
    socket.listen(2048).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (TcpListener::from_std(socket.into()).unwrap(), address)
}

#[test]
fn it_accepts_again_after_a_pause() {
    on_ring(Options::default(), |metrics| async move {
        let (mut listener, address) = listener();
        for round in 0..100 {
            let client = Client::connect(address).unwrap();
            let accepted = listener.accept().await.unwrap();
            listener.pause();
            match round % 4 {
                0 => {}
                1 => tokio::task::yield_now().await,
                2 => tokio::time::sleep(Duration::from_millis(1)).await,
                // Asked for while the cancellation is under way.
                _ => assert!(poll_once(listener.accept()).await.is_none()),
            }
            drop((client, accepted));
        }
        drop(listener);
        all_freed(&metrics).await;
    });
}

#[test]
fn paused_it_accepts_nothing() {
    on_ring(Options::default(), |metrics| async move {
        let (mut listener, address) = listener();
        assert!(poll_once(listener.accept()).await.is_none());
        tokio::time::sleep(Duration::from_millis(2)).await;
        listener.pause();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let before = metrics.completions.value();
        let _client = Client::connect(address).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(
            metrics.completions.value(),
            before,
            "the connection waits in the kernel"
        );
        listener.accept().await.unwrap();
    });
}

#[test]
fn the_queue_of_accepted_connections_is_bounded_and_loses_none() {
    let options = Options {
        accepted_max: 16,
        ..Options::default()
    };
    on_ring(options, |metrics| async move {
        let (mut listener, address) = listener();
        let clients: Vec<_> = (0..200)
            .map(|_| Client::connect(address).unwrap())
            .collect();
        for accepted in 0..clients.len() {
            let stream = listener.accept().await.unwrap();
            if accepted % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(stream);
        }
        assert!(poll_once(listener.accept()).await.is_none());
        drop(listener);
        all_freed(&metrics).await;
    });
}

#[test]
fn a_listener_dropped_with_accepted_connections_closes_them() {
    on_ring(Options::default(), |metrics| async move {
        let (mut listener, address) = listener();
        assert!(poll_once(listener.accept()).await.is_none());
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut clients: Vec<_> = (0..10).map(|_| Client::connect(address).unwrap()).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(listener);
        all_freed(&metrics).await;
        for client in &mut clients {
            client
                .set_read_timeout(Some(super::harness::BOUND))
                .unwrap();
            let end = std::io::Read::read(client, &mut [0; 1]);
            assert!(matches!(end, Ok(0) | Err(_)), "the client is told");
        }
    });
}
