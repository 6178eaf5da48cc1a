//! The driver of the current thread, and the hooks that turn it.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Waker;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::JoinHandle;

use crate::driver::Driver;
use crate::key::Key;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::shared::Shared;
use crate::watch;

/// Times that the park hook turns the ring again because of what its wakers did.
const TURNS_PER_PARK_MAX: usize = 4;

/// Times that streams may do without the ring before the event loop parks.
const ASKED_MAX: usize = 512;

thread_local! {
    static DRIVER: RefCell<Option<Driver>> = const { RefCell::new(None) };
    static OUTLOOK: Outlook = const { Outlook::new() };
}

/// What a stream must know of its thread's ring to receive without it. The driver itself
/// is larger, and after an idle moment every line of it has to be fetched from memory.
struct Outlook {
    /// The ring, if connections are to make their own system calls.
    direct: Cell<Option<u64>>,
    /// Times that it was asked since the event loop last parked.
    asked: Cell<usize>,
    /// Receives that were made so since then.
    received: Cell<usize>,
    /// Times that the event loop has woken up and the ring was not told, since then.
    woken: Cell<usize>,
}

impl Outlook {
    const fn new() -> Self {
        Outlook {
            direct: Cell::new(None),
            asked: Cell::new(0),
            received: Cell::new(0),
            woken: Cell::new(0),
        }
    }
}

/// The current thread's ring, for as long as this value lives.
///
/// Dropping it cancels what is in flight and waits for the kernel to let go, two
/// seconds at most. Streams and listeners that are alive then fail from there on.
#[derive(Debug)]
pub struct Ring {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
    /// Keeps the ring's descriptor in tokio's epoll set, which is what wakes the
    /// event loop when it waits there.
    _wake: Arc<AsyncFd<OwnedFd>>,
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Ring {
    /// Gives the current thread a ring. To be called inside a current-thread runtime
    /// whose builder was given [`on_thread_park`], [`on_thread_unpark`] and `enable_all`.
    ///
    /// # Errors
    /// What the kernel refused, if io_uring is not to be had (see
    /// [`probe`](crate::probe)), `AlreadyExists` if the thread has a ring, or
    /// `Unsupported` outside a current-thread runtime.
    pub fn install(options: Options) -> io::Result<Ring> {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        if !matches!(flavor, Ok(RuntimeFlavor::CurrentThread)) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "not in a current-thread runtime",
            ));
        }
        if DRIVER.with_borrow(Option::is_some) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "this thread has a ring",
            ));
        }
        let shared = Arc::new(Shared::new());
        let driver = Driver::new(options, shared.clone())?;
        // SAFETY: the safe constructors of `AsyncFd` take only types that they know to keep
        // their descriptor. This one is owned, and stays open and the same until the
        // `AsyncFd` that owns it is dropped.
        let wake =
            unsafe { AsyncFd::register_with_interest(driver.ring_fd()?, Interest::READABLE) }?;
        let wake = Arc::new(wake);
        watch::enrol(&shared)?;
        OUTLOOK.with(|outlook| outlook.direct.set(driver.direct()));
        DRIVER.set(Some(driver));
        let tasks = [
            tokio::spawn(follow_nudges(shared.clone())),
            tokio::spawn(follow_descriptor(shared.clone(), wake.clone())),
        ];
        Ok(Ring {
            shared,
            tasks,
            _wake: wake,
            _not_send: std::marker::PhantomData,
        })
    }

    /// The ring's counters, readable from any thread.
    pub fn metrics(&self) -> RingMetrics {
        RingMetrics(self.shared.clone())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        // Neither fails, unless the thread is so far at its end that its driver has been
        // dropped already.
        let driver = DRIVER.try_with(|cell| cell.try_borrow_mut().ok()?.take());
        // Fails in the same case.
        let _ = OUTLOOK.try_with(|outlook| outlook.direct.set(None));
        let Ok(Some(mut driver)) = driver else { return };
        driver.stop();
        let wakers = std::mem::take(&mut driver.wakers);
        drop(driver);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A ring's counters, which outlive the ring.
#[derive(Clone, Debug)]
pub struct RingMetrics(Arc<Shared>);

impl std::ops::Deref for RingMetrics {
    type Target = Metrics;

    fn deref(&self) -> &Metrics {
        &self.0.metrics
    }
}

/// To be called before the runtime's thread parks: submits what tasks have queued and
/// takes what has completed.
pub fn on_thread_park() {
    let mut may_wait = true;
    let queued = wake_after(|driver| {
        look_out(driver, |driver| may_wait = driver.park());
        if !may_wait && driver.wakers.is_empty() {
            // Tokio waits in epoll unless there is a task to run.
            driver.shared.nudge();
        }
    });
    if !queued {
        return;
    }
    for _ in 1..TURNS_PER_PARK_MAX {
        if !wake_after(Driver::turn) {
            return;
        }
    }
    with_driver(|driver| driver.shared.nudge());
}

/// To be called after the runtime's thread has woken up: takes what has completed, unless
/// the ring's descriptor will tell of that.
pub fn on_thread_unpark() {
    OUTLOOK.with(|outlook| match outlook.direct.get() {
        Some(_) => outlook.woken.set(outlook.woken.get() + 1),
        None => {
            wake_after(|driver| {
                driver.count_wakeups(1);
                driver.collect();
            });
        }
    });
}

/// A turn: tells the driver what was done without it, and the streams how to go on.
fn look_out(driver: &mut Driver, turn: impl FnOnce(&mut Driver)) {
    OUTLOOK.with(|outlook| {
        driver.count_direct(outlook.received.take());
        driver.count_wakeups(outlook.woken.take());
        turn(driver);
        outlook.direct.set(driver.direct());
        outlook.asked.set(0);
    });
}

/// Runs `work` on the driver, then wakes whom it says, with the driver free again.
/// True if those who were woken have queued more, at once.
fn wake_after(work: impl FnOnce(&mut Driver)) -> bool {
    let woken = DRIVER.with_borrow_mut(|driver| {
        let driver = driver.as_mut()?;
        work(driver);
        let none = driver.wakers.is_empty() && driver.retired.is_empty();
        (!none).then(|| {
            (
                std::mem::take(&mut driver.wakers),
                std::mem::take(&mut driver.retired),
            )
        })
    });
    let Some((mut wakers, mut retired)) = woken else {
        return false;
    };
    wakers.drain(..).for_each(Waker::wake);
    retired.clear();
    DRIVER.with_borrow_mut(|driver| {
        let Some(driver) = driver else { return false };
        // The lists' allocations serve the next turn.
        if driver.wakers.is_empty() {
            driver.wakers = wakers;
        }
        if driver.retired.is_empty() {
            driver.retired = retired;
        }
        driver.has_queued()
    })
}

/// Turns the ring when something asks for it that is not the event loop.
async fn follow_nudges(shared: Arc<Shared>) {
    loop {
        shared.nudged.notified().await;
        if shared.take_stuck() {
            wake_after(|driver| look_out(driver, Driver::turn_late));
        } else {
            wake_after(Driver::turn);
        }
    }
}

/// Sees to the completions that the ring's descriptor reports. A loop that does without the
/// ring has nobody else to take them. Any other takes them when it parks or wakes up, but one
/// that never parks only looks into its epoll set: that is watched.
async fn follow_descriptor(shared: Arc<Shared>, wake: Arc<AsyncFd<OwnedFd>>) {
    // It fails when the runtime shuts down.
    while let Ok(mut readiness) = wake.readable().await {
        readiness.clear_ready();
        if OUTLOOK.with(|outlook| outlook.direct.get().is_some()) {
            wake_after(Driver::collect);
        } else {
            shared.watch();
        }
    }
}

/// Runs `work` on the current thread's driver, if there is one.
fn with_driver<R>(work: impl FnOnce(&mut Driver) -> R) -> Option<R> {
    DRIVER.with_borrow_mut(|driver| driver.as_mut().map(work))
}

/// Where a stream lives: its ring and its slot there.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) key: Key,
    shared: Arc<Shared>,
}

