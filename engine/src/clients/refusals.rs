//! Connections that are closed before they are served, counted and logged by their reason.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::warn;

use crate::telemetry::{Outcome, Outcomes};

/// Why a connection is closed before anything that it says is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its address has as many as it may have.
    ConnectionsPerAddress,
    /// Its address has opened as many of late as it may.
    NewConnectionsPerSecond,
    /// It begins with a header of the PROXY protocol, or has to, and comes from nobody who is
    /// trusted.
    ProxyUntrusted,
    /// It has to begin with such a header, and does not.
    ProxyMissing,
    /// It begins with one that is malformed.
    ProxyMalformed,
}

impl Outcome for Refusal {
    const ALL: &[Refusal] = &[
        Refusal::ConnectionsPerAddress,
        Refusal::NewConnectionsPerSecond,
        Refusal::ProxyUntrusted,
        Refusal::ProxyMissing,
        Refusal::ProxyMalformed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Refusal::ConnectionsPerAddress => "connections_per_address",
            Refusal::NewConnectionsPerSecond => "new_connections_per_second",
            Refusal::ProxyUntrusted => "proxy_untrusted",
            Refusal::ProxyMissing => "proxy_missing",
            Refusal::ProxyMalformed => "proxy_malformed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Refusal {}

/// Counts refusals. In each second the log hears of one, whoever is refused how often: the
/// metric has the rest.
#[derive(Debug)]
pub struct Refusals {
    counts: Outcomes<Refusal>,
    /// The second after the last one that the log has heard of.
    told: AtomicU64,
}

impl Refusals {
    /// Counted there.
    pub fn new(counts: Outcomes<Refusal>) -> Self {
        Refusals {
            counts,
            told: AtomicU64::new(0),
        }
    }

    pub(super) fn add(&self, why: Refusal, address: IpAddr, now: Duration) {
        self.counts.count(why);
        let second = now.as_secs() + 1;
        if self.told.fetch_max(second, Ordering::Relaxed) < second {
            warn!(
                reason = why.as_str(),
                client = %address,
                "connections are refused"
            );
        }
    }
}
