//! The generation in force, and how the next one takes its place.
//!
//! A reload reads and builds everything beside the generation that serves, and swaps
//! one pointer at the end. Whatever goes wrong before that leaves things as they are.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use penstock_config::{Config, server};
use penstock_plugins::Shared;
use tracing::{info, warn};

use crate::generation::{self, BuildErrors, Generation};
use crate::telemetry::Telemetry;
use crate::tls::{CertificateError, Certificates};
use crate::transport::Transport;

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the configuration came from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, read again at each reload.
    File(PathBuf),
    /// Made by the program; a reload builds the same again.
    BuiltIn(String),
}

impl Source {
    /// Its name in messages.
    pub fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::BuiltIn(_) => "<built in>".to_owned(),
        }
    }

    /// The text as it is now.
    ///
    /// # Errors
    /// The file cannot be read, is over 1 MiB, or is not UTF-8.
    pub fn read(&self) -> Result<String, LoadError> {
        match self {
            Source::BuiltIn(text) => Ok(text.clone()),
            Source::File(path) => {
                let failed = |why: String| LoadError::Unreadable {
                    path: path.clone(),
                    why,
                };
                let size = std::fs::metadata(path)
                    .map_err(|error| failed(error.to_string()))?
                    .len();
                if size > FILE_BYTES_MAX {
                    return Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
                }
                std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
            }
        }
    }

    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// What [`Source::read`] says, or every mistake in the text.
    pub fn load(&self) -> Result<Config, LoadError> {
        let text = self.read()?;
        penstock_config::parse(&text)
            .map_err(|report| LoadError::Mistakes(report.render(&self.name(), &text)))
    }
}

/// The generation in force.
pub struct Live {
    current: ArcSwap<Generation>,
    source: Source,
    transport: Transport,
    server: server::Server,
    telemetry: Arc<Telemetry>,
    certificates: Arc<Certificates>,
    shared: Arc<Shared>,
    next_id: AtomicU64,
    /// Reloads happen one at a time; it holds the last verdict.
    reloading: Mutex<Option<Verdict>>,
}

/// What became of the last reload.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The generation that serves since, or why none does.
    pub result: Result<u64, String>,
    /// How long it took.
    pub took: Duration,
}

impl Live {
    /// Puts a first generation in force.
    ///
    /// # Errors
    /// The configuration could not be built.
    pub fn new(
        config: Config,
        source: Source,
        transport: Transport,
        telemetry: Arc<Telemetry>,
        certificates: Arc<Certificates>,
    ) -> Result<Live, BuildErrors> {
        let server = config.server.clone();
        let shared = Arc::new(Shared::default());
        telemetry.watch_limits(Arc::clone(&shared));
        let first = Generation::build(1, config, transport, &telemetry, &shared)?;
        telemetry.generation.set(1);
        Ok(Live {
            current: ArcSwap::from_pointee(first),
            source,
            transport,
            server,
            telemetry,
            certificates,
            shared,
            next_id: AtomicU64::new(2),
            reloading: Mutex::new(None),
        })
    }

    /// The generation in force. A request asks once, and keeps the answer to its end.
    pub fn load(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// The part of the configuration that is fixed until a restart.
    pub fn server(&self) -> &server::Server {
        &self.server
    }

    /// What survives reloads.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// What became of the last reload, if there was one.
    pub fn last_verdict(&self) -> Option<Verdict> {
        self.reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads everything again and swaps. Blocks on files and name lookups.
    ///
    /// # Errors
    /// Why the generation that served still serves.
    pub fn reload(&self) -> Result<u64, ReloadError> {
        let mut last = self
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let result = self.swap();
        let took = started.elapsed();
        let verdict = match &result {
            Ok(id) => {
                info!(
                    generation = id,
                    took_ms = took.as_millis() as u64,
                    "configuration reloaded"
                );
                "applied"
            }
            Err(error) => {
                warn!(
                    "reload refused, generation {} serves on: {error}",
                    self.current.load().id
                );
                "refused"
            }
        };
        self.telemetry.reloads.with_label_values(&[verdict]).inc();
        let result_text = result.as_ref().map(|id| *id).map_err(ToString::to_string);
        *last = Some(Verdict {
            result: result_text,
            took,
        });
        result
    }

    fn swap(&self) -> Result<u64, ReloadError> {
        let config = self.source.load()?;
        let fixed = server::changed_keys(&self.server, &config.server);
        if !fixed.is_empty() {
            return Err(ReloadError::Fixed(fixed));
        }
        let alive = generation::alive(&self.telemetry.generations_alive);
        let alive_max = u64::from(self.server.limits.generations);
        if alive >= alive_max {
            self.telemetry
                .limit_reached
                .with_label_values(&["generations"])
                .inc();
            return Err(ReloadError::TooManyAlive(alive));
        }
        let certificates = Certificates::read(&self.server.listen)?;
        let id = self.next_id.load(Ordering::Relaxed);
        let next = Generation::build(id, config, self.transport, &self.telemetry, &self.shared)?;
        // From here on nothing can fail.
        self.certificates.replace(certificates);
        self.current.store(Arc::new(next));
        self.next_id.store(id + 1, Ordering::Relaxed);
        self.telemetry
            .generation
            .set(i64::try_from(id).unwrap_or(i64::MAX));
        Ok(id)
    }
}

/// Why a configuration could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The mistakes in it, each with its place, as shown to the operator.
    Mistakes(String),
}

/// Why a reload changed nothing.
#[derive(Debug)]
pub enum ReloadError {
    /// The file could not be loaded.
    Load(LoadError),
    /// These keys cannot change without a restart.
    Fixed(Vec<String>),
    /// This many generations are alive, which is the limit.
    TooManyAlive(u64),
    /// A certificate could not be read.
    Certificate(CertificateError),
    /// Something else could not be built.
    Build(BuildErrors),
}

impl From<LoadError> for ReloadError {
    fn from(error: LoadError) -> Self {
        ReloadError::Load(error)
    }
}

impl From<CertificateError> for ReloadError {
    fn from(error: CertificateError) -> Self {
        ReloadError::Certificate(error)
    }
}

impl From<BuildErrors> for ReloadError {
    fn from(errors: BuildErrors) -> Self {
        ReloadError::Build(errors)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Unreadable { path, why } => {
                write!(f, "{} cannot be read: {why}", path.display())
            }
            LoadError::Mistakes(report) => f.write_str(report),
        }
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReloadError::Load(error) => error.fmt(f),
            ReloadError::Fixed(keys) => {
                write!(
                    f,
                    "these keys change only with a restart: {}",
                    keys.join(", ")
                )
            }
            ReloadError::TooManyAlive(alive) => {
                write!(
                    f,
                    "requests still run on {alive} generations, the limit of server.limits.generations"
                )
            }
            ReloadError::Certificate(error) => error.fmt(f),
            ReloadError::Build(errors) => errors.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}
impl std::error::Error for ReloadError {}
