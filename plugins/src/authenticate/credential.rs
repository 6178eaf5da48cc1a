//! Where clients put their credentials.
//!
//! Each SDK has a header of its own. A request may repeat its credential in several of
//! them, as programs that do not know what they talk to do. Two that differ are refused
//! instead of ranked: one proxy on the way would take the first and another the second.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use penstock_config::credential_headers;

/// The headers that hold a credential. The query parameter `key`, which Google takes as
/// well, is not read: what stands in a URL ends up in logs, in histories and in `referer`.
static HEADERS: [HeaderName; 4] = credential_headers::OF_APIS;

/// The authentication scheme that is understood (RFC 6750 section 2.1).
const SCHEME: &[u8] = b"bearer";

/// Why a request's credentials cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Two different ones, or one header twice.
    Ambiguous,
    /// An `authorization` of another scheme, or without a credential.
    NotBearer,
    /// Bytes that no key and no token has.
    Malformed,
}

/// The one credential of a request; none if it has none.
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<&[u8]>, Fault> {
    let mut found: Option<&[u8]> = None;
    for name in &HEADERS {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else {
            continue;
        };
        if values.next().is_some() {
            return Err(Fault::Ambiguous);
        }
        let value = value.as_bytes().trim_ascii();
        let credential = match name {
            &AUTHORIZATION => of_bearer(value)?,
            _ => value,
        };
        if found.is_some_and(|found| found != credential) {
            return Err(Fault::Ambiguous);
        }
        found = Some(credential);
    }
    match found {
        Some(credential) if !is_presentable(credential) => Err(Fault::Malformed),
        found => Ok(found),
    }
}

fn of_bearer(value: &[u8]) -> Result<&[u8], Fault> {
    let (scheme, rest) = value
        .split_at_checked(SCHEME.len())
        .ok_or(Fault::NotBearer)?;
    match rest {
        [b' ', rest @ ..] if scheme.eq_ignore_ascii_case(SCHEME) => Ok(rest.trim_ascii_start()),
        _ => Err(Fault::NotBearer),
    }
}

/// Whether a client can present this, be it a key or a token: visible characters of ASCII
/// without the comma, by which a list of several would be told. It looks at every byte
/// whatever it finds, which takes a token many bytes at a time.
pub fn is_presentable(credential: &[u8]) -> bool {
    let is_odd = |byte: &u8| !byte.is_ascii_graphic() | (*byte == b',');
    let odd = credential
        .iter()
        .fold(false, |odd, byte| odd | is_odd(byte));
    !credential.is_empty() && !odd
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &[u8])| {
            let value = HeaderValue::from_bytes(value).unwrap();
            (HeaderName::from_static(name), value)
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn every_sdk_finds_its_header() {
        for line in [
            ("authorization", &b"Bearer k1"[..]),
            ("authorization", b"bearer k1"),
            ("authorization", b"BEARER   k1"),
            ("authorization", b" Bearer k1 "),
            ("x-api-key", b"k1"),
            ("api-key", b"k1"),
            ("x-goog-api-key", b"k1 "),
        ] {
            let headers = headers(&[line]);
            assert_eq!(presented(&headers), Ok(Some(&b"k1"[..])), "{headers:?}");
        }
        assert_eq!(presented(&headers(&[("cookie", b"k1")])), Ok(None));
    }

    #[test]
    fn one_credential_may_be_repeated_elsewhere_but_not_contradicted() {
        let same = headers(&[
            ("authorization", b"Bearer k1"),
            ("x-api-key", b"k1"),
            ("api-key", b"k1"),
        ]);
        assert_eq!(presented(&same), Ok(Some(&b"k1"[..])));
        for (lines, fault) in [
            (
                [("authorization", &b"Bearer k1"[..]), ("x-api-key", b"k2")],
                Fault::Ambiguous,
            ),
            (
                [("x-api-key", b"k1"), ("api-key", b"k1x")],
                Fault::Ambiguous,
            ),
            (
                [("x-api-key", b"k1"), ("x-goog-api-key", b"")],
                Fault::Ambiguous,
            ),
            (
                [
                    ("authorization", b"Bearer k1"),
                    ("authorization", b"Bearer k1"),
                ],
                Fault::Ambiguous,
            ),
            (
                [("x-api-key", b"k1"), ("x-api-key", b"k1")],
                Fault::Ambiguous,
            ),
            (
                [("authorization", b"Basic azE6"), ("x-api-key", b"k1")],
                Fault::NotBearer,
            ),
        ] {
            let headers = headers(&lines);
            assert_eq!(presented(&headers), Err(fault), "{headers:?}");
        }
    }

    #[test]
    fn what_is_no_credential_is_refused_and_not_overlooked() {
        for (line, fault) in [
            (("authorization", &b""[..]), Fault::NotBearer),
            (("authorization", b"Bearer"), Fault::NotBearer),
            (("authorization", b"Bearer "), Fault::NotBearer),
            (("authorization", b"Bearer\tk1"), Fault::NotBearer),
            (("authorization", b"Bearerk1"), Fault::NotBearer),
            (("authorization", b"k1"), Fault::NotBearer),
            (("authorization", b"Basic azE6"), Fault::NotBearer),
            (
                ("authorization", b"\xc3\xa9\xff\xfe\xfd\xfc k1"),
                Fault::NotBearer,
            ),
            (("authorization", b"Bearer k1, Bearer k2"), Fault::Malformed),
            (("authorization", b"Bearer k1,k2"), Fault::Malformed),
            (("x-api-key", b""), Fault::Malformed),
            (("x-api-key", b"k1 k2"), Fault::Malformed),
            (("api-key", b"k\xff1"), Fault::Malformed),
            (("api-key", "ключ".as_bytes()), Fault::Malformed),
        ] {
            let headers = headers(&[line]);
            assert_eq!(presented(&headers), Err(fault), "{headers:?}");
        }
    }
}
