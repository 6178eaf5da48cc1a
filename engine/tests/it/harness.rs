//! What the tests share: proxies, upstreams, clients, and a bound on every wait.

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use penstock::live::Source;
use penstock::server::Server;
use penstock::transport::Transport;
use penstock::upgrade::Inherited;
use penstock_simulator::{Settings, Simulator};
use tempfile::TempDir;

pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod process;
pub(crate) mod raw;

/// No test takes longer.
const TEST_MAX: Duration = Duration::from_secs(30);

/// How long something that happens soon is waited for.
const SOON: Duration = Duration::from_secs(10);

thread_local! {
    /// What the test of this thread wants to go through the ring.
    pub(crate) static BATCHING: Cell<&'static str> = const { Cell::new("auto") };
}

/// Runs a test on a transport, if the kernel allows that.
pub(crate) fn run<F>(name: &str, transport: Transport, test: impl FnOnce(Transport) -> F)
where
    F: Future<Output = ()>,
{
    if transport == Transport::IoUring
        && let Err(why) = penstock_uring::probe()
    {
        // Straight to the terminal: a skipped test must not look like one that passed.
        let _ = writeln!(std::io::stderr(), "{name} is skipped: {why}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(TEST_MAX, test(transport)).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert!(ended.is_ok(), "{name} did not end within {TEST_MAX:?}");
}

/// Waits until something holds; fails if that is not soon.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A configuration: what the tests agree on, with `server` (lines of `key: value`) over
/// it, and the other parts behind.
pub(crate) fn config(transport: Transport, server: &str, rest: &str) -> String {
    let defaults = [
        ("listen", "[{ address: \"127.0.0.1:0\", http2: true }]"),
        ("admin", "off"),
        ("workers", "2"),
        ("log", "{ access: off }"),
    ];
    let mut text = format!("server:\n  transport: {}\n", transport.as_str());
    let given = |key: &str| server.lines().any(|line| line.trim().starts_with(key));
    for (key, value) in defaults.iter().filter(|(key, _)| !given(key)) {
        text.push_str(&format!("  {key}: {value}\n"));
    }
    if !given("io_uring") {
        text.push_str(&format!("  io_uring: {{ batching: {} }}\n", BATCHING.get()));
    }
    for line in server.lines() {
        text.push_str(&format!("  {}\n", line.trim()));
    }
    text.push_str(rest);
    text
}

/// A database of countries: 127.0.0.0/24 is in Germany, 127.0.1.0/24 in the United States,
/// and 127.0.2.0/24 in none.
pub(crate) const COUNTRIES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../config/examples/geoip/countries.mmdb"
);

/// Upstreams and routes that send everything to one simulator.
pub(crate) fn all_to(upstream: SocketAddr) -> String {
    format!(
        "upstreams:\n  a: {{ endpoints: [\"{upstream}\"] }}\nroutes:\n  - {{ name: all, split: [{{ upstream: a }}] }}\n"
    )
}

/// A proxy in this process.
pub(crate) struct Proxy {
    server: Option<Server>,
    folder: TempDir,
}

impl Proxy {
    /// Starts one from a configuration's text.
    pub(crate) async fn start(text: &str) -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("penstock.yaml");
        std::fs::write(&file, text).unwrap();
        let server = start_server(file).await;
        Proxy {
            server: Some(server),
            folder,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server().addresses()[0]
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("penstock.yaml")
    }

    /// Puts another configuration in the place of the file, and reloads it.
    pub(crate) async fn reload(&self, text: &str) -> Result<u64, String> {
        replace(&self.file(), text);
        let live = self.server().live.clone();
        let reload = move || match live.reload() {
            Ok(applied) => Ok(applied.generation),
            Err(error) => Err(error.to_string()),
        };
        tokio::task::spawn_blocking(reload).await.unwrap()
    }

    /// Waits until no request's body is kept any more.
    pub(crate) async fn forgets_bodies(&self) {
        eventually("bodies are forgotten at the end", || {
            self.metric("penstock_request_bodies_kept_bytes", &[]) == 0.0
        })
        .await;
    }

    /// The metrics as Prometheus would read them.
    pub(crate) fn metrics(&self) -> String {
        String::from_utf8(self.server().telemetry.render().unwrap()).unwrap()
    }

    /// The sum of the samples of a metric whose labels contain all of `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        sum(&self.metrics(), name, labels)
    }
}

/// The sum of the samples of a metric, in Prometheus' text, whose labels contain all of
/// `labels`.
pub(crate) fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
        })
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

async fn start_server(file: PathBuf) -> Server {
    // Clients, upstreams and proxies of all tests share this process, and none of them is to be
    // refused for what the others have open.
    penstock::overload::descriptors::raise_limit().unwrap();
    let start = move || {
        let source = Source::File(file);
        let config = source.load().unwrap_or_else(|error| panic!("{error}"));
        if std::env::var_os("PENSTOCK_LOG").is_some() {
            // To see what happens in one failing test.
            let _ = penstock::telemetry::log::start(&config.server.log);
        }
        Server::start(config, source, Inherited::new()).unwrap_or_else(|error| panic!("{error}"))
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// Replaces a file at once, as a careful operator does.
pub(crate) fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, file).unwrap();
}

/// A simulator that does not wait, with other settings over that.
pub(crate) fn simulator(settings: &[(&str, &str)]) -> Simulator {
    let mut all = Settings::instant();
    for (name, value) in settings {
        all.set(name, value).unwrap();
    }
    penstock_simulator::start(all).unwrap()
}

/// An address that refuses connections for as long as this lives.
pub(crate) struct Refusing(socket2::Socket);

impl Refusing {
    pub(crate) fn new() -> Refusing {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // Bound, so that nobody else gets the port, and not listening.
        socket.bind(&any.into()).unwrap();
        Refusing(socket)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

/// A port that was free a moment ago, for those who must know it beforehand.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Bytes that repeat late, so that a lost or doubled piece shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}
