//! One worker: a thread with its own event loop, sockets, proxy and, on io_uring, ring.
//! A connection stays with the worker that accepted it, for life.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use penstock_config::server::{Batching, Listener};
use pingora_core::server::configuration::ServerConf;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::edge::{self, Bound, Engine, Place, Terms};
use crate::handout;
use crate::handover::{Connector, Handover};
use crate::listen::BACKLOG;
use crate::live::Live;
use crate::proxy::Proxy;
use crate::strict::Limits;
use crate::telemetry::{Held, Telemetry};
use crate::transport::{Acceptor, Transport};

/// Wait after an accept that failed: its cause, most likely a lack of descriptors, lasts.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether connections can be accepted again.
const ROOM_PAUSE: Duration = Duration::from_millis(10);

/// Of how many descriptors one may be an idle connection to an upstream.
const IDLE_PART: u64 = 8;

/// Connections that the ring accepts ahead.
const AHEAD: usize = 256;

/// Of how many descriptors one may be a connection in the kernel's queues, if the ring is to
/// accept ahead: it may find all of them accepted at once.
const QUEUED_PART: u64 = 8;

/// How far a worker has come in ending. Each step implies those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It accepts and serves.
    Serving,
    /// It accepts no more, and finishes what is in flight.
    Draining,
    /// It stops at once.
    Stopping,
}

/// What all workers share.
#[derive(Clone)]
pub struct Common {
    /// The generation in force.
    pub live: Arc<Live>,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// How bytes are moved.
    pub transport: Transport,
    /// How many workers there are.
    pub workers: usize,
    /// How far the process has come in ending.
    pub stage: watch::Receiver<Stage>,
}

/// A socket that a worker accepts on.
pub struct Door {
    /// Place of the listener in the configuration.
    pub listener: usize,
    /// The socket.
    pub socket: TcpListener,
    /// Shared with the server, which sees by it that somebody accepts. Whoever does
    /// drops it after its last connection was counted as open.
    pub open: Arc<()>,
}

