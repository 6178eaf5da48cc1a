//! Sees to it that rings turn whose event loops do not turn them.
//!
//! A ring is turned when its thread's event loop is about to park, or has polled streams
//! often without that. Tasks that yield for ever and poll none keep it from both, and with it
//! the operations that wait to be handed over. One thread for the whole process looks at the
//! rings that have queued something, and has those turned that made no turn since its last
//! look. A timer in each loop would do
//! as well, but would be set anew with every wait, which is dear in a virtual machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;
use std::{io, thread};

use crate::shared::Shared;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Looks without a ring to look after before the thread sleeps until there is one.
const IDLE_LOOKS_MAX: u32 = 8;

static RINGS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());
static THREAD: OnceLock<Thread> = OnceLock::new();
static ASLEEP: AtomicBool = AtomicBool::new(false);

/// Looks after a ring for as long as it lives.
///
/// # Errors
/// The thread could not be started.
pub(crate) fn enrol(ring: &Arc<Shared>) -> io::Result<()> {
    let mut rings = RINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if THREAD.get().is_none() {
        let watcher = thread::Builder::new().name("penstock-watch".into());
        let watcher = watcher.spawn(look_for_ever)?;
        // The lock is held: nobody else sets it.
        let _ = THREAD.set(watcher.thread().clone());
    }
    rings.retain(|ring| ring.strong_count() > 0);
    rings.push(Arc::downgrade(ring));
    Ok(())
}

/// A ring that was not looked after has queued something.
pub(crate) fn wake() {
    if ASLEEP.load(Ordering::SeqCst)
        && let Some(thread) = THREAD.get()
    {
        thread.unpark();
    }
}

fn look_for_ever() {
    let mut idle_looks = 0;
    loop {
        thread::sleep(LOOK);
        if look() {
            idle_looks = 0;
            continue;
        }
        idle_looks += 1;
        if idle_looks >= IDLE_LOOKS_MAX {
            ASLEEP.store(true, Ordering::SeqCst);
            // A ring that began to be watched before it could see the flag is seen here.
            if !look() {
                thread::park();
            }
            ASLEEP.store(false, Ordering::SeqCst);
            idle_looks = 0;
        }
    }
}

/// True if any ring is looked after.
fn look() -> bool {
    let rings = RINGS.lock().unwrap_or_else(PoisonError::into_inner);
    let alive = rings.iter().filter_map(Weak::upgrade);
    // Each is looked at, whatever the others say.
    alive.filter(|ring| ring.look()).count() > 0
}
