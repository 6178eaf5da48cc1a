//! What a connection says of its client before its first byte.

use std::net::{IpAddr, SocketAddr};

use super::cuts;
use crate::proxy_protocol::{Beginning, Header, parse};

/// What the first bytes of a connection are does not depend on the pieces that they arrive
/// in: once it is decided, more of them change nothing. What they say a decoder finds as well
/// that knows whole headers alone.
pub fn proxy_protocol(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let whole = parse(bytes);
    let mut decided = None;
    for end in cuts(seed, bytes.len()) {
        let now = parse(&bytes[..end]);
        match decided {
            Some(before) => assert_eq!(now, before, "it was decided before {end}"),
            None if now != Ok(Beginning::Open) => decided = Some(now),
            None => {}
        }
    }
    assert_eq!(decided.unwrap_or(Ok(Beginning::Open)), whole);
    let is_text = bytes.starts_with(b"PROXY ");
    let is_binary = bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n");
    let (said, is_whole) = match (is_text, is_binary) {
        (true, _) => (line(bytes), true),
        (_, true) => binary(bytes),
        _ => return assert!(matches!(whole, Ok(Beginning::Other | Beginning::Open))),
    };
    match whole {
        Ok(Beginning::Header(header)) => {
            assert!(header.len <= 16 + 0xffff && header.len > 6);
            if is_whole {
                assert_eq!(Some(header), said, "it is read otherwise");
            }
        }
        Ok(Beginning::Open) => assert!(said.is_none(), "it is here"),
        Ok(Beginning::Other) => panic!("what begins as a header is none"),
        Err(_) => assert!(said.is_none(), "it is a header: {said:?}"),
    }
}

/// The line of version 1 (section 2.1).
fn line(bytes: &[u8]) -> Option<Header> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let len = end + 2;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    if len > 107 || text.contains('\n') {
        return None;
    }
    let words: Vec<_> = text.split(' ').collect();
    let number = |text: &str| {
        let port: u16 = text.parse().ok()?;
        (port.to_string() == text).then_some(port)
    };
    let source = match words[1..] {
        ["UNKNOWN", ..] => None,
        [family @ ("TCP4" | "TCP6"), source, destination, from, to] => {
            let (source, destination): (IpAddr, IpAddr) =
                (source.parse().ok()?, destination.parse().ok()?);
            let alike = [source, destination].map(|address| address.is_ipv4());
            number(to)?;
            (alike == [family == "TCP4"; 2]).then_some(())?;
            Some(SocketAddr::new(source, number(from)?))
        }
        _ => return None,
    };
    Some(Header { len, source })
}

/// The header of version 2 (section 2.2), and whether all of it is here.
fn binary(bytes: &[u8]) -> (Option<Header>, bool) {
    let &[command, family, high, low, ref rest @ ..] = &bytes[12..] else {
        return (None, false);
    };
    let length = usize::from(high) << 8 | usize::from(low);
    let Some(rest) = rest.get(..length) else {
        return (None, false);
    };
    let (address, protocol) = (family >> 4, family & 15);
    let lengths = [0, 12, 36, 216];
    let header = |source| Header {
        len: 16 + length,
        source,
    };
    let is_known = usize::from(address) < lengths.len() && protocol < 3;
    let said = match (command, is_known) {
        (0x20, true) => Some(header(None)),
        (0x21, true) if length >= lengths[usize::from(address)] => {
            let ip = |bytes: &[u8]| -> Option<IpAddr> {
                match bytes.len() {
                    4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
                    _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
                }
            };
            let port = |at: usize| u16::from(rest[at]) << 8 | u16::from(rest[at + 1]);
            Some(header(match family {
                0x11 => ip(&rest[..4]).map(|ip| SocketAddr::new(ip, port(8))),
                0x21 => ip(&rest[..16]).map(|ip| SocketAddr::new(ip, port(32))),
                _ => None,
            }))
        }
        _ => None,
    };
    (said, true)
}