/// Starts a worker's thread. The receiver hears when it serves, or why it cannot.
///
/// # Errors
/// No thread could be made.
pub fn start(
    index: usize,
    core: Option<core_affinity::CoreId>,
    doors: Vec<Door>,
    common: Common,
) -> io::Result<(JoinHandle<()>, oneshot::Receiver<io::Result<()>>)> {
    let (ready, is_ready) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(format!("penstock-{index}"))
        .spawn(move || {
            if let Some(core) = core
                && !core_affinity::set_for_current(core)
            {
                warn!(
                    worker = index,
                    "the worker could not be pinned to a processor"
                );
            }
            let runtime = match event_loop(common.transport) {
                Ok(runtime) => runtime,
                Err(error) => {
                    // Whoever waits has gone only if the start was given up.
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            runtime.block_on(run(index, doors, common, ready));
        })?;
    Ok((thread, is_ready))
}

fn event_loop(transport: Transport) -> io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all();
    if transport == Transport::IoUring {
        builder
            .on_thread_park(penstock_uring::on_thread_park)
            .on_thread_unpark(penstock_uring::on_thread_unpark);
    }
    builder.build()
}

async fn run(
    index: usize,
    doors: Vec<Door>,
    common: Common,
    ready: oneshot::Sender<io::Result<()>>,
) {
    let (ring, engine, acceptors) = match prepare(index, doors, &common).await {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    // Nobody waits any more only if another worker failed to start, which ends this one.
    let _ = ready.send(Ok(()));
    serve(&engine, acceptors, &common).await;
    // The ring must be the last to go: streams end on it.
    drop(engine);
    drop(ring);
}

type Prepared = (
    Option<penstock_uring::Ring>,
    Arc<Engine>,
    Vec<(usize, Acceptor, Arc<()>)>,
);

async fn prepare(index: usize, doors: Vec<Door>, common: &Common) -> io::Result<Prepared> {
    let ring = match common.transport {
        Transport::Epoll => None,
        Transport::IoUring => Some(penstock_uring::Ring::install(ring_options(common))?),
    };
    if let Some(ring) = &ring {
        common.telemetry.watch_ring(index, ring.metrics());
    }
    let engine = Arc::new(engine(common).await?);
    let mut acceptors = Vec::with_capacity(doors.len());
    for door in doors {
        let acceptor = Acceptor::new(common.transport, door.socket)?;
        acceptors.push((door.listener, acceptor, door.open));
    }
    Ok((ring, engine, acceptors))
}

fn ring_options(common: &Common) -> penstock_uring::Options {
    let server = common.live.server();
    // Each client's connection may hold one upstream, and some wait idle in the pool.
    let connections =
        server.limits.connections.saturating_mul(2) + server.limits.upstream_idle_connections;
    penstock_uring::Options {
        entries: server.io_uring.entries,
        buffers: server.io_uring.buffers,
        buffer_size: u32::try_from(server.io_uring.buffer_size.bytes()).unwrap_or(u32::MAX),
        connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
        batching: match server.io_uring.batching {
            Batching::Auto => penstock_uring::Batching::Measured,
            Batching::Always => penstock_uring::Batching::Always,
        },
        accepted_max: ahead(common),
        ..penstock_uring::Options::default()
    }
}

/// Connections that the ring accepts ahead; one if there are few descriptors.
fn ahead(common: &Common) -> usize {
    let share = part(common, QUEUED_PART, usize::MAX);
    match share >= BACKLOG as usize {
        true => AHEAD,
        false => 1,
    }
}

/// A worker's share of every so many descriptors, at most `max`.
fn part(common: &Common, every: u64, max: usize) -> usize {
    let Some(descriptors) = common.live.overload().descriptors_max() else {
        return max;
    };
    let share = descriptors / every / common.workers.max(1) as u64;
    usize::try_from(share).unwrap_or(usize::MAX).max(1).min(max)
}

async fn engine(common: &Common) -> io::Result<Engine> {
    let limits = &common.live.server().limits;
    let conf = ServerConf {
        // This conf is one worker's.
        threads: 1,
        upstream_keepalive_pool_size: part(
            common,
            IDLE_PART,
            usize::try_from(limits.upstream_idle_connections).unwrap_or(usize::MAX),
        ),
        max_retries: crate::proxy::TRIES_MAX,
        ..ServerConf::default()
    };
    let handover = Handover::default();
    let (live, telemetry) = (common.live.clone(), common.telemetry.clone());
    let logic = Proxy::new(live, telemetry, handover.clone());
    let connector = Connector::new(handover);
    let mut engine = handout::proxy(&Arc::new(conf), logic, connector).await?;
    engine.h2_options = Some(edge::options(common.live.server()));
    Ok(engine)
}

/// Accepts and serves until the process ends.
async fn serve(engine: &Arc<Engine>, acceptors: Vec<(usize, Acceptor, Arc<()>)>, common: &Common) {
    let (closing, shutdown) = watch::channel(false);
    let (level, telemetry) = (common.live.overload().level(), common.telemetry.clone());
    tokio::spawn(async move { edge::make_room(level, &telemetry).await });
    let mut stage = common.stage.clone();
    let connections =
        usize::try_from(common.live.server().limits.connections).unwrap_or(usize::MAX);
    let room = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let mut doors = JoinSet::new();
    for (listener, acceptor, open) in acceptors {
        let accepting = accept(
            listener,
            acceptor,
            engine.clone(),
            common.clone(),
            room.clone(),
            shutdown.clone(),
        );
        doors.spawn(async move {
            accepting.await;
            drop(open);
        });
    }
    // An error means that the process is going away without a word.
    let _ = stage.wait_for(|stage| *stage >= Stage::Draining).await;
    // Each door stops at the same signal, and gives back what it counts.
    while doors.join_next().await.is_some() {}
    closing.send_replace(true);
    common.live.drain();
    // Connections close by themselves after their last requests.
    let _ = stage.wait_for(|stage| *stage >= Stage::Stopping).await;
}

async fn accept(
    listener: usize,
    mut acceptor: Acceptor,
    engine: Arc<Engine>,
    common: Common,
    room: Arc<Semaphore>,
    shutdown: watch::Receiver<bool>,
) {
    let mut stage = common.stage.clone();
    loop {
        wait_for_room(&mut acceptor, &common, &mut stage).await;
        let permit = match room.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let limits = &common.telemetry.limit_reached;
                limits.with_label_values(&["connections"]).inc();
                acceptor.pause();
                tokio::select! {
                    permit = room.clone().acquire_owned() => permit.ok(),
                    // The few that were accepted ahead are served above the limit.
                    _ = stage.wait_for(|stage| *stage >= Stage::Draining) => None,
                }
            }
        };
        let accepted = tokio::select! {
            biased;
            _ = stage.wait_for(|stage| *stage >= Stage::Draining) => None,
            accepted = acceptor.accept() => Some(accepted),
        };
        let accepted = match accepted {
            Some(accepted) => accepted,
            // What the ring accepted ahead has a client that believes it is served.
            None => match acceptor.accepted().await {
                Some(accepted) => Ok(accepted),
                None => return,
            },
        };
        match accepted {
            Ok(accepted) => {
                let terms = terms(listener, &common);
                let clients = common.live.clients();
                let Ok(guest) = clients.meet(accepted.peer(), terms.proxy_protocol) else {
                    continue;
                };
                common.telemetry.connections.inc();
                let open = Held::new(&common.telemetry.connections_open);
                let serving = edge::serve(
                    engine.clone(),
                    accepted,
                    terms,
                    Place {
                        open,
                        guest,
                        connection: common.live.overload().connected(),
                    },
                    shutdown.clone(),
                );
                tokio::spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => {
                common.telemetry.accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Leaves new connections to the kernel's queue while there is no descriptor for one and its
/// upstream, or memory is very short.
async fn wait_for_room(
    acceptor: &mut Acceptor,
    common: &Common,
    stage: &mut watch::Receiver<Stage>,
) {
    let overload = common.live.overload();
    if overload.accepts() {
        return;
    }
    common.telemetry.overload.pauses.inc();
    acceptor.pause();
    while !overload.accepts() {
        tokio::select! {
            () = tokio::time::sleep(ROOM_PAUSE) => {}
            _ = stage.wait_for(|stage| *stage >= Stage::Draining) => return,
        }
    }
}

fn terms(listener: usize, common: &Common) -> Terms {
    let server = common.live.server();
    let tls = common.live.load().acceptor(listener);
    let listener = server.listen.get(listener);
    let http2 = listener.is_some_and(Listener::offers_http2);
    Terms {
        cleartext_http2: http2 && tls.is_none(),
        tls,
        proxy_protocol: listener.and_then(|listener| listener.proxy_protocol),
        keepalive: server.limits.keepalive_timeout.get(),
        handshake: server.limits.handshake_timeout.get(),
        head: server.limits.head_timeout.get(),
        body: Bound::of_bodies(&server.limits),
        body_max: server.limits.request_body.bytes(),
        answer: Bound::of_answers(&server.limits),
        heads: Limits::from(&server.limits),
        frames: edge::bounds(server),
        live: common.live.clone(),
        telemetry: common.telemetry.clone(),
    }
}
