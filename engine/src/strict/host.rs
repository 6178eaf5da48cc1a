//! Hosts, as `Host` and the targets of absolute form name them.

use std::net::Ipv6Addr;

/// Longest name of a host, as in DNS.
const NAME_MAX: usize = 255;

/// Whether this is a host with an optional port, and nothing else (RFC 9110 section 7.2,
/// RFC 3986 section 3.2.2): no user, no list, no path. Names are of letters, digits and
/// `-._~`; escapes and the characters that separate in a URI, which RFC 3986 allows, are in
/// no host that can be reached.
pub fn is_authority(authority: &[u8]) -> bool {
    parts(authority).is_some()
}

/// The host that an authority names, without the port.
pub fn name(authority: &[u8]) -> Option<&[u8]> {
    parts(authority).map(|(host, _)| host)
}

/// Whether two authorities name the same host and port, for a scheme with this default.
pub fn agree(one: &[u8], other: &[u8], default_port: u16) -> bool {
    let (Some(one), Some(other)) = (parts(one), parts(other)) else {
        return false;
    };
    one.0.eq_ignore_ascii_case(other.0)
        && one.1.unwrap_or(default_port) == other.1.unwrap_or(default_port)
}

fn parts(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, rest) = match authority {
        [b'[', inside @ ..] => {
            let end = inside.iter().position(|&byte| byte == b']')?;
            let address = std::str::from_utf8(inside.get(..end)?).ok()?;
            address.parse::<Ipv6Addr>().ok()?;
            authority.split_at_checked(end + 2)?
        }
        _ => {
            let colon = authority.iter().position(|&byte| byte == b':');
            authority.split_at_checked(colon.unwrap_or(authority.len()))?
        }
    };
    let is_bracketed = host.starts_with(b"[");
    if host.is_empty() || host.len() > NAME_MAX || !is_bracketed && !host.iter().all(is_name) {
        return None;
    }
    match rest {
        [] => Some((host, None)),
        [b':', port @ ..] => Some((host, Some(number(port)?))),
        _ => None,
    }
}

fn is_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn number(digits: &[u8]) -> Option<u16> {
    if !matches!(digits.len(), 1..=5) {
        return None;
    }
    let mut number = 0_u16;
    for digit in digits {
        let value = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        number = number.checked_mul(10)?.checked_add(value)?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_and_nothing_else() {
        for good in [
            "a",
            "a:80",
            "A.example:65535",
            "127.0.0.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "my_service-1.local.",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:",
            "a:x",
            "a:65536",
            "a:000080",
            "a b",
            "a,b",
            "a, b",
            "u@a",
            "a/",
            "a/p",
            "a?q",
            "a#f",
            "a\\b",
            "[::1",
            "::1",
            "[::1]x",
            "[a]",
            "[::1%eth0]",
            "a:80:80",
            "a\t",
            "é",
            "a%2eb",
            "[]",
            "a\0",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad:?}");
        }
        assert!(!is_authority(&[b'a'; 256]));
    }

    #[test]
    fn the_same_host_may_be_written_in_two_ways() {
        assert!(agree(b"A.b", b"a.B:80", 80));
        assert!(agree(b"a:443", b"a", 443));
        assert!(!agree(b"a:443", b"a", 80));
        assert!(!agree(b"a", b"b", 80));
        assert!(!agree(b"a", b"", 80));
    }
}
