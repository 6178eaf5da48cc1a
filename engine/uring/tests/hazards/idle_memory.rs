//! Idle connections own memory.
//!
//! 1. Ten thousand connections have each received and sent something, and now wait.
//! 2. None may own a receive buffer or a send buffer: only its slot, its stream and, where
//!    it waits in epoll, tokio's note of that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use penstock_uring::{Options, TcpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{on_ring, poll_once, sockets};

thread_local! {
    static HEAP: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread has allocated and not freed.
struct Counting;

// SAFETY: only the trait's methods can count, and they are unsafe by declaration; every
// call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.set(HEAP.get() + layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HEAP.set(HEAP.get() - layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const CONNECTIONS: usize = 10_000;

#[test]
fn an_idle_connection_owns_next_to_nothing() {
    on_ring(Options::default(), |metrics| async move {
        let before = HEAP.get();
        let mut streams = Vec::with_capacity(CONNECTIONS);
        // One socket with ten thousand descriptors: what the kernel keeps for a socket is
        // not what is measured, and the process may not have descriptors for two ends each.
        let (near, mut peer) = sockets();
        for _ in 0..CONNECTIONS {
            let fd: OwnedFd = near.as_fd().try_clone_to_owned().unwrap();
            let mut stream = TcpStream::from_fd(fd).unwrap();
            peer.write_all(b"question").unwrap();
            stream.read_exact(&mut [0; 8]).await.unwrap();
            stream.write_all(b"answer").await.unwrap();
            streams.push(stream);
            if streams.len() % 100 == 0 {
                tokio::task::yield_now().await;
                tokio::time::sleep(std::time::Duration::from_micros(1)).await;
                peer.read_exact(&mut [0; 600]).unwrap();
            }
        }
        for stream in &streams {
            assert!(poll_once(stream.readable()).await.is_none());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let each = (HEAP.get() - before) as usize / CONNECTIONS;
        println!(
            "heap bytes per idle connection: {each}, of which the stream {}",
            size_of::<TcpStream>()
        );
        assert_eq!(metrics.buffers_in_use.value(), 0);
        assert!(each < 768, "{each} bytes per idle connection");
    });
}
