//! What the tests stand on: a thread with a runtime and a ring, pairs of connected
//! sockets, waiting with a bound, and a process of one's own.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::pin::pin;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use penstock_uring::{Batching, Options, Ring, RingMetrics, TcpStream};
use socket2::{Domain, Socket, Type};

/// No test takes this long unless something hangs.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) const LOCALHOST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A runtime as the ring wants it.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(penstock_uring::on_thread_park)
        .on_thread_unpark(penstock_uring::on_thread_unpark)
        .build()
        .unwrap()
}

/// Runs `work` on a thread of its own. A hang is a failure even if timers hang too.
pub(crate) fn bounded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(BOUND) {
        Ok(result) => {
            // The thread's end includes the ring's: it has to be clean too.
            worker.join().unwrap().unwrap();
            result
        }
        Err(RecvTimeoutError::Disconnected) => resume_unwind(worker.join().unwrap_err()),
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
    }
}

/// The defaults, but for the way that all tests of this binary go: everything through the
/// ring, or, in the binary `direct`, what the ring itself finds best.
pub(crate) fn options() -> Options {
    let batching = match env!("CARGO_CRATE_NAME") {
        "direct" => Batching::Measured,
        _ => Batching::Always,
    };
    Options {
        batching,
        ..Options::default()
    }
}

/// The defaults for a test of what only the ring does, such as filling its buffers.
pub(crate) fn through_ring() -> Options {
    Options {
        batching: Batching::Always,
        ..Options::default()
    }
}

/// Runs a test inside a runtime with a ring.
pub(crate) fn on_ring<F, T>(
    options: Options,
    test: impl FnOnce(RingMetrics) -> F + Send + 'static,
) -> T
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    bounded(move || {
        runtime().block_on(async {
            let batching = match options.batching {
                Batching::Always => Batching::Always,
                Batching::Measured => super::harness::options().batching,
            };
            let ring = Ring::install(Options {
                batching,
                ..options
            })
            .unwrap();
            test(ring.metrics()).await
        })
    })
}

/// Two connected sockets: one for the ring, one for its peer.
pub(crate) fn sockets() -> (OwnedFd, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(LOCALHOST).unwrap();
    let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(BOUND)).unwrap();
    peer.set_write_timeout(Some(BOUND)).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    (near.into(), peer)
}

/// A stream on this thread's ring and its blocking peer.
pub(crate) fn pair() -> (TcpStream, std::net::TcpStream) {
    let (near, peer) = sockets();
    (TcpStream::from_fd(near).unwrap(), peer)
}

/// A stream on this thread's ring whose peer can take no more than a few KiB unread.
pub(crate) fn narrow_pair() -> (TcpStream, std::net::TcpStream) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&LOCALHOST.into()).unwrap();
    listener.listen(1).unwrap();
    let peer = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    peer.set_recv_buffer_size(4096).unwrap();
    peer.connect(&listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    near.set_send_buffer_size(4096).unwrap();
    let peer = std::net::TcpStream::from(peer);
    peer.set_read_timeout(Some(BOUND)).unwrap();
    (TcpStream::from_fd(near.into()).unwrap(), peer)
}

/// The same peer, for the runtime of this thread.
pub(crate) fn with_tokio(peer: std::net::TcpStream) -> tokio::net::TcpStream {
    peer.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(peer).unwrap()
}

/// Polls `future` once, so that its operation is queued, and drops it.
pub(crate) async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// Lets the event loop turn until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BOUND / 2, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets the event loop turn until the ring holds nothing any more.
pub(crate) async fn all_freed(metrics: &RingMetrics) {
    // The gauges tell what the last turn left.
    tokio::time::sleep(Duration::from_millis(1)).await;
    eventually("every slot is freed", || metrics.connections.value() == 0).await;
    eventually("every buffer is given back", || {
        metrics.buffers_in_use.value() == 0
    })
    .await;
}

/// Runs `body`, which is the test of the name `test`, in a process of its own.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    const MARK: &str = "HAZARD_ALONE";
    if std::env::var(MARK).is_ok_and(|mark| mark == test) {
        return body();
    }
    // In the binary `direct` the tests are one module further down.
    let here = module_path!().split("::").skip(1);
    let mut name: Vec<_> = here.filter(|part| *part != "harness").collect();
    name.push(test);
    let name = name.join("::");
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&name, "--exact", "--nocapture"])
        .env(MARK, test)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout).into_owned()
        + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "in a process of its own:\n{told}");
    assert!(
        told.contains("1 passed"),
        "there is no test {name}:\n{told}"
    );
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.below(256) as u8).collect()
    }
}

/// `n` bytes in which every place differs from its neighbours and from itself 64 KiB on.
pub(crate) fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Writes `bytes` until the stream takes no more; says how many it took.
pub(crate) async fn fill(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    use tokio::io::AsyncWriteExt;
    let mut taken = 0;
    let mut refused = 0;
    // Refused twenty times in a row, with the loop turning in between: the peer's window,
    // the socket's buffer and the ring's are full.
    while refused < 20 && taken < bytes.len() {
        match poll_once(stream.write(&bytes[taken..])).await {
            Some(n) => {
                taken += n.unwrap();
                refused = 0;
            }
            None => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
    taken
}

/// A listener that answers no connection attempt any more, and what keeps it so.
pub(crate) fn deaf_listener() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&LOCALHOST.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut kept = vec![listener];
    for _ in 0..4 {
        let waiting = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        waiting.set_nonblocking(true).unwrap();
        let _ = waiting.connect(&address);
        kept.push(waiting);
    }
    (address.as_socket().unwrap(), kept)
}
