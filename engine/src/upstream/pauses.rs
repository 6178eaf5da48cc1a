//! Which credentials are left alone, and at which servers.
//!
//! A server that limits requests limits those of a credential, and says for how long it wants
//! none of them; and it refuses a credential that was revoked. Either concerns that
//! credential there, while others are welcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Most servers at which one credential is left alone at a time, as many as an upstream has.
const SERVERS_MAX: usize = 1024;

/// Why a credential is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The server asked for a pause.
    Limited,
    /// The server does not know it, and another one was welcome.
    Refused,
}

impl Why {
    /// All of them.
    pub const ALL: [Why; 2] = [Why::Limited, Why::Refused];

    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::Limited => "limited",
            Why::Refused => "refused",
        }
    }
}

/// Where a credential is left alone, and until when. What generations with the same
/// credential share.
pub struct Pauses {
    /// Name of the upstream.
    pub upstream: String,
    /// Name of the credential, or its place in the list.
    pub credential: String,
    /// The nanosecond since the epoch at which the last one ends: most of the time it is
    /// over, and nobody looks further.
    last: AtomicU64,
    /// Servers as the configuration writes them: what is behind a name's addresses is one
    /// server to a credential.
    servers: Mutex<Vec<(Arc<str>, Duration)>>,
    counts: [AtomicU64; 2],
}

impl Pauses {
    pub(super) fn new(upstream: &str, credential: &str) -> Pauses {
        Pauses {
            upstream: upstream.to_owned(),
            credential: credential.to_owned(),
            last: AtomicU64::new(0),
            servers: Mutex::default(),
            counts: Default::default(),
        }
    }

    /// Until when it is left alone at a server; none if it is not.
    pub(super) fn until(&self, server: &str, now: Duration) -> Option<Duration> {
        if self.last.load(Ordering::Relaxed) <= nanos(now) {
            return None;
        }
        let servers = self.servers.lock();
        let mut at = servers.iter().filter(|(name, _)| **name == *server);
        at.next().map(|(_, until)| *until).filter(|end| *end > now)
    }

    /// Leaves it alone at a server until then, or longer if that is so already.
    pub(super) fn add(&self, server: &Arc<str>, until: Duration, why: Why, now: Duration) {
        self.counter(why).fetch_add(1, Ordering::Relaxed);
        let mut servers = self.servers.lock();
        servers.retain(|(_, end)| *end > now);
        let is_full = servers.len() >= SERVERS_MAX;
        match servers.iter_mut().find(|(name, _)| name == server) {
            Some((_, end)) => *end = until.max(*end),
            None if is_full => return,
            None => servers.push((server.clone(), until)),
        }
        self.last.fetch_max(nanos(until), Ordering::Relaxed);
    }

    /// At how many servers it is left alone.
    pub fn servers(&self, now: Duration) -> usize {
        let servers = self.servers.lock();
        servers.iter().filter(|(_, end)| *end > now).count()
    }

    /// How often it was left alone for this.
    pub fn count(&self, why: Why) -> u64 {
        self.counter(why).load(Ordering::Relaxed)
    }

    fn counter(&self, why: Why) -> &AtomicU64 {
        let [limited, refused] = &self.counts;
        match why {
            Why::Limited => limited,
            Why::Refused => refused,
        }
    }
}

/// Nanoseconds since the epoch, which fit until the year 2554.
fn nanos(moment: Duration) -> u64 {
    u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_server_has_its_own_pause_and_the_longer_one_holds() {
        let pauses = Pauses::new("u", "1");
        let (a, b): (Arc<str>, Arc<str>) = ("a:1".into(), "b:1".into());
        assert_eq!(pauses.until(&a, NOW), None);
        pauses.add(&a, NOW + 5 * SECOND, Why::Limited, NOW);
        pauses.add(&a, NOW + 3 * SECOND, Why::Limited, NOW);
        pauses.add(&b, NOW + 9 * SECOND, Why::Refused, NOW);
        assert_eq!(pauses.until(&a, NOW), Some(NOW + 5 * SECOND));
        assert_eq!(pauses.until("c:1", NOW), None);
        assert_eq!(pauses.servers(NOW), 2);
        let later = NOW + 5 * SECOND;
        assert_eq!(pauses.until(&a, later), None);
        assert_eq!(pauses.until(&b, later), Some(NOW + 9 * SECOND));
        assert_eq!(pauses.servers(later), 1);
        assert_eq!(Why::ALL.map(|why| pauses.count(why)), [2, 1]);
    }

    #[test]
    fn there_are_only_so_many() {
        let pauses = Pauses::new("u", "1");
        for n in 0..2 * SERVERS_MAX {
            let server = format!("{n}:1").into();
            pauses.add(&server, NOW + SECOND, Why::Limited, NOW);
        }
        assert_eq!(pauses.servers(NOW), SERVERS_MAX);
        pauses.add(&"x:1".into(), NOW + 3 * SECOND, Why::Limited, NOW + SECOND);
        assert_eq!(pauses.servers(NOW + SECOND), 1, "what is over makes room");
    }
}
