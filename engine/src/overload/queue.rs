//! Requests that wait until others have ended: by class, in each class tenant by tenant, so
//! many and so long.
//!
//! Whoever ends looks whether anybody waits, after it has stopped counting; whoever waits looks
//! whether there is room, after it is seen to wait. So one of the two sees the other.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use penstock_config::server::{self, Priority};
use tokio::sync::oneshot;

use super::{Admitted, Overload, Shed};

/// Who waits, and how many may be under way.
pub(super) struct Queue {
    concurrency: u32,
    /// How many may be, of the other classes.
    unreserved: u32,
    length: usize,
    per_tenant: usize,
    timeout: Duration,
    waiting: AtomicUsize,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    last: u64,
    classes: [Line; Priority::ALL.len()],
}

/// Those who wait in a class.
#[derive(Default)]
struct Line {
    len: usize,
    tenants: HashMap<Arc<str>, VecDeque<Place>>,
    /// Tenants that have somebody waiting, each once, in their turn.
    turns: VecDeque<Arc<str>>,
}

struct Place {
    number: u64,
    call: oneshot::Sender<Admitted>,
}

/// A request that waits. Its place is free again when this is dropped.
pub struct Waiting {
    overload: Arc<Overload>,
    class: Priority,
    tenant: Arc<str>,
    number: u64,
    called: oneshot::Receiver<Admitted>,
}

impl Queue {
    /// None if any number of requests may be under way.
    pub(super) fn new(written: &server::Overload) -> Option<Queue> {
        let concurrency = written.concurrency?;
        let reserved = u64::from(concurrency) * u64::from(written.reserved) / 100;
        let unreserved = u64::from(concurrency).saturating_sub(reserved).max(1);
        Some(Queue {
            concurrency,
            unreserved: u32::try_from(unreserved).unwrap_or(u32::MAX),
            length: usize::try_from(written.queue.length).unwrap_or(usize::MAX),
            per_tenant: usize::try_from(written.queue.per_tenant).unwrap_or(usize::MAX),
            timeout: written.queue.timeout.get(),
            waiting: AtomicUsize::new(0),
            lines: Mutex::default(),
        })
    }

    /// How many requests may be under way for another one of this class to join them.
    pub(super) fn max(&self, class: Priority) -> u32 {
        match class {
            Priority::High => self.concurrency,
            Priority::Normal | Priority::Low => self.unreserved,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// How many wait in each class.
    pub(super) fn waiting(&self) -> [usize; Priority::ALL.len()] {
        let lines = self.lines.lock();
        lines.classes.each_ref().map(|line| line.len)
    }

    /// Lets those in for whom there is room by now.
    pub(super) fn call(&self, overload: &Arc<Overload>) {
        let mut lines = self.lines.lock();
        for class in Priority::ALL {
            let max = self.max(class);
            while lines.line(class).len > 0
                && let Some(admitted) = overload.take(max)
            {
                let Some(place) = lines.line(class).next() else {
                    // Nobody is left, and this must not end while the lines are locked.
                    drop(lines);
                    return drop(admitted);
                };
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                // Whoever leaves takes its place out of the line first: it is there to hear.
                let _ = place.call.send(admitted);
            }
        }
    }
}

impl Lines {
    fn line(&mut self, class: Priority) -> &mut Line {
        let [high, normal, low] = &mut self.classes;
        match class {
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Low => low,
        }
    }
}

impl Line {
    fn push(&mut self, tenant: &Arc<str>, place: Place) {
        let places = self.tenants.entry(tenant.clone()).or_default();
        if places.is_empty() {
            self.turns.push_back(tenant.clone());
        }
        places.push_back(place);
        self.len += 1;
    }

    /// The first of the tenant whose turn it is.
    fn next(&mut self) -> Option<Place> {
        let tenant = self.turns.pop_front()?;
        let places = self.tenants.get_mut(&tenant)?;
        let place = places.pop_front()?;
        self.len -= 1;
        if places.is_empty() {
            self.tenants.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        Some(place)
    }

    /// Takes somebody out; none if that one was called already.
    fn remove(&mut self, tenant: &Arc<str>, number: u64) -> Option<Place> {
        let places = self.tenants.get_mut(tenant)?;
        let at = places.iter().position(|place| place.number == number)?;
        let place = places.remove(at);
        self.len -= 1;
        if places.is_empty() {
            self.tenants.remove(tenant);
            self.turns.retain(|turn| turn != tenant);
        }
        place
    }
}

impl Waiting {
    /// Joins a line.
    ///
    /// # Errors
    /// It is full, or has as many of this tenant as it may have.
    pub(super) fn new(
        overload: &Arc<Overload>,
        queue: &Queue,
        class: Priority,
        tenant: Arc<str>,
    ) -> Result<Waiting, Shed> {
        let (call, called) = oneshot::channel();
        let number = {
            let mut lines = queue.lines.lock();
            lines.last += 1;
            let number = lines.last;
            let line = lines.line(class);
            if line.len >= queue.length {
                return Err(Shed::QueueFull);
            }
            let own = line.tenants.get(&tenant).map_or(0, VecDeque::len);
            if own >= queue.per_tenant {
                return Err(Shed::QueueOfTenant);
            }
            line.push(&tenant, Place { number, call });
            queue.waiting.fetch_add(1, Ordering::SeqCst);
            number
        };
        queue.call(overload);
        Ok(Waiting {
            overload: overload.clone(),
            class,
            tenant,
            number,
            called,
        })
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// It does not come in time.
    pub async fn turn(&mut self) -> Result<Admitted, Shed> {
        let timeout = self.overload.queue.as_ref().map(|queue| queue.timeout);
        let called = tokio::time::timeout(timeout.unwrap_or_default(), &mut self.called);
        match called.await {
            Ok(Ok(admitted)) => Ok(admitted),
            Ok(Err(_)) | Err(_) => Err(Shed::QueueTimeout),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(queue) = &self.overload.queue else {
            return;
        };
        let mut lines = queue.lines.lock();
        let place = lines.line(self.class).remove(&self.tenant, self.number);
        drop(lines);
        if place.is_some() {
            queue.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("class", &self.class)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
