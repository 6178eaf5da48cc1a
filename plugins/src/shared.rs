//! What survives a reload: counters, stores, key sets.
//!
//! Each generation of the configuration builds its plugins anew. What must not begin
//! anew with them is kept here under a name, and found again by the next generation.
//! Nothing here keeps it alive: it goes with the last generation that holds it.

#[cfg(test)]
mod tests;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type Anything = dyn Any + Send + Sync;

/// Things that generations share, by type, kind and name. There are at most twice as
/// many entries as things alive.
#[derive(Default)]
pub struct Shared {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_name: BTreeMap<Key, Weak<Anything>>,
    /// How many were alive when those that are gone were last removed.
    alive: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    of: TypeId,
    kind: &'static str,
    name: Box<str>,
}

impl Shared {
    /// The thing of this type, kind and name that an earlier generation made, or a new
    /// one. The kind is the plugin's name, so that two plugins which happen to keep the
    /// same type under the same name do not share it.
    pub fn keep<T: Any + Send + Sync>(
        &self,
        kind: &'static str,
        name: &str,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let key = Key {
            of: TypeId::of::<T>(),
            kind,
            name: name.into(),
        };
        if let Some(kept) = self.lock().find(&key) {
            return kept;
        }
        // Made outside the lock, since making it may keep something else.
        let made = Arc::new(make());
        let mut entries = self.lock();
        match entries.find(&key) {
            Some(kept) => kept,
            None => {
                entries.insert(key, &made);
                made
            }
        }
    }

    /// Every thing of this type that is alive, in the order of kind and name.
    pub fn alive<T: Any + Send + Sync>(&self) -> Vec<Arc<T>> {
        let of = TypeId::of::<T>();
        let entries = self.lock();
        let entries = entries.by_name.iter().filter(|(key, _)| key.of == of);
        entries
            .filter_map(|(_, thing)| thing.upgrade()?.downcast().ok())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing panics between two changes that belong together.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn find<T: Any + Send + Sync>(&self, key: &Key) -> Option<Arc<T>> {
        self.by_name.get(key)?.upgrade()?.downcast().ok()
    }

    fn insert<T: Any + Send + Sync>(&mut self, key: Key, thing: &Arc<T>) {
        // Each look at all entries is paid for by as many insertions before it.
        if self.by_name.len() > self.alive.saturating_mul(2) {
            self.by_name.retain(|_, thing| thing.strong_count() > 0);
            self.alive = self.by_name.len();
        }
        let thing: Arc<Anything> = thing.clone();
        self.by_name.insert(key, Arc::downgrade(&thing));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.lock();
        let names = entries.by_name.keys().map(|key| (key.kind, &key.name));
        f.debug_set().entries(names).finish()
    }
}
