//! What a client allows the cache to do: the request's `cache-control` (RFC 9111 section
//! 5.2.1).

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The directives of one request. Those that this cache has no use for (`max-stale`,
/// since it serves nothing stale, and `no-transform`) are passed over, like unknown ones
/// (section 5.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// Neither use nor store an answer.
    pub(super) no_store: bool,
    /// Do not use a stored answer; a new one may be stored.
    pub(super) no_cache: bool,
    /// Do not ask the upstream.
    pub(super) only_if_cached: bool,
    /// Greatest age of an answer that may be used.
    pub(super) max_age: Option<Duration>,
    /// How long an answer must still be fresh.
    pub(super) min_fresh: Duration,
}

impl Control {
    /// Reads the directives of all `cache-control` fields. Where they disagree, the
    /// strictest holds; one that is malformed allows no stored answer.
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            for directive in value.as_bytes().split(|byte| *byte == b',') {
                control.read(directive.trim_ascii());
            }
        }
        control
    }

    fn read(&mut self, directive: &[u8]) {
        let mut parts = directive.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let argument = parts.next();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            let age = seconds(argument).unwrap_or(Duration::ZERO);
            self.max_age = Some(self.max_age.map_or(age, |earlier| earlier.min(age)));
        } else if is("min-fresh") {
            let time = seconds(argument).unwrap_or(Duration::MAX);
            self.min_fresh = self.min_fresh.max(time);
        }
    }
}

/// An argument in whole seconds, quoted or not (section 1.2.2: one that is too large for
/// the recipient is its greatest).
fn seconds(argument: Option<&[u8]>) -> Option<Duration> {
    let argument = argument?.trim_ascii();
    let quoted = argument
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let digits = quoted.unwrap_or(argument);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Control {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, value.parse().unwrap());
        }
        Control::new(&headers)
    }

    #[test]
    fn directives_are_read_whatever_their_case_and_spacing() {
        assert_eq!(read(&[]), Control::default());
        let control = read(&["No-Cache , max-age=60", "MAX-AGE = \"30\",min-fresh=5"]);
        assert!(control.no_cache && !control.no_store && !control.only_if_cached);
        assert_eq!(
            control.max_age,
            Some(Duration::from_secs(30)),
            "the strictest"
        );
        assert_eq!(control.min_fresh, Duration::from_secs(5));
        assert!(read(&["no-store"]).no_store);
        assert!(read(&["x, only-if-cached,,"]).only_if_cached);
        assert_eq!(
            read(&["public, max-stale=9, no-cached"]),
            Control::default()
        );
    }

    #[test]
    fn malformed_arguments_allow_no_stored_answer() {
        for value in [
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=1.5",
            "max-age=\"\"",
        ] {
            assert_eq!(read(&[value]).max_age, Some(Duration::ZERO), "{value}");
        }
        assert_eq!(read(&["min-fresh=x"]).min_fresh, Duration::MAX);
        let huge = read(&["max-age=99999999999999999999999"]).max_age;
        assert_eq!(huge, Some(Duration::from_secs(u64::MAX)));
    }
}
