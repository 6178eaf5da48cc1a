//! An issuer's keys, and when to fetch them again.

mod schedule;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use penstock_config::plugin::jwt::JwksUrl;

use super::keys::{Keys, KeysFault};
use schedule::Schedule;

/// An issuer's keys: those of a file, which stay as they are, or those of a URL, which
/// are fetched again beside the requests.
///
/// This crate fetches nothing. Whoever does asks [`is_due`](Self::is_due) from time to
/// time, and says what came of it with [`fetched`](Self::fetched) or
/// [`failed`](Self::failed). Keys that were fetched once serve until others replace
/// them, however long the URL does not answer.
pub struct KeySet {
    now: ArcSwap<Snapshot>,
    remote: Option<Remote>,
}

struct Remote {
    url: JwksUrl,
    ca: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    schedule: Schedule,
    status: Status,
}

/// The keys at one moment.
pub(super) struct Snapshot {
    /// Counts the sets that differ from their predecessor. What was found genuine with
    /// one set must be looked at again with the next: its key may be gone.
    pub(super) generation: u64,
    /// None before the first set arrived.
    pub(super) keys: Option<Keys>,
}

/// How the keys of a URL are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Fetches that brought a set, the same one or another.
    pub fetched: u64,
    /// Fetches that brought something else.
    pub unusable: u64,
    /// Fetches that brought nothing.
    pub failed: u64,
    /// When the keys were last fetched, since the Unix epoch.
    pub fetched_at: Option<Duration>,
    /// How many keys serve.
    pub keys: usize,
    /// How many keys of the set are of no use.
    pub skipped: usize,
}

impl KeySet {
    /// Keys that stay as they are.
    pub fn fixed(keys: Keys) -> Self {
        Self {
            now: ArcSwap::from_pointee(Snapshot {
                generation: 0,
                keys: Some(keys),
            }),
            remote: None,
        }
    }

    /// Keys that are yet to be fetched from a URL.
    pub fn remote(
        url: JwksUrl,
        ca: Option<PathBuf>,
        refresh: Duration,
        cooldown: Duration,
    ) -> Self {
        Self {
            now: ArcSwap::from_pointee(Snapshot {
                generation: 0,
                keys: None,
            }),
            remote: Some(Remote {
                url,
                ca,
                state: Mutex::new(State {
                    schedule: Schedule::new(refresh, cooldown),
                    status: Status::default(),
                }),
            }),
        }
    }

    /// Changes how often the keys are fetched.
    pub fn set_pace(&self, refresh: Duration, cooldown: Duration) {
        if let Some(remote) = &self.remote {
            remote.state.lock().schedule.set_pace(refresh, cooldown);
        }
    }

    /// Where to fetch the keys, and by which authorities to know the server; none for
    /// keys that stay as they are.
    pub fn source(&self) -> Option<(&JwksUrl, Option<&Path>)> {
        let remote = self.remote.as_ref()?;
        Some((&remote.url, remote.ca.as_deref()))
    }

    /// Whether the keys are to be fetched now. Who hears so must do it, and nobody else
    /// hears so before it is done or a minute is over.
    pub fn is_due(&self, now: Duration) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.state.lock().schedule.is_due(now))
    }

    /// Takes what the URL answered. A set of keys replaces the one before; anything
    /// else changes nothing.
    ///
    /// # Errors
    /// Why the answer is no set of keys.
    pub fn fetched(&self, body: &[u8], now: Duration) -> Result<(), KeysFault> {
        let Some(remote) = &self.remote else {
            return Ok(());
        };
        let keys = Keys::from_jwks(body);
        let mut state = remote.state.lock();
        match keys {
            Ok(keys) => {
                state.schedule.fetched(now);
                state.status.fetched += 1;
                state.status.fetched_at = Some(now);
                state.status.keys = keys.count();
                state.status.skipped = keys.skipped().len();
                // Under the lock, so that of two sets the later one stays.
                let old = self.now.load();
                if old.keys.as_ref() != Some(&keys) {
                    self.now.store(Arc::new(Snapshot {
                        generation: old.generation + 1,
                        keys: Some(keys),
                    }));
                }
                Ok(())
            }
            Err(fault) => {
                state.schedule.failed(now);
                state.status.unusable += 1;
                Err(fault)
            }
        }
    }

    /// Notes that the URL did not answer as it should.
    pub fn failed(&self, now: Duration) {
        if let Some(remote) = &self.remote {
            let mut state = remote.state.lock();
            state.schedule.failed(now);
            state.status.failed += 1;
        }
    }

    /// Whether there are keys to judge tokens by.
    pub fn is_ready(&self) -> bool {
        self.now.load().keys.is_some()
    }

    /// How the keys are doing; none for keys that stay as they are.
    pub fn status(&self) -> Option<Status> {
        let remote = self.remote.as_ref()?;
        Some(remote.state.lock().status)
    }

    /// The keys at this moment.
    pub(super) fn snapshot(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.now.load()
    }

    /// Asks for the keys because a token names one that is not here. Says whether they
    /// will be fetched, or are being fetched, so that it is worth to ask again soon.
    pub(super) fn want(&self, now: Duration) -> bool {
        let remote = self.remote.as_ref();
        remote.is_some_and(|remote| remote.state.lock().schedule.want(now))
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.now.load();
        f.debug_struct("KeySet")
            .field("source", &self.source())
            .field("generation", &snapshot.generation)
            .field("keys", &snapshot.keys)
            .finish()
    }
}

#[cfg(test)]
mod tests;
