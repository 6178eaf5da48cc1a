//! `penstock run`: the proxy, from start to stop.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use penstock_config::Config;
use penstock_simulator::{Settings, Simulator};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use super::{complain, say};
use crate::admin::{self, Pages};
use crate::live::Source;
use crate::overload::descriptors;
use crate::server::Server;
use crate::telemetry;
use crate::upgrade::{self, Inherited, Predecessor};

/// What to run.
#[derive(Debug, Args)]
pub struct Options {
    /// The configuration file; without one, an embedded simulator is served on 127.0.0.1:8080
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take over the listening sockets of the process that runs: send it SIGQUIT then
    #[arg(long, requires = "config")]
    pub upgrade: bool,
}

/// Runs the proxy until a signal ends it.
pub fn run(options: Options) -> ExitCode {
    match try_run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(why.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: Options) -> Result<(), String> {
    let (source, simulator) = match options.config {
        Some(file) => (Source::File(file), None),
        None => {
            let simulator = start_simulator()?;
            (Source::BuiltIn(demo(&simulator)), Some(simulator))
        }
    };
    let config = source.load().map_err(|error| error.to_string())?;
    telemetry::log::start(&config.server.log).map_err(|error| error.to_string())?;
    raise_descriptors();
    let (inherited, predecessor) = if options.upgrade {
        let (inherited, predecessor) = take_over(&config)?;
        (inherited, Some(predecessor))
    } else {
        (Inherited::new(), None)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let ended = runtime.block_on(supervise(
        config,
        source,
        inherited,
        predecessor,
        simulator.as_ref(),
    ));
    // A reload that hangs on a name lookup must not keep the process alive.
    runtime.shutdown_background();
    drop(simulator);
    ended
}

/// As many descriptors as the system allows.
fn raise_descriptors() {
    match descriptors::raise_limit() {
        Ok(Some(limit)) => debug!(limit, "descriptors"),
        Ok(None) => debug!("descriptors are not limited"),
        Err(error) => warn!(%error, "the limit of descriptors could not be raised"),
    }
}

fn start_simulator() -> Result<Simulator, String> {
    penstock_simulator::start(Settings::default())
        .map_err(|error| format!("the simulator cannot start: {error}"))
}

/// The configuration of a run without one: everything goes to the simulator.
fn demo(simulator: &Simulator) -> String {
    let address = simulator.address();
    format!(
        "upstreams:\n  simulator:\n    endpoints: [\"{address}\"]\nroutes:\n  - name: everything\n    split: [{{ upstream: simulator }}]\n"
    )
}

fn take_over(config: &Config) -> Result<(Inherited, Predecessor), String> {
    let Some(path) = &config.server.upgrade_socket else {
        return Err("--upgrade needs server.upgrade_socket in the configuration".into());
    };
    info!(path = %path.display(), "waiting for the running process to hand over its sockets: send it SIGQUIT");
    upgrade::receive(path)
        .map_err(|error| format!("no sockets were handed over at {}: {error}", path.display()))
}

/// From the start to the last signal.
async fn supervise(
    config: Config,
    source: Source,
    inherited: Inherited,
    predecessor: Option<Predecessor>,
    simulator: Option<&Simulator>,
) -> Result<(), String> {
    // Before anything serves, so that no signal meets the default of ending the process.
    let mut signals =
        Signals::new().map_err(|error| format!("signals cannot be handled: {error}"))?;
    let starting = tokio::task::spawn_blocking(move || Server::start(config, source, inherited));
    let server = starting
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let (ready, is_ready) = watch::channel(true);
    let admin = start_admin(&server, is_ready, predecessor.is_some())?;
    announce(&server, simulator);
    if let Some(predecessor) = predecessor
        && let Err(error) = predecessor.dismiss()
    {
        warn!(%error, "the old process could not be told that this one serves");
    }
    let (server, handed_over) = until_stop(server, &mut signals).await;
    ready.send_replace(false);
    if let (Some(admin), true) = (admin, handed_over) {
        // Its address is the new process's now.
        admin.abort();
    }
    drain(server, &mut signals).await;
    Ok(())
}

/// Serves the admin pages. A process that takes over gets their address when the old one
/// lets go of it, which it does when it hears that this one serves.
fn start_admin(
    server: &Server,
    ready: watch::Receiver<bool>,
    takes_over: bool,
) -> Result<Option<JoinHandle<()>>, String> {
    let Some(address) = server.admin else {
        return Ok(None);
    };
    let listener = match admin::open(address) {
        Ok(listener) => Some(listener),
        Err(error) if takes_over && error.kind() == ErrorKind::AddrInUse => None,
        Err(error) => return Err(format!("cannot listen on {address}: {error}")),
    };
    let pages = Pages {
        live: server.live.clone(),
        telemetry: server.telemetry.clone(),
        ready,
    };
    Ok(Some(tokio::spawn(async move {
        let listener = match listener {
            Some(listener) => listener,
            None => admin::open_once_free(address).await,
        };
        if let Ok(address) = listener.local_addr() {
            info!(%address, "admin listener");
        }
        admin::serve(listener, Arc::new(pages)).await;
    })))
}

fn announce(server: &Server, simulator: Option<&Simulator>) {
    for address in server.addresses() {
        info!(
            %address,
            transport = server.transport.as_str(),
            reason = server.transport_reason,
            workers = server.worker_count(),
            "listening"
        );
    }
    if let (Some(simulator), [address, ..]) = (simulator, server.addresses().as_slice()) {
        let transport = server.transport.as_str();
        say(format!(
            "Penstock serves an embedded simulator ({}) on http://{address},",
            simulator.address()
        ));
        say(format!(
            "over {transport} ({}). Try:\n",
            server.transport_reason
        ));
        say(format!("  curl http://{address}/v1/models\n"));
        say(format!(
            "  curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' -d '{{\"model\": \"simulator-small\", \"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'\n"
        ));
        say("Ctrl-C stops it. `penstock --help` says what else it does.");
    }
}

/// Serves until it is told to stop, or has handed over, which is then true. Reloads
/// happen meanwhile.
async fn until_stop(server: Server, signals: &mut Signals) -> (Server, bool) {
    loop {
        match signals.next().await {
            Wish::Reload => {
                let live = server.live.clone();
                // The verdict is logged and counted where it is made.
                tokio::task::spawn_blocking(move || live.reload().is_ok());
            }
            Wish::HandOver => tokio::select! {
                handed = server.hand_over() => match handed {
                    Ok(()) => {
                        info!("sockets handed over");
                        return (server, true);
                    }
                    Err(error) => error!(%error, "the sockets were not handed over; serving on"),
                },
                () = signals.end() => return (server, false),
            },
            Wish::Stop => return (server, false),
        }
    }
}

/// Stops accepting and waits for what is in flight; a second signal ends it at once.
async fn drain(mut server: Server, signals: &mut Signals) {
    info!(timeout = ?server.live.server().drain_timeout.get(), "draining");
    server.stop_accepting();
    tokio::select! {
        left = server.drained() => match left {
            0 => info!("drained"),
            left => warn!(connections = left, "the drain timeout is over; what is in flight is cut"),
        },
        () = signals.stop() => warn!("second signal: ending at once"),
    }
    server.stop();
}

/// What a signal asks for.
enum Wish {
    Reload,
    HandOver,
    Stop,
}

struct Signals {
    hang_up: Signal,
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hang_up.recv() => Wish::Reload,
            _ = self.quit.recv() => Wish::HandOver,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
        }
    }

    /// The next signal that means an end and no hand-over.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// The next signal that means an end.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}
