//! The names that a certificate is for.

use std::net::IpAddr;

use x509_parser::prelude::{GeneralName, X509Certificate};

/// What stands among the subject alternative names of a certificate: the only names that
/// clients look at (RFC 9525 section 6). Those of hosts are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Names that stand for themselves.
    pub exact: Box<[Box<str>]>,
    /// What follows the `*.` of wildcards.
    pub below: Box<[Box<str>]>,
    /// Addresses.
    pub addresses: Box<[IpAddr]>,
}

impl Names {
    /// The names of a certificate. What no client would take for a name is left out.
    pub fn of(certificate: &X509Certificate<'_>) -> Names {
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let (mut exact, mut below, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            match name {
                GeneralName::DNSName(name) => match name.strip_prefix("*.") {
                    Some(rest) if is_name(rest) => below.push(lower(rest)),
                    None if is_name(name) => exact.push(lower(name)),
                    _ => {}
                },
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Names {
            exact: exact.into(),
            below: below.into(),
            addresses: addresses.into(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.addresses.is_empty()
    }

    /// Whether the certificate is for this host, a name or an address without a port.
    pub fn cover(&self, host: &[u8]) -> bool {
        if let Some(address) = literal(host) {
            return self.addresses.contains(&address);
        }
        let is = |name: &str, host: &[u8]| host.eq_ignore_ascii_case(name.as_bytes());
        let parent = parent(host);
        let is_below = |rest: &str| parent.is_some_and(|parent| is(rest, parent));
        self.exact.iter().any(|name| is(name, host)) || self.below.iter().any(|rest| is_below(rest))
    }

    /// As they stand in the certificate.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        let exact = self.exact.iter().map(ToString::to_string);
        let below = self.below.iter().map(|rest| format!("*.{rest}"));
        let addresses = self.addresses.iter().map(ToString::to_string);
        exact.chain(below).chain(addresses)
    }
}

/// What stands after a name's first label: all that a wildcard covers have the same.
pub(super) fn parent(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().position(|&byte| byte == b'.')?;
    let rest = name.get(dot + 1..)?;
    (dot > 0 && !rest.is_empty()).then_some(rest)
}

/// The address that a host is, in brackets or not.
pub(super) fn literal(host: &[u8]) -> Option<IpAddr> {
    let inside = host
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"));
    std::str::from_utf8(inside.unwrap_or(host))
        .ok()?
        .parse()
        .ok()
}

/// A name of letters, digits, hyphens and underscores, with dots between.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty() && label.bytes().all(legal)
    };
    name.split('.').all(is_label)
}

fn lower(name: &str) -> Box<str> {
    name.to_ascii_lowercase().into()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label() {
        let names = Names {
            exact: ["a.test".into()].into(),
            below: ["b.test".into()].into(),
            addresses: [IpAddr::from([10, 0, 0, 1]), "::1".parse().unwrap()].into(),
        };
        for host in [
            "a.test", "A.Test", "x.b.test", "X.B.TEST", "10.0.0.1", "[::1]",
        ] {
            assert!(names.cover(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ".",
            "b.test",
            ".b.test",
            "x.a.test",
            "x.y.b.test",
            "b.test.x",
            "xb.test",
            "10.0.0.2",
            "[::2]",
            "0.0.1",
        ] {
            assert!(!names.cover(host.as_bytes()), "{host}");
        }
    }
}
