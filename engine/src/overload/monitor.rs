//! Looks at memory and descriptors, and says how much new work they allow.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use penstock_config::server::Priority;
use tracing::{info, warn};

use super::descriptors::Descriptors;
use super::memory::Memory;
use super::{Level, Overload, UnderWay, room};
use crate::live::Live;

/// How often it looks. A link of 10 Gbit/s brings 60 MB meanwhile; what of that is kept is
/// counted as it comes.
const PAUSE: Duration = Duration::from_millis(50);

/// The log hears of changes at most so often.
const TOLD_PAUSE: Duration = Duration::from_secs(1);

/// How far below a threshold, in percent of the limit, its level is left.
const SLACK: u8 = 5;

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes that are resident, and may be. None if nobody knows.
    pub memory: Option<(u64, u64)>,
    /// Descriptors that are open, and may be. None if nobody knows.
    pub descriptors: Option<(u64, u64)>,
    /// Connections and requests.
    pub under_way: UnderWay,
    /// How many wait in each class.
    pub waiting: [usize; Priority::ALL.len()],
    /// What follows from it.
    pub level: Level,
}

/// Looks until the server is gone.
///
/// # Errors
/// There can be no more threads.
pub fn start(live: &Arc<Live>) -> io::Result<()> {
    let live = Arc::downgrade(live);
    thread::Builder::new()
        .name("overload".into())
        .spawn(move || watch(&live))?;
    Ok(())
}

fn watch(live: &Weak<Live>) {
    let mut monitor = Monitor::default();
    let mut told = (Level::Calm, Instant::now());
    while let Some(live) = live.upgrade() {
        let seen = monitor.look(live.overload());
        live.telemetry().overload.show(&seen);
        // Who ends calls the next; this is for when there was no room then.
        live.overload().call();
        if seen.level != told.0 && told.1.elapsed() >= TOLD_PAUSE {
            told = (seen.level, Instant::now());
            tell(&seen);
        }
        drop(live);
        thread::sleep(PAUSE);
    }
}

fn tell(seen: &Seen) {
    let percent = |of: Option<(u64, u64)>| of.map(|(used, limit)| share(used, limit));
    let (memory_percent, descriptors_percent) = (percent(seen.memory), percent(seen.descriptors));
    let UnderWay {
        connections,
        requests,
    } = seen.under_way;
    macro_rules! line {
        ($level:ident, $text:literal) => {
            $level!(
                memory_percent,
                descriptors_percent,
                connections,
                requests,
                $text
            )
        };
    }
    match seen.level {
        Level::Calm => line!(info, "no longer short of memory or descriptors"),
        Level::Shedding => line!(
            warn,
            "short of memory or descriptors: new requests are refused"
        ),
        Level::Paused => line!(
            warn,
            "very short of memory or descriptors: no connections are accepted"
        ),
    }
}

/// What is remembered from one look to the next.
#[derive(Debug)]
struct Monitor {
    memory: Level,
    descriptors: Level,
    resident: u64,
    requests_max: u32,
}

impl Default for Monitor {
    fn default() -> Self {
        Monitor {
            memory: Level::Calm,
            descriptors: Level::Calm,
            resident: 0,
            requests_max: u32::MAX,
        }
    }
}

impl Monitor {
    /// Looks once, and publishes what follows.
    fn look(&mut self, overload: &Overload) -> Seen {
        let before = overload.under_way();
        let open = overload.descriptors.as_ref().and_then(Descriptors::open);
        let under_way = overload.under_way();
        let descriptors = open.zip(overload.descriptors_max());
        // What nobody can tell is not short: a proxy that cannot look is not to stay shut.
        self.descriptors = self.descriptors.next(descriptors, overload);
        // What has come or gone in between is counted twice, and not left out.
        let ours = before.least(under_way).descriptors();
        let others = open.map(|open| i64::try_from(open).unwrap_or(i64::MAX) - ours);
        let limit = others.and(overload.descriptors_max());
        let others = others.unwrap_or_default();
        let request_room = room(limit, overload.shed_at, others);
        let connection_room = room(limit, overload.pause_at, others);
        let requests_seen = under_way.requests;
        overload
            .requests_seen
            .store(requests_seen, Ordering::Relaxed);
        overload.request_room.store(request_room, Ordering::Relaxed);
        overload
            .connection_room
            .store(connection_room, Ordering::Relaxed);

        let resident = overload.memory.as_ref().and_then(Memory::resident);
        let memory = resident.zip(overload.memory.as_ref().map(Memory::limit));
        self.memory = self.memory.next(memory, overload);
        self.allow(memory, under_way.requests);
        overload
            .requests_max
            .store(self.requests_max, Ordering::Relaxed);

        let level = self.memory.max(self.descriptors);
        overload.level_now.store(level as u8, Ordering::Relaxed);
        overload
            .level
            .send_if_modified(|now| std::mem::replace(now, level) != level);
        Seen {
            memory,
            descriptors,
            under_way,
            waiting: overload.waiting(),
            level,
        }
    }

    /// How many requests may be under way while memory is short. None but those that are at
    /// first, and fewer while more is taken. If no more is taken, the number grows again: an
    /// allocator gives memory back late, and takes from what it has kept meanwhile. One may
    /// be under way in any case, or nothing would ever change.
    fn allow(&mut self, memory: Option<(u64, u64)>, requests: u32) {
        let (resident, limit) = memory.unwrap_or_default();
        let has_grown = resident > self.resident.saturating_add(limit / 512);
        self.resident = resident;
        let before = self.requests_max.min(requests.max(1));
        self.requests_max = match (self.memory, has_grown) {
            (Level::Calm, _) => u32::MAX,
            _ if self.requests_max == u32::MAX => requests.max(1),
            (_, true) => before - before / 4,
            (Level::Shedding, false) => self.requests_max.saturating_add(self.requests_max / 4 + 1),
            (Level::Paused, false) => before,
        }
        .max(1);
    }
}

impl Level {
    /// The level with this use of a limit, after this one.
    fn next(self, used: Option<(u64, u64)>, overload: &Overload) -> Level {
        let Some((used, limit)) = used else {
            return Level::Calm;
        };
        let percent = share(used, limit);
        let reaches = |threshold: u8, level: Level| {
            let slack = if self >= level { SLACK } else { 0 };
            percent >= u64::from(threshold.saturating_sub(slack).max(1))
        };
        match () {
            () if reaches(overload.pause_at, Level::Paused) => Level::Paused,
            () if reaches(overload.shed_at, Level::Shedding) => Level::Shedding,
            () => Level::Calm,
        }
    }
}

/// In percent.
fn share(used: u64, limit: u64) -> u64 {
    used.saturating_mul(100) / limit.max(1)
}

#[cfg(test)]
mod tests;
