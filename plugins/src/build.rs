//! What building a chain may read, and why it may fail.
//!
//! A plugin that names files, secrets or the time asks [`Materials`] for them when it
//! is built, so that it knows no file system and its tests need none.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use penstock_config::unit::{Name, Secret};
use penstock_config::{Mistake, Report};

/// What a plugin may read while it is built, which happens off the request path.
pub trait Materials: Send + Sync {
    /// The content of a file, read anew at each build.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or it is too large.
    fn file(&self, path: &Path) -> Result<Bytes, Unreadable>;

    /// The secret that a reference of the configuration stands for. A line break at its
    /// end is not part of it.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is empty.
    fn secret(&self, secret: &Secret) -> Result<SecretBytes, Unreadable>;

    /// The time since the Unix epoch.
    fn now(&self) -> Duration;
}

/// A secret that was read. No message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// The secret of what was read from `from`: without one line break at its end.
    ///
    /// # Errors
    /// Nothing is left.
    pub fn new(from: &Secret, read: &[u8]) -> Result<Self, Unreadable> {
        let bytes = read.strip_suffix(b"\n").unwrap_or(read);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match bytes {
            [] => Err(Unreadable::new(from, "it is empty")),
            bytes => Ok(Self(bytes.into())),
        }
    }

    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(***)")
    }
}

/// Something that the configuration names could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    what: String,
    why: String,
}

impl Unreadable {
    /// `what` is a path or a variable's name, and `why` holds nothing of its content.
    pub fn new(what: impl fmt::Display, why: impl Into<String>) -> Self {
        Self {
            what: what.to_string(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be read: {}", self.what, self.why)
    }
}

impl std::error::Error for Unreadable {}

/// Materials that are given beforehand: for tests, benches and examples.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Files by path.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Environment variables by name.
    pub environment: BTreeMap<String, String>,
    /// The time since the Unix epoch.
    pub now: Duration,
}

impl Materials for Given {
    fn file(&self, path: &Path) -> Result<Bytes, Unreadable> {
        let found = self.files.get(path).cloned().map(Bytes::from);
        found.ok_or_else(|| Unreadable::new(path.display(), "there is no such file"))
    }

    fn secret(&self, secret: &Secret) -> Result<SecretBytes, Unreadable> {
        match secret {
            Secret::Env(name) => match self.environment.get(name) {
                Some(value) => SecretBytes::new(secret, value.as_bytes()),
                None => Err(Unreadable::new(secret, "it is not set")),
            },
            Secret::File(path) => SecretBytes::new(secret, &self.file(path)?),
        }
    }

    fn now(&self) -> Duration {
        self.now
    }
}

/// Why a plugin could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginError {
    /// It names something that cannot be read.
    Unreadable(Unreadable),
    /// A file that it names has mistakes. Their messages are shown, the file's lines
    /// are not: they may hold what must stay secret.
    File {
        /// The file.
        path: PathBuf,
        /// The mistakes in it.
        mistakes: Vec<Mistake>,
    },
    /// Its settings do not fit together, or not with the rest of the configuration.
    Unfit(String),
}

impl PluginError {
    /// What is wrong with a file that the plugin names.
    pub fn file(path: impl Into<PathBuf>, report: &Report) -> Self {
        Self::File {
            path: path.into(),
            mistakes: report.mistakes().to_vec(),
        }
    }
}

impl From<Unreadable> for PluginError {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error)
    }
}

impl fmt::Display for PluginError {
    /// One line, or for a file one line for each mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::File { path, mistakes } => {
                for (index, mistake) in mistakes.iter().enumerate() {
                    let line_break = if index > 0 { "\n" } else { "" };
                    write!(f, "{line_break}{}:{mistake}", path.display())?;
                }
                Ok(())
            }
            Self::Unfit(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for PluginError {}

/// Something of a configuration that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// The route that it belongs to; none for the chain of all routes.
    pub route: Option<Name>,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong with a part of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A target names an upstream that does not exist. [`penstock_config::parse`]
    /// refuses such a file with the place of the mistake; this is for configurations
    /// made otherwise.
    UnknownUpstream(Name),
    /// No target has a weight above zero; as for an unknown upstream.
    NoWeight,
    /// The route has an authenticator of its own, and a route of the table matches by
    /// model.
    LateAuthenticator,
    /// The database of countries cannot be used.
    GeoIp(PluginError),
    /// A plugin cannot be built.
    Plugin {
        /// Its place in its chain, from zero.
        index: usize,
        /// Why.
        error: PluginError,
    },
}

impl BuildError {
    /// Of no route alone.
    pub(crate) fn of_all(cause: Cause) -> Self {
        Self { route: None, cause }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(route) = &self.route {
            write!(f, "route `{route}`: ")?;
        }
        match &self.cause {
            Cause::UnknownUpstream(name) => write!(f, "there is no upstream `{name}`"),
            Cause::NoWeight => crate::split::NoWeight.fmt(f),
            Cause::LateAuthenticator => f.write_str(
                "it has an authenticator of its own, which would have to wait for the body while \
                 any route matches by model: move the authenticator to the global chain, or match \
                 no route by model",
            ),
            Cause::GeoIp(error) => write!(f, "geoip.file: {error}"),
            Cause::Plugin { index, error } => match error {
                PluginError::File { .. } => write!(f, "chain[{index}]:\n{error}"),
                _ => write!(f, "chain[{index}]: {error}"),
            },
        }
    }
}

impl std::error::Error for BuildError {}
