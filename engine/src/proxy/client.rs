//! Who sent a request, and what is said of that in its headers.

use std::net::IpAddr;

use http::HeaderName;
use pingora_proxy::Session;

use crate::clients::Clients;
use crate::transport;

/// Headers in which proxies pass a client's address on, as widely used servers and content
/// networks know them. No upstream is to believe what anybody could write, and who the
/// clients are is for the operator to tell: none of them goes further.
const ADDRESSES: [&str; 11] = [
    "forwarded",
    "x-forwarded-for",
    "x-original-forwarded-for",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
];

/// What else a proxy says of the request that it was sent: host, scheme, port. A trusted
/// one's goes on.
const FAMILY: &[u8] = b"x-forwarded-";

/// The address of whoever sent a request. After this, its head has no word of a client's
/// address any more, and nothing else that only a proxy can know from one that is not trusted.
pub(super) fn settle(clients: &Clients, session: &mut Session) -> Option<IpAddr> {
    let peer = transport::peer(session.digest()?.socket_digest.as_ref()?)?;
    let headers = &session.req_header().headers;
    let is_trusted = clients.trusts(peer);
    let client = match is_trusted {
        true => clients.client(peer, headers),
        false => peer,
    };
    // As a rule there is none, and nothing is allocated.
    let said: Vec<_> = headers
        .keys()
        .filter(|name| ends_here(name, is_trusted))
        .cloned()
        .collect();
    for name in said {
        session.req_header_mut().remove_header(&name);
    }
    Some(client)
}

/// Servers that hand headers on as variables take `_` for `-` (RFC 3875 section 4.1.18).
fn ends_here(name: &HeaderName, is_trusted: bool) -> bool {
    let name = name.as_str().as_bytes();
    // The letters that these begin with.
    if !matches!(name.first(), Some(b'x' | b'f' | b't' | b'c')) {
        return false;
    }
    let is_alike = |other: &[u8]| {
        let folded = name.iter().map(|&byte| match byte {
            b'_' => b'-',
            byte => byte,
        });
        name.len() >= other.len() && folded.zip(other).all(|(byte, other)| byte == *other)
    };
    let is_address = |other: &&str| name.len() == other.len() && is_alike(other.as_bytes());
    ADDRESSES.iter().any(is_address) || (!is_trusted && is_alike(FAMILY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_end_here_and_what_strangers_say_of_a_proxy() {
        let ends =
            |name: &'static str, is_trusted| ends_here(&HeaderName::from_static(name), is_trusted);
        for name in [
            "x-forwarded-for",
            "x_forwarded-for",
            "forwarded",
            "x-real-ip",
            "x_real_ip",
        ] {
            assert!(ends(name, true) && ends(name, false), "{name}");
        }
        for name in ["x-forwarded-host", "x-forwarded-proto", "x_forwarded_port"] {
            assert!(!ends(name, true) && ends(name, false), "{name}");
        }
        for name in [
            "x-forwarded",
            "x-real-ips",
            "content-type",
            "x",
            "cookie",
            "from",
            "host",
        ] {
            assert!(!ends(name, true) && !ends(name, false), "{name}");
        }
    }
}
