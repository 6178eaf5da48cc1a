//! The generation in force, and how the next one takes its place.
//!
//! A reload reads and builds everything beside the generation that serves, and swaps
//! one pointer at the end. Whatever goes wrong before that leaves things as they are.
//! The generation that served before is kept as it was built, so that a rollback reads
//! no file and cannot fail for one.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use penstock_config::{Config, Diff, server};
use penstock_plugins::Shared;
use tracing::{info, warn};

use crate::clients::{Clients, Refusals};
use crate::files;
use crate::generation::{self, BuildErrors, Generation};
use crate::history::{Action, Applied, History, Record, Refused};
use crate::overload::Overload;
use crate::telemetry::Telemetry;
use crate::transport::Transport;

/// Largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Changes that a log line tells of.
const LOGGED_CHANGES_MAX: usize = 10;

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
                let bytes = files::read(path, FILE_BYTES_MAX).map_err(failed)?;
                String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))
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
    clients: Arc<Clients>,
    overload: Arc<Overload>,
    telemetry: Arc<Telemetry>,
    shared: Arc<Shared>,
    next_id: AtomicU64,
    /// The generation that a rollback returns to. Whoever holds the lock is the only one
    /// who reloads or rolls back.
    before: Mutex<Option<Arc<Generation>>>,
    history: Mutex<History>,
    /// The process finishes what is in flight and ends.
    draining: AtomicBool,
}

