//! A waker runs code of its own when it is woken or dropped, and that code uses streams.
//!
//! 1. A completion wakes a task, or a poll replaces a waker, or a stream that holds the
//!    last reference to a task is dropped.
//! 2. The waker drops or writes to another stream, in the midst of it all.
//! 3. The driver must be free by then: neither a panic nor a deadlock. And what the waker
//!    queued must be submitted before the loop parks, since nothing else may wake it.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use penstock_uring::{Options, TcpStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::harness::{all_freed, on_ring, pair};

/// Owns a stream, and ends it when it is woken or dropped.
struct Owner {
    last_words: &'static [u8],
    stream: Mutex<Option<TcpStream>>,
}

impl Owner {
    fn of(stream: TcpStream, last_words: &'static [u8]) -> Waker {
        Arc::new(Owner {
            last_words,
            stream: Mutex::new(Some(stream)),
        })
        .into()
    }
}

impl Wake for Owner {
    fn wake(self: Arc<Self>) {
        drop(self);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut stream = self.stream.lock().unwrap().take().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let written = Pin::new(&mut stream).poll_write(&mut cx, self.last_words);
        assert!(
            matches!(written, Poll::Ready(Ok(n)) if n == self.last_words.len()),
            "{written:?}"
        );
    }
}

fn poll_read(stream: &mut TcpStream, waker: &Waker) -> bool {
    let mut byte = [0];
    let mut buffer = ReadBuf::new(&mut byte);
    Pin::new(stream)
        .poll_read(&mut Context::from_waker(waker), &mut buffer)
        .is_ready()
}

fn all_of(mut peer: std::net::TcpStream) -> String {
    let mut got = String::new();
    peer.read_to_string(&mut got).unwrap();
    got
}

#[test]
fn a_replaced_waker_may_drop_a_stream() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, _peer) = pair();
        let (owned, owned_peer) = pair();
        assert!(!poll_read(&mut stream, &Owner::of(owned, b"replaced")));
        assert!(!poll_read(&mut stream, Waker::noop()));
        let got = tokio::task::spawn_blocking(|| all_of(owned_peer))
            .await
            .unwrap();
        assert_eq!(got, "replaced");
        drop(stream);
        all_freed(&metrics).await;
    });
}

#[test]
fn a_dropped_streams_waker_may_drop_a_stream() {
    on_ring(Options::default(), |metrics| async move {
        let (mut stream, _peer) = pair();
        let (owned, owned_peer) = pair();
        assert!(!poll_read(&mut stream, &Owner::of(owned, b"dropped")));
        drop(stream);
        let got = tokio::task::spawn_blocking(|| all_of(owned_peer))
            .await
            .unwrap();
        assert_eq!(got, "dropped");
        all_freed(&metrics).await;
    });
}

#[test]
fn a_stream_may_own_itself_through_its_waker() {
    on_ring(Options::default(), |metrics| async move {
        let (stream, mut peer) = pair();
        let owner = Arc::new(Owner {
            last_words: b"oneself",
            stream: Mutex::new(Some(stream)),
        });
        let waker = Waker::from(owner.clone());
        assert!(!poll_read(
            owner.stream.lock().unwrap().as_mut().unwrap(),
            &waker
        ));
        drop((owner, waker));
        std::io::Write::write_all(&mut peer, b"x").unwrap();
        let got = tokio::task::spawn_blocking(|| all_of(peer)).await;
        // The byte may be unread when the stream goes, which resets the connection.
        drop(got);
        all_freed(&metrics).await;
    });
}

#[test]
fn what_a_waker_queues_in_the_park_hook_is_submitted_before_the_loop_parks() {
    on_ring(Options::default(), |metrics| async move {
        for _ in 0..50 {
            let (mut stream, stream_peer) = pair();
            let (owned, owned_peer) = pair();
            let waker = Owner::of(owned, b"submitted");
            // The writer waits; its send completes at once, when the loop is about to park.
            let bytes = [0; 64 * 1024];
            let mut cx = Context::from_waker(&waker);
            assert!(Pin::new(&mut stream).poll_write(&mut cx, &bytes).is_ready());
            assert!(
                Pin::new(&mut stream)
                    .poll_write(&mut cx, &bytes)
                    .is_pending()
            );
            drop(waker);
            let (sender, mut receiver) = tokio::sync::oneshot::channel();
            thread::spawn(move || sender.send(all_of(owned_peer)).unwrap());
            // Nothing but these bytes will wake the loop.
            let got = poll_fn(|cx| Pin::new(&mut receiver).poll(cx))
                .await
                .unwrap();
            assert_eq!(got, "submitted");
            drop((stream, stream_peer));
        }
        all_freed(&metrics).await;
    });
}

#[test]
fn stopping_wakes_and_drops_wakers_safely() {
    super::harness::bounded(|| {
        super::harness::runtime().block_on(async {
            let ring = penstock_uring::Ring::install(super::harness::options()).unwrap();
            let (mut stream, _peer) = pair();
            let (owned, _owned_peer) = pair();
            struct Held(#[expect(dead_code, reason = "dropped with the waker")] TcpStream);
            impl Wake for Held {
                fn wake(self: Arc<Self>) {}
            }
            assert!(!poll_read(&mut stream, &Arc::new(Held(owned)).into()));
            drop(ring);
            assert!(poll_read(&mut stream, Waker::noop()), "an error");
        });
    });
}
