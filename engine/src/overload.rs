//! What is given up when memory or descriptors run short: new work, early, so that what is
//! under way goes on.
//!
//! A thread of its own [looks](monitor) at both and publishes what is left in a few numbers.
//! Connections and requests are counted as they come and go, so that between two looks as
//! many are taken as there is room for, and no more.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use penstock_config::server::{self, Priority};
use tokio::sync::watch;

use crate::telemetry::Outcome;

pub mod descriptors;
mod memory;
pub mod monitor;
mod queue;

use descriptors::Descriptors;
use memory::Memory;
use queue::Queue;
pub use queue::Waiting;

/// Connections that are accepted however short memory is: if it stays short with nothing
/// under way, it is the allocator that keeps it, which only work can change.
const ALWAYS_ACCEPTED: u32 = 16;

/// How short of something the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of nothing.
    #[default]
    Calm,
    /// New requests are refused.
    Shedding,
    /// No connections are accepted.
    Paused,
}

/// Why new work is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// Memory is short.
    Memory,
    /// Descriptors are short.
    Descriptors,
    /// The bodies of requests take all the memory that they may.
    Bodies,
    /// As many wait as may, in the class of the request.
    QueueFull,
    /// As many of its tenant wait as may.
    QueueOfTenant,
    /// It has waited as long as it may.
    QueueTimeout,
}

impl Shed {
    /// Whether what the connection takes is needed for others.
    pub fn closes(self) -> bool {
        matches!(self, Shed::Memory | Shed::Descriptors | Shed::Bodies)
    }
}

impl Outcome for Shed {
    const ALL: &[Shed] = &[
        Shed::Memory,
        Shed::Descriptors,
        Shed::Bodies,
        Shed::QueueFull,
        Shed::QueueOfTenant,
        Shed::QueueTimeout,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Shed::Memory => "memory",
            Shed::Descriptors => "descriptors",
            Shed::Bodies => "bodies",
            Shed::QueueFull => "queue_full",
            Shed::QueueOfTenant => "queue_of_tenant",
            Shed::QueueTimeout => "queue_timeout",
        }
    }
}

/// What is left of memory and descriptors, and what is under way. All workers share it.
pub struct Overload {
    counts: Counts,
    /// Requests that may be under way.
    requests_max: AtomicU32,
    /// Requests that were under way at the last look. One that has ended since may have left
    /// its connection to the upstream open.
    requests_seen: AtomicU32,
    /// Connections and requests that there may be together for another request to find a
    /// descriptor.
    request_room: AtomicI64,
    /// The same for another connection.
    connection_room: AtomicI64,
    /// The level once more, for those who ask at each request.
    level_now: AtomicU8,
    level: watch::Sender<Level>,
    memory: Option<Memory>,
    descriptors: Option<Descriptors>,
    shed_at: u8,
    pause_at: u8,
    queue: Option<Queue>,
}

/// Connections of clients in the upper half, and requests under way in the lower. On a cache
/// line of its own, since all workers write it.
#[repr(align(128))]
struct Counts(AtomicU64);

const CONNECTION: u64 = 1 << 32;

/// What is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnderWay {
    /// Connections of clients.
    pub connections: u32,
    /// Requests that have gone or may go to an upstream.
    pub requests: u32,
}

impl UnderWay {
    fn unpack(counts: u64) -> UnderWay {
        UnderWay {
            connections: (counts >> 32) as u32,
            requests: counts as u32,
        }
    }

    /// Descriptors that they take, with one for the upstream of each request.
    fn descriptors(self) -> i64 {
        i64::from(self.connections) + i64::from(self.requests)
    }

    /// What there is at the least now and then.
    fn least(self, other: UnderWay) -> UnderWay {
        UnderWay {
            connections: self.connections.min(other.connections),
            requests: self.requests.min(other.requests),
        }
    }
}

/// A connection that counts for as long as this lives.
pub struct Connection(Arc<Overload>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.counts.0.fetch_sub(CONNECTION, Ordering::Relaxed);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// How a request is met.
pub enum Entrance {
    /// It is let through.
    Open(Admitted),
    /// It has to wait for its turn.
    Wait(Box<Waiting>),
}

/// A request that counts for as long as this lives.
pub struct Admitted(Arc<Overload>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.counts.0.fetch_sub(1, Ordering::SeqCst);
        self.0.call();
    }
}

impl Overload {
    /// As the operator wrote it, with the limits of the system where nothing is written.
    pub fn new(written: &server::Overload) -> Overload {
        let memory = Memory::new(written.memory.map(|size| size.bytes()));
        let descriptors = Descriptors::new(written.descriptors.map(u64::from));
        let limit = descriptors.as_ref().map(Descriptors::limit);
        Overload {
            counts: Counts(AtomicU64::new(0)),
            requests_max: AtomicU32::new(u32::MAX),
            requests_seen: AtomicU32::new(0),
            request_room: AtomicI64::new(room(limit, written.shed_at, 0)),
            connection_room: AtomicI64::new(room(limit, written.pause_at, 0)),
            level_now: AtomicU8::new(Level::Calm as u8),
            level: watch::Sender::new(Level::Calm),
            memory,
            descriptors,
            shed_at: written.shed_at,
            pause_at: written.pause_at,
            queue: Queue::new(written),
        }
    }

