//! Places for things that run beside requests, so that they are never too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many places are taken. Generations share it.
#[derive(Debug, Default)]
pub struct Places(AtomicU32);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Places>);

impl Places {
    /// Takes one, if fewer than `most` are taken.
    pub fn take(self: &Arc<Self>, most: u32) -> Option<Place> {
        let more = |taken| (taken < most).then_some(taken + 1);
        // Nothing else is ordered by it.
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_and_each_can_be_taken_again() {
        let places = Arc::new(Places::default());
        let one = places.take(2);
        let other = places.take(2);
        assert!(one.is_some() && other.is_some());
        assert!(places.take(2).is_none());
        assert!(places.take(3).is_some(), "a later generation may have more");
        drop(one);
        assert!(places.take(2).is_some());
    }
}
