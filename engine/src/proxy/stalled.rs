//! HTTP/2 clients that ask for answers and do not take them.
//!
//! Over HTTP/2 a client says how much it takes. One that grants nothing, or a byte now and
//! then, keeps what an upstream has made in memory for as long as it likes (CVE-2019-9517). So
//! it may let a piece of an answer wait for `limits.write_timeout`, and each piece that it
//! takes gives back of that time what so many bytes may take, never more than it had at first:
//! who is fast is never stopped, and who deals its windows out is stopped soon.

use std::time::{Duration, Instant};

use http::Version;
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_proxy::Session;

use super::Proxy;
use super::context::Context;
use crate::edge;

/// How long a client may still let an answer wait.
#[derive(Debug)]
pub(super) struct Patience {
    /// Bytes that a second pays for.
    rate: u64,
    most: Duration,
    left: Duration,
}

impl Patience {
    /// With an HTTP/2 client whose answers may wait for a limited time.
    pub(super) fn with(client: &ServerSession, ctx: &Context) -> Option<Self> {
        let is_http2 = client.req_header().version == Version::HTTP_2;
        let most = client.get_write_timeout().filter(|_| is_http2)?;
        Some(Patience {
            rate: ctx.generation.config.server.limits.write_rate.bytes(),
            most,
            left: most,
        })
    }

    /// The client is about to be given a piece.
    pub(super) fn give(&self, client: &mut ServerSession) -> Instant {
        client.set_write_timeout(Some(self.left));
        Instant::now()
    }

    /// It has taken so many bytes since then.
    pub(super) fn taken(&mut self, bytes: u64, waited: Duration) {
        let millis = bytes.saturating_mul(1000) / self.rate.max(1);
        let worth = Duration::from_millis(millis);
        let left = self.left.saturating_sub(waited).saturating_add(worth);
        self.left = left.min(self.most);
    }
}

/// Notes how an exchange has ended, if it is that its client took nothing.
pub(super) fn note(proxy: &Proxy, session: &Session, error: Option<&Error>) {
    let Some(error) = error else { return };
    let by_client = matches!(
        error.esource(),
        ErrorSource::Downstream | ErrorSource::Unset
    );
    let is_late = matches!(
        error.etype(),
        ErrorType::WriteTimedout | ErrorType::ReadTimedout
    );
    if by_client && is_late && session.req_header().version == Version::HTTP_2 {
        proxy.telemetry.http2.stalled.inc();
        edge::stalled(session.digest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// After how many pieces of so many bytes, each of which waits so long, it is over.
    fn over(bytes: u64, waits: Duration) -> Option<usize> {
        let mut patience = Patience {
            rate: 1024,
            most: 60 * SECOND,
            left: 60 * SECOND,
        };
        (1..10_000).find(|_| {
            let is_over = waits >= patience.left;
            patience.taken(bytes, waits);
            is_over
        })
    }

    #[test]
    fn who_deals_windows_out_is_over_soon_and_who_is_fast_never() {
        assert_eq!(over(1, 59 * SECOND), Some(2));
        assert_eq!(over(150, 59 * SECOND), Some(2));
        assert_eq!(over(1000, 10 * SECOND), Some(7));
        assert_eq!(over(16_384, 15 * SECOND), None);
        assert_eq!(over(150, Duration::from_millis(100)), None);
        assert_eq!(over(1 << 20, 61 * SECOND), Some(1));
    }
}
