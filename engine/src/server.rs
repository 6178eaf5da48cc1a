//! The whole server: workers, and the steps from start to stop.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use penstock_config::Config;
use penstock_config::server::{Admin, Workers};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::background;
use crate::generation::BuildErrors;
use crate::key_sets;
use crate::listen::{self, ListenError, Listening};
use crate::live::{Live, Source};
use crate::overload::monitor;
use crate::telemetry::Telemetry;
use crate::transport::Transport;
use crate::upgrade::{self, Inherited};
use crate::worker::{self, Common, Door, Stage};

/// How often a drain looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// How long a start waits for the keys of token issuers. A process that takes over is
/// not to refuse tokens that the old one knew.
const KEY_SETS_WAIT: Duration = Duration::from_secs(3);

/// How long workers may take to end after they were told to stop.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// A running server.
pub struct Server {
    /// The generation in force.
    pub live: Arc<Live>,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// The transport that serves.
    pub transport: Transport,
    /// Why it is this one.
    pub transport_reason: String,
    /// Where the admin listener is to be, if anywhere.
    pub admin: Option<SocketAddr>,
    /// Sockets that nobody accepts on here, to hand to a new process.
    listening: Vec<Listening>,
    /// Shared with every door that a worker accepts on.
    doors: Arc<()>,
    stage: watch::Sender<Stage>,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Builds everything, then binds, then serves. When it returns, connections are
    /// accepted.
    ///
    /// # Errors
    /// Whatever stands in the way; nothing is left running then.
    pub fn start(
        config: Config,
        source: Source,
        inherited: Inherited,
    ) -> Result<Server, StartError> {
        let (transport, transport_reason) =
            Transport::choose(config.server.transport).map_err(StartError::Transport)?;
        let telemetry =
            Arc::new(Telemetry::new().map_err(|error| StartError::Io(io::Error::other(error)))?);
        let count = worker_count(config.server.workers);
        let admin = match config.server.admin {
            Admin::Off => None,
            Admin::On(address) => Some(address),
        };
        let live = Live::new(config, source, transport, telemetry.clone());
        let live = Arc::new(live.map_err(StartError::Build)?);
        background::start(&live).map_err(StartError::Io)?;
        monitor::start(&live).map_err(StartError::Io)?;
        key_sets::wait(&live, KEY_SETS_WAIT);
        let listening = open_all(&live.load().config, count, inherited)?;
        let (stage, watched) = watch::channel(Stage::Serving);
        let common = Common {
            live: live.clone(),
            telemetry: telemetry.clone(),
            transport,
            workers: count,
            stage: watched,
        };
        let mut server = Server {
            live,
            telemetry,
            transport,
            transport_reason,
            admin,
            listening,
            doors: Arc::new(()),
            stage,
            workers: Vec::with_capacity(count),
        };
        server.start_workers(count, &common)?;
        Ok(server)
    }

    fn start_workers(&mut self, count: usize, common: &Common) -> Result<(), StartError> {
        forget_cancelled_timeouts();
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        // With fewer processors than workers, pinning would stack them up.
        let pinned = cores.len() >= count;
        let mut starting = Vec::with_capacity(count);
        for index in 0..count {
            let core = cores.get(index).copied().filter(|_| pinned);
            let (thread, ready) =
                worker::start(index, core, self.doors(index, count)?, common.clone())
                    .map_err(StartError::Io)?;
            self.workers.push(thread);
            starting.push(ready);
        }
        for ready in starting {
            let gone = || Err(io::Error::other("a worker ended before it served"));
            if let Err(error) = ready.blocking_recv().unwrap_or_else(|_| gone()) {
                self.stage.send_replace(Stage::Stopping);
                return Err(StartError::Io(error));
            }
        }
        Ok(())
    }

    /// The sockets of one worker. A process with more workers may have handed over more
    /// sockets than there are workers here; none must be left without an acceptor.
    fn doors(&self, worker: usize, workers: usize) -> Result<Vec<Door>, StartError> {
        let mut doors = Vec::new();
        for (listener, listening) in self.listening.iter().enumerate() {
            let own = listening
                .sockets
                .iter()
                .enumerate()
                .filter(|(n, _)| n % workers == worker);
            for (_, socket) in own {
                let socket = socket.try_clone().map_err(StartError::Io)?;
                let open = self.doors.clone();
                doors.push(Door {
                    listener,
                    socket,
                    open,
                });
            }
        }
        Ok(doors)
    }