    /// What is under way.
    pub fn under_way(&self) -> UnderWay {
        UnderWay::unpack(self.counts.0.load(Ordering::Relaxed))
    }

    /// How short of something the process is, now and from now on.
    pub fn level(&self) -> watch::Receiver<Level> {
        self.level.subscribe()
    }

    /// Whether connections are to end with the answer under way.
    pub fn closes_connections(&self) -> bool {
        self.level_now.load(Ordering::Relaxed) == Level::Paused as u8
    }

    /// Descriptors that the process may have open; none if that is not known.
    pub fn descriptors_max(&self) -> Option<u64> {
        self.descriptors.as_ref().map(Descriptors::limit)
    }

    /// Memory that bodies of requests may take while they are kept.
    pub fn bodies_max(&self) -> u64 {
        let memory = self.memory.as_ref().map(Memory::limit);
        memory.map_or(u64::MAX, |limit| limit / 4)
    }

    /// Whether one more connection may be accepted, with a descriptor left for its upstream.
    pub fn accepts(&self) -> bool {
        let now = self.under_way();
        let is_short = self.taken(now) + 2 > self.connection_room.load(Ordering::Relaxed);
        let is_full = self.closes_connections() && now.connections >= ALWAYS_ACCEPTED;
        !is_short && !is_full
    }

    /// Counts a connection that was accepted.
    pub fn connected(self: &Arc<Self>) -> Connection {
        self.counts.0.fetch_add(CONNECTION, Ordering::Relaxed);
        Connection(self.clone())
    }

    /// Whether a request would be let through now.
    ///
    /// # Errors
    /// What there is too little of.
    pub fn look(&self) -> Result<(), Shed> {
        self.has_room(self.under_way())
    }

    /// Lets a request of this class through, or has it wait among those of its tenant.
    ///
    /// # Errors
    /// What there is too little of.
    pub fn admit(
        self: &Arc<Self>,
        class: Priority,
        tenant: impl FnOnce() -> Arc<str>,
    ) -> Result<Entrance, Shed> {
        let Some(queue) = &self.queue else {
            let before = self.counts.0.fetch_add(1, Ordering::Relaxed);
            let admitted = Admitted(self.clone());
            self.has_room(UnderWay::unpack(before))?;
            return Ok(Entrance::Open(admitted));
        };
        self.look()?;
        // Whoever comes while others wait does not pass them by.
        if queue.is_empty()
            && let Some(admitted) = self.take(queue.max(class))
        {
            return Ok(Entrance::Open(admitted));
        }
        let waiting = Waiting::new(self, queue, class, tenant())?;
        Ok(Entrance::Wait(Box::new(waiting)))
    }

    /// Lets a request through if there are fewer than so many.
    fn take(self: &Arc<Self>, max: u32) -> Option<Admitted> {
        let next = |counts| {
            let now = UnderWay::unpack(counts);
            let has_room = now.requests < max && self.has_room(now).is_ok();
            has_room.then(|| counts + 1)
        };
        let (ordering, counts) = (Ordering::SeqCst, &self.counts.0);
        counts.fetch_update(ordering, ordering, next).ok()?;
        Some(Admitted(self.clone()))
    }

    /// Lets those in who wait, as far as there is room.
    fn call(self: &Arc<Self>) {
        if let Some(queue) = &self.queue
            && !queue.is_empty()
        {
            queue.call(self);
        }
    }

    /// How many wait in each class.
    fn waiting(&self) -> [usize; Priority::ALL.len()] {
        self.queue.as_ref().map(Queue::waiting).unwrap_or_default()
    }

    /// Descriptors that are taken, as far as is known between two looks.
    fn taken(&self, now: UnderWay) -> i64 {
        let requests = self.requests_seen.load(Ordering::Relaxed);
        let requests = now.requests.max(requests);
        UnderWay { requests, ..now }.descriptors()
    }

    fn has_room(&self, before: UnderWay) -> Result<(), Shed> {
        if before.requests >= self.requests_max.load(Ordering::Relaxed) {
            return Err(Shed::Memory);
        }
        if self.taken(before) >= self.request_room.load(Ordering::Relaxed) {
            return Err(Shed::Descriptors);
        }
        Ok(())
    }
}

/// Descriptors for connections and requests below so many percent of the limit, where others
/// take so many.
fn room(limit: Option<u64>, percent: u8, others: i64) -> i64 {
    let Some(limit) = limit else { return i64::MAX };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    limit / 100 * i64::from(percent) + limit % 100 * i64::from(percent) / 100 - others
}

impl fmt::Debug for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overload")
            .field("under_way", &self.under_way())
            .field("level", &*self.level.borrow())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
