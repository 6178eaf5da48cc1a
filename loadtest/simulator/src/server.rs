//! Listeners, worker threads and the handle that stops them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, SockAddr, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::openai::models;
use crate::service::Connection;
use crate::settings::Settings;
use crate::socket::{Fuse, Socket};
use crate::stats::{Counters, Recorded, Recorder, Stats, add};

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    workers: Vec<Arc<Worker>>,
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// What all workers read, and the few things that they count together.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) models: Bytes,
    pub(crate) recorder: Recorder,
    /// Requests that [`Settings::faults`] were drawn for.
    pub(crate) ordinal: AtomicU64,
    pub(crate) streams_open: AtomicUsize,
    connections_open: AtomicUsize,
    stopping: AtomicBool,
}

/// One thread's share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Counters,
}

const BACKLOG: i32 = 4096;
/// The longest head of an HTTP/1 request, in bytes, and the most that hyper reads ahead.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// The decoded size of an HTTP/2 request's header list, in bytes.
const HEADER_LIST_BYTES_MAX: u32 = 128 << 10;
/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Binds [`Settings::listen`] and starts answering.
///
/// Fails if the address is taken (also by another simulator) or a thread cannot be started.
pub fn start(settings: Settings) -> io::Result<Simulator> {
    let listeners = bind(settings.listen, settings.workers.get())?;
    let address = match listeners.first() {
        Some(listener) => listener.local_addr()?,
        None => settings.listen,
    };
    let shared = Arc::new(Shared {
        models: models::list(&settings),
        recorder: Recorder::new(settings.record),
        ordinal: AtomicU64::new(0),
        streams_open: AtomicUsize::new(0),
        connections_open: AtomicUsize::new(0),
        stopping: AtomicBool::new(false),
        settings,
    });
    let (stop, _) = watch::channel(false);
    let mut simulator = Simulator {
        address,
        shared,
        workers: Vec::new(),
        threads: Vec::new(),
        stop,
    };
    for (number, listener) in listeners.into_iter().enumerate() {
        simulator.spawn(number, listener)?;
    }
    Ok(simulator)
}

impl Simulator {
    /// Where it listens, with the port that was taken if the settings left it open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All counts at once.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for worker in &self.workers {
            worker.counters.add_to(&mut stats);
        }
        stats.streams_open = self.shared.streams_open.load(Ordering::Acquire) as u64;
        stats
    }

    /// Connections accepted since the start.
    pub fn connections_accepted(&self) -> u64 {
        self.stats().connections_accepted
    }

    /// Connections open now.
    pub fn connections_open(&self) -> u64 {
        self.stats().connections_open
    }

    /// Requests since the start.
    pub fn requests(&self) -> u64 {
        self.stats().requests_total()
    }

    /// Answers whose client went away before their end.
    pub fn abandoned(&self) -> u64 {
        self.stats().abandoned
    }

    /// The latest requests, oldest first, as many as [`Settings::record`] asks for. A request is
    /// recorded when its body has been read, before its answer begins.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared.recorder.requests()
    }

    /// Forgets the recorded requests, so that a test sees only its own.
    pub fn forget_recorded(&self) {
        self.shared.recorder.forget();
    }

    /// Closes the listeners and every connection, and waits for the threads. Answers under way are
    /// cut and not counted as abandoned. Stopping twice does nothing more.
    pub fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // A worker that panicked has printed why; there is nothing left of it to stop.
            let _ = thread.join();
        }
    }

    fn spawn(&mut self, number: usize, listener: std::net::TcpListener) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let worker = Arc::new(Worker {
            shared: Arc::clone(&self.shared),
            counters: Counters::default(),
        });
        self.workers.push(Arc::clone(&worker));
        let mut stop = self.stop.subscribe();
        let thread = std::thread::Builder::new().name(format!("simulator-{number}"));
        let thread = thread.spawn(move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                tokio::select! {
                    () = worker.accept(listener) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            });
            // Dropping the runtime drops its connections, which closes them.
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

impl Worker {
    async fn accept(self: Arc<Worker>, listener: TcpListener) {
        let http = http();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Either that one connection is gone already or descriptors have run out.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            add(&self.counters.accepted, 1);
            let open = Open::new(Arc::clone(&self));
            if open.is_over_limit() {
                add(&self.counters.refused, 1);
                continue;
            }
            tokio::spawn(serve(http.clone(), stream, open));
        }
    }
}

async fn serve(http: auto::Builder<TokioExecutor>, stream: TcpStream, open: Open) {
    // Tokens leave when they are due, not when the previous one was acknowledged. A connection
    // that is already gone cannot be set and fails on its first read.
    let _ = stream.set_nodelay(true);
    let fuse = Fuse::default();
    let service = Connection::new(Arc::clone(&open.worker), fuse.clone());
    // Its errors are the client's leaving or a fault on demand: both are counted elsewhere.
    let _ = http
        .serve_connection(Socket::new(stream, fuse), service)
        .await;
}

/// Counts one connection as long as it lives.
#[derive(Debug)]
struct Open {
    worker: Arc<Worker>,
    before: usize,
}

impl Open {
    fn new(worker: Arc<Worker>) -> Open {
        let before = worker
            .shared
            .connections_open
            .fetch_add(1, Ordering::AcqRel);
        Open { worker, before }
    }

    fn is_over_limit(&self) -> bool {
        self.before >= self.worker.shared.settings.connections_max
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker
            .shared
            .connections_open
            .fetch_sub(1, Ordering::AcqRel);
        add(&self.worker.counters.closed, 1);
    }
}

/// HTTP/1.1 and HTTP/2 by prior knowledge on one port, told apart by the connection preface
/// (RFC 9113, section 3.3).
fn http() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .max_buf_size(HEAD_BYTES_MAX)
        .pipeline_flush(true);
    builder
        .http2()
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX);
    builder
}

/// What HTTP/2's SETTINGS announce (RFC 9113, section 6.5.2).
const STREAMS_PER_CONNECTION_MAX: u32 = 1024;

fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    if workers == 1 {
        return Ok(vec![listener(address, false)?]);
    }
    // With SO_REUSEPORT a second simulator would silently take half of the connections: a socket
    // that does not share finds out whether somebody listens already.
    let alone = listener(address, false)?;
    let address = alone.local_addr()?;
    drop(alone);
    (0..workers).map(|_| listener(address, true)).collect()
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
