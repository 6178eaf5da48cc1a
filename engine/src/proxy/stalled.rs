//! HTTP/2 clients that ask for answers and do not take them.
//!
//! Over HTTP/2 a client says how much it takes. One that grants nothing, or a byte now and
//! then, keeps what an upstream has made in memory for as long as it likes (CVE-2019-9517). So
//! it is held to the [pace](Pace) at which answers have to be taken: who is fast is never
//! stopped, and who deals its windows out is stopped soon.

use std::time::Instant;

use http::Version;
use pingora_core::protocols::http::ServerSession;
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_proxy::Session;

use super::Proxy;
use super::context::Context;
use crate::edge::{self, Bound, Pace};

/// How fast an HTTP/2 client has to take its answer. Others are looked at where their bytes
/// pass.
pub(super) fn pace(client: &ServerSession, ctx: &Context) -> Option<Pace> {
    let is_http2 = client.req_header().version == Version::HTTP_2;
    let bound = Bound::of_answers(&ctx.generation.config.server.limits);
    is_http2.then(|| Pace::new(bound))
}

/// The client is about to be given a piece.
pub(super) fn give(pace: &mut Pace, client: &mut ServerSession) {
    let now = Instant::now();
    client.set_write_timeout(Some(pace.wait(now).saturating_duration_since(now)));
}

/// It has taken so many bytes.
pub(super) fn taken(pace: &mut Pace, bytes: u64) {
    let now = Instant::now();
    pace.moved(bytes, now);
    pace.stop(now);
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
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// After how many pieces of so many bytes, each of which waits so long, it is over.
    fn over(bytes: u64, waits: Duration) -> Option<usize> {
        let mut pace = Pace::new(Bound {
            stall: 60 * SECOND,
            rate: 1024,
        });
        let mut now = Instant::now();
        (1..10_000).find(|_| {
            let end = pace.wait(now);
            now += waits;
            pace.moved(bytes, now);
            pace.stop(now);
            end <= now
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
