//! Handles of what the configuration names, for as long as a generation names it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

type ByName<T> = BTreeMap<Box<str>, Weak<T>>;

/// Handles by name. Those that nobody holds any more are here until they are forgotten,
/// so that a name that is back before that goes on counting.
pub(super) struct Named<T>(Mutex<ByName<T>>);

impl<T> Named<T> {
    pub(super) fn new() -> Named<T> {
        Named(Mutex::default())
    }

    /// The handles of this name that somebody holds, or new ones.
    pub(super) fn of(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let mut by_name = self.lock();
        if let Some(held) = by_name.get(name).and_then(Weak::upgrade) {
            return held;
        }
        let made = Arc::new(make());
        by_name.insert(name.into(), Arc::downgrade(&made));
        made
    }

    /// Forgets the names whose handles nobody holds, and says which.
    pub(super) fn forget_gone(&self, mut gone: impl FnMut(&str)) {
        // Locked to the end: nobody makes handles for a series that is being removed.
        self.lock().retain(|name, handles| {
            let is_held = handles.strong_count() > 0;
            if !is_held {
                gone(name);
            }
            is_held
        });
    }

    fn lock(&self) -> MutexGuard<'_, ByName<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