/// The thread that polls a stream is not the one that owns it.
fn foreign() -> io::Error {
    io::Error::other("polled outside the thread that owns the connection's ring")
}

/// The ring was stopped while the stream was alive.
pub(crate) fn gone() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the connection's ring has been stopped",
    )
}

impl Home {
    /// Puts something into the current thread's ring.
    pub(crate) fn new(place: impl FnOnce(&mut Driver) -> io::Result<Key>) -> io::Result<Home> {
        DRIVER.with_borrow_mut(|driver| {
            let driver = driver
                .as_mut()
                .ok_or_else(|| io::Error::other("this thread has no ring"))?;
            let key = place(driver)?;
            Ok(Home {
                key,
                shared: driver.shared.clone(),
            })
        })
    }

    /// Whether the stream may receive without its ring. Then it is on its ring's thread.
    /// A loop that asks and asks, but never parks, is told to go by the ring, which turns
    /// when it has been polled too often.
    pub(crate) fn is_direct(&self) -> bool {
        OUTLOOK.with(|outlook| {
            outlook.asked.set(outlook.asked.get() + 1);
            outlook.direct.get() == Some(self.shared.id) && outlook.asked.get() < ASKED_MAX
        })
    }

    /// Counts a receive that was made without the ring.
    pub(crate) fn received_directly(&self) {
        OUTLOOK.with(|outlook| outlook.received.set(outlook.received.get() + 1));
    }

    /// Runs `work` on the ring that this belongs to, if that is the current thread's.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Driver, Key) -> R) -> io::Result<R> {
        let (result, retired, overdue) = DRIVER.with_borrow_mut(|driver| {
            let driver = driver
                .as_mut()
                .filter(|driver| driver.shared.id == self.shared.id);
            let driver = driver.ok_or_else(|| self.refusal())?;
            let result = work(driver, self.key);
            Ok::<_, io::Error>((result, driver.retired.pop(), driver.is_overdue()))
        })?;
        // Dropped only here, when the driver is free again: a poll retires one waker at most.
        drop(retired);
        if overdue {
            wake_after(|driver| look_out(driver, Driver::turn_early));
        }
        Ok(result)
    }

    fn refusal(&self) -> io::Error {
        if self.shared.is_stopped() {
            return gone();
        }
        self.shared.metrics.foreign_polls.add_shared(1);
        foreign()
    }

    /// Brings the slot to its end with `work`, here or, if this is not the ring's
    /// thread or the driver is at work, at its next turn.
    pub(crate) fn leave(&self, work: impl FnOnce(&mut Driver, Key)) {
        let done = DRIVER.try_with(|cell| {
            let Ok(mut driver) = cell.try_borrow_mut() else {
                return None;
            };
            let driver = driver
                .as_mut()
                .filter(|driver| driver.shared.id == self.shared.id)?;
            work(driver, self.key);
            Some(std::mem::take(&mut driver.retired))
        });
        match done {
            // Dropped only here, when the driver is free again.
            Ok(Some(retired)) => drop(retired),
            _ => self.abandon(),
        }
    }

    fn abandon(&self) {
        if !self.shared.is_stopped() {
            self.shared.metrics.foreign_drops.add_shared(1);
            self.shared.orphan(self.key);
        }
    }
}
