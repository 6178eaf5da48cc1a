//! When no endpoint may be sent a request: what the client is told, and what endpoints say
//! of how long they want to be left alone.

use std::time::{Duration, UNIX_EPOCH};

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use penstock_plugins::balance::NoneLeft;
use penstock_plugins::{Kind, Refusal};
use pingora_http::ResponseHeader;

/// Longest pause that an endpoint can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

/// What a request is told that finds no endpoint.
pub(super) fn refusal(none: &NoneLeft, now: Duration) -> Box<Refusal> {
    let refusal = Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        Kind::Overloaded,
        "no_endpoint",
        format!("The request cannot be served now: {none}."),
    );
    let refusal = refusal.because(none.to_string());
    match none.until {
        Some(until) => refusal.with_header(RETRY_AFTER, whole_seconds(until.saturating_sub(now))),
        None => refusal,
    }
}

/// Rounded up, at least one: a client that comes back at once finds the same.
fn whole_seconds(time: Duration) -> HeaderValue {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    HeaderValue::from(seconds.max(1))
}

/// Until when an endpoint asks to be left alone: with 429 (RFC 6585 section 4) or 503, in
/// seconds or as a date (RFC 9110 section 10.2.3).
pub(super) fn pause_asked(head: &ResponseHeader, now: Duration) -> Option<Duration> {
    let asks = matches!(
        head.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let value = head.headers.get(RETRY_AFTER).filter(|_| asks)?;
    let value = value.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(UNIX_EPOCH).ok()?.checked_sub(now)?
        }
    };
    (!wait.is_zero()).then(|| now + wait.min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-01T12:00:00Z.
    const NOW: Duration = Duration::from_secs(1_772_366_400);

    fn asked(status: u16, value: &str) -> Option<u64> {
        let mut head = ResponseHeader::build(status, None).unwrap();
        head.insert_header(RETRY_AFTER, value).unwrap();
        pause_asked(&head, NOW).map(|until| (until - NOW).as_secs())
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date_and_bounded() {
        for (status, value, wanted) in [
            (429, "7", Some(7)),
            (503, " 7 ", Some(7)),
            (429, "0", None),
            (429, "86400", Some(600)),
            (429, "99999999999999999999", None),
            (429, "-1", None),
            (429, "1.5", None),
            (429, "soon", None),
            (429, "Sun, 01 Mar 2026 12:00:30 GMT", Some(30)),
            (503, "Sun, 01 Mar 2026 11:59:30 GMT", None),
            (503, "Mon, 02 Mar 2026 12:00:00 GMT", Some(600)),
            (500, "7", None),
            (200, "7", None),
        ] {
            assert_eq!(asked(status, value), wanted, "{status} {value}");
        }
    }

    #[test]
    fn a_client_is_told_when_to_come_back_if_that_is_known() {
        let mut none = NoneLeft {
            paused: 2,
            ..NoneLeft::default()
        };
        assert!(refusal(&none, NOW).headers.is_empty());
        for (wait, wanted) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            none.until = Some(NOW + Duration::from_millis(wait));
            let refusal = refusal(&none, NOW);
            assert_eq!(
                *refusal.headers,
                [(RETRY_AFTER, HeaderValue::from_static(wanted))]
            );
            assert_eq!(refusal.status, 503);
            assert_eq!(
                refusal.reason,
                "no endpoint is available: 2 paused at their own request"
            );
        }
    }
}