    /// The addresses that are listened on, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listening
            .iter()
            .map(|listening| listening.address)
            .collect()
    }

    /// Number of workers.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// Whether new connections are accepted.
    pub fn is_serving(&self) -> bool {
        *self.stage.borrow() == Stage::Serving
    }

    /// Hands the listening sockets to a new process. They stay open here too, so that
    /// this process goes on if the new one fails.
    ///
    /// # Errors
    /// No upgrade socket is configured, or the new process did not take them.
    pub async fn hand_over(&self) -> io::Result<()> {
        let Some(path) = &self.live.server().upgrade_socket else {
            return Err(io::Error::other("server.upgrade_socket is not set"));
        };
        upgrade::send(path, &self.listening).await
    }

    /// Stops accepting. What is in flight goes on.
    pub fn stop_accepting(&mut self) {
        self.stage.send_if_modified(|stage| {
            let first = *stage < Stage::Draining;
            *stage = (*stage).max(Stage::Draining);
            first
        });
        // The kernel refuses connections once nobody has the sockets any more.
        self.listening.clear();
    }

    /// Waits until nothing is in flight, at most as long as configured. Says how many
    /// connections were left.
    pub async fn drained(&self) -> i64 {
        let deadline = Instant::now() + self.live.server().drain_timeout.get();
        loop {
            // In this order: nothing opens once nobody accepts.
            let accepting = Arc::strong_count(&self.doors) > 1;
            // A drained answer may outlive its client's connection.
            let connections = self.telemetry.connections_open.get();
            let open = connections.max(self.telemetry.drains_open.get());
            if (open <= 0 && !accepting) || Instant::now() >= deadline {
                return open.max(0);
            }
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// Ends the workers. Whatever is still in flight is cut.
    pub fn stop(mut self) {
        self.end_workers();
    }

    fn end_workers(&mut self) {
        self.listening.clear();
        self.stage.send_replace(Stage::Stopping);
        let deadline = Instant::now() + STOP_WAIT;
        for worker in self.workers.drain(..) {
            while !worker.is_finished() && Instant::now() < deadline {
                std::thread::sleep(DRAIN_LOOK);
            }
            if !worker.is_finished() {
                warn!("a worker did not end in time");
            } else if worker.join().is_err() {
                warn!("a worker ended by a panic");
            }
        }
        info!("stopped");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.workers.is_empty() {
            self.end_workers();
        }
    }
}

/// Pingora keeps the timer of a timeout until its deadline, also when what it watched was
/// done in time: at 100 a second, thread and duration that is some 9 KiB a second for each
/// duration, for as long as the longest lasts. The event loop's own timers go with what they
/// watched, and cost no more; from one second on they are used.
fn forget_cancelled_timeouts() {
    pingora_timeout::fast_timeout::set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
}

fn worker_count(workers: Workers) -> usize {
    match workers {
        Workers::Count(count) => usize::from(count.get()),
        // The processors that this process may use, not all that the machine has.
        Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

fn open_all(
    config: &Config,
    workers: usize,
    mut inherited: Inherited,
) -> Result<Vec<Listening>, StartError> {
    let mut all = Vec::with_capacity(config.server.listen.len());
    let mut sockets = 0;
    for listener in &config.server.listen {
        let own = inherited
            .remove(&listener.address.to_string())
            .unwrap_or_default();
        if own.is_empty() {
            listen::check_free(listener.address).map_err(StartError::Listen)?;
        }
        let listening = listen::open(listener.address, workers, own).map_err(StartError::Listen)?;
        sockets += listening.sockets.len();
        all.push(listening);
    }
    if config.server.upgrade_socket.is_some() && sockets > upgrade::SOCKETS_MAX {
        return Err(StartError::Io(io::Error::other(format!(
            "{sockets} listening sockets are more than an upgrade can hand over ({}): use fewer workers or listeners",
            upgrade::SOCKETS_MAX
        ))));
    }
    for address in inherited.into_keys() {
        warn!(
            address,
            "the old process listened there too; this configuration does not, so it is closed"
        );
    }
    Ok(all)
}

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The transport that was asked for is not to be had.
    Transport(penstock_uring::Unavailable),
    /// The configuration cannot be built.
    Build(BuildErrors),
    /// An address cannot be listened on.
    Listen(ListenError),
    /// Something else of the system.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Transport(reason) => {
                write!(
                    f,
                    "server.transport is `io_uring`, and io_uring is not to be had: {reason}"
                )
            }
            StartError::Build(errors) => errors.fmt(f),
            StartError::Listen(error) => error.fmt(f),
            StartError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