/// How the file compares with what serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// It says the same.
    Same,
    /// A reload would change this, in a line.
    Differs(String),
    /// A reload would be refused, for this reason.
    Unusable(String),
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
    ) -> Result<Live, BuildErrors> {
        let server = config.server.clone();
        let refusals = Refusals::new(telemetry.refused_connections());
        let clients = Arc::new(Clients::new(&server.clients, refusals));
        let overload = Arc::new(Overload::new(&server.overload));
        let shared = Arc::new(Shared::default());
        telemetry.watch_shared(Arc::clone(&shared));
        let first = Generation::build(1, config, transport, &telemetry, &shared)?;
        first.files.settle();
        complain(&first);
        first.find_metrics();
        telemetry.generation.set(1);
        Ok(Live {
            current: ArcSwap::from_pointee(first),
            source,
            transport,
            server,
            clients,
            overload,
            telemetry,
            shared,
            next_id: AtomicU64::new(2),
            before: Mutex::new(None),
            history: Mutex::new(History::new()),
            draining: AtomicBool::new(false),
        })
    }

    /// The generation in force. A request asks once, and keeps the answer to its end.
    pub fn load(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// From now on each request is the last one of its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether each request is the last one of its connection.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The part of the configuration that is fixed until a restart.
    pub fn server(&self) -> &server::Server {
        &self.server
    }

    /// Who connects, which is fixed as well.
    pub fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// What is left of memory and descriptors, and what is under way.
    pub fn overload(&self) -> &Arc<Overload> {
        &self.overload
    }

    /// Where the configuration comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// How bytes are moved.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What survives reloads.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The metrics.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// What became of the last reloads and rollbacks.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// What became of the last reload or rollback, if there was one.
    pub fn last(&self) -> Option<Record> {
        self.history().records().next().cloned()
    }

    /// How the file compares with what serves. Blocks on the file.
    pub fn on_disk(&self) -> OnDisk {
        match self.source.load() {
            Err(error) => OnDisk::Unusable(error.to_string()),
            Ok(config) => match Diff::new(&self.load().config, &config) {
                diff if diff.is_empty() => OnDisk::Same,
                diff => OnDisk::Differs(diff.summary()),
            },
        }
    }

    /// Reads everything again and swaps. Blocks on files and name lookups.
    ///
    /// # Errors
    /// Why the generation that served still serves.
    pub fn reload(&self) -> Result<Applied, ReloadError> {
        let mut before = lock(&self.before);
        let started = Instant::now();
        let result = self.load_next(before.as_ref());
        let took = started.elapsed();
        // What can wait is done when it serves already: to show its counters, to find out
        // what changed, and to let go of what is too old.
        let result = result.map(|(left, next)| {
            next.find_metrics();
            complain(&next);
            let applied = Applied::new(&left, &next);
            *before = Some(left);
            applied
        });
        self.telemetry.forget_gone();
        self.record(Action::Reload, took, &result);
        result
    }

    /// Returns to the generation before, as it was built: its configuration, and what
    /// the files held then. Reads nothing.
    ///
    /// # Errors
    /// There is none: nothing was reloaded yet, or this was done already.
    pub fn rollback(&self) -> Result<Applied, ReloadError> {
        let mut before = lock(&self.before);
        let started = Instant::now();
        let left = self.load();
        let result = before.take().ok_or(ReloadError::NothingBefore);
        let result = result.inspect(|previous| {
            self.put_in_force(previous.clone());
            self.history().before = None;
        });
        let took = started.elapsed();
        let result = result.map(|previous| Applied::new(&left, &previous));
        self.record(Action::Rollback, took, &result);
        if result.is_ok() {
            self.warn_of_file();
        }
        result
    }

    /// Puts the next generation in force. Returns the one that served, which is to be
    /// kept in the place of `before`, and the next.
    fn load_next(
        &self,
        before: Option<&Arc<Generation>>,
    ) -> Result<(Arc<Generation>, Arc<Generation>), ReloadError> {
        let config = self.source.load()?;
        let fixed = server::changed_keys(&self.server, &config.server);
        if !fixed.is_empty() {
            return Err(ReloadError::Fixed(fixed));
        }
        self.check_room(before)?;
        let id = self.next_id.load(Ordering::Relaxed);
        let next = Generation::build(id, config, self.transport, &self.telemetry, &self.shared)?;
        // From here on nothing can fail.
        self.next_id.store(id + 1, Ordering::Relaxed);
        let (left, next) = (self.load(), Arc::new(next));
        self.put_in_force(next.clone());
        self.history().before = Some(left.id);
        Ok((left, next))
    }

    /// Whether another generation may be alive.
    fn check_room(&self, before: Option<&Arc<Generation>>) -> Result<(), ReloadError> {
        let alive = generation::alive(&self.telemetry.generations_alive);
        // The one that is kept for a rollback makes room, unless requests run on it.
        let goes = before.is_some_and(|kept| Arc::strong_count(kept) == 1);
        let stay = alive.saturating_sub(u64::from(goes));
        if stay < u64::from(self.server.limits.generations) {
            return Ok(());
        }
        self.telemetry
            .limit_reached
            .with_label_values(&["generations"])
            .inc();
        Err(ReloadError::TooManyAlive(alive))
    }

    fn put_in_force(&self, generation: Arc<Generation>) {
        let id = i64::try_from(generation.id).unwrap_or(i64::MAX);
        self.current.store(generation);
        self.telemetry.generation.set(id);
    }

    /// Tells what became of a reload: the log, the metrics, and the admin page.
    fn record(&self, action: Action, took: Duration, result: &Result<Applied, ReloadError>) {
        let took_ms = took.as_secs_f64() * 1e3;
        let result = match result {
            Ok(applied) => Ok(applied.clone()),
            Err(error) => Err(Refused::new(error.kind(), error.to_string())),
        };
        match (&result, action) {
            (Ok(applied), _) => {
                let changes = applied.line(LOGGED_CHANGES_MAX);
                let (generation, summary) = (applied.generation, &applied.summary);
                match action {
                    Action::Reload => {
                        info!(
                            generation,
                            took_ms, summary, changes, "configuration reloaded"
                        )
                    }
                    Action::Rollback => {
                        warn!(generation, took_ms, summary, changes, "rolled back")
                    }
                }
            }
            (Err(refused), action) => warn!(
                reason = refused.kind,
                "{} refused, generation {} serves on: {}",
                action.as_str(),
                self.current.load().id,
                refused.why
            ),
        }
        let at = SystemTime::now();
        let refused = result.as_ref().err();
        self.telemetry.reloads.count(action, at, took, refused);
        self.history().add(Record {
            action,
            at,
            took,
            result,
        });
    }

    /// A reload would undo a rollback, unless the file is put right before.
    fn warn_of_file(&self) {
        let file = self.source.name();
        match self.on_disk() {
            OnDisk::Same => info!(file, "the file on disk says what serves"),
            OnDisk::Differs(changes) => warn!(
                file,
                changes,
                "the file on disk differs from what serves: a reload or a restart would bring it back"
            ),
            OnDisk::Unusable(why) => warn!(
                file,
                why, "the file on disk is unusable: a reload would be refused, and a restart fail"
            ),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Warns of what an operator should know of a generation.
fn complain(generation: &Generation) {
    for complaint in generation.complaints() {
        warn!("{complaint}");
    }
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
    /// Something could not be built.
    Build(BuildErrors),
    /// There is no generation to return to.
    NothingBefore,
}

impl ReloadError {
    /// The kind of reason, as the metrics count it.
    pub fn kind(&self) -> &'static str {
        match self {
            ReloadError::Load(LoadError::Unreadable { .. }) => "unreadable",
            ReloadError::Load(LoadError::Mistakes(_)) => "mistakes",
            ReloadError::Fixed(_) => "needs_restart",
            ReloadError::TooManyAlive(_) => "generations",
            ReloadError::Build(_) => "build",
            ReloadError::NothingBefore => "nothing_before",
        }
    }
}

impl From<LoadError> for ReloadError {
    fn from(error: LoadError) -> Self {
        ReloadError::Load(error)
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
                    "{alive} generations are alive, with the one kept for a rollback and those that requests still run on: the limit is server.limits.generations"
                )
            }
            ReloadError::Build(errors) => errors.fmt(f),
            ReloadError::NothingBefore => f.write_str(
                "no generation is kept to return to: nothing was reloaded since the start or since the last rollback",
            ),
        }
    }
}

impl std::error::Error for LoadError {}
impl std::error::Error for ReloadError {}
