//! The header of the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>): what a load balancer that
//! does not speak HTTP says of a connection before its first byte.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";

/// Longest line of version 1, its end included (section 2.1).
const LINE_MAX: usize = 107;

/// What version 2 begins with (section 2.2).
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, and the length of what follows.
const FIXED: usize = 16;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// No such header.
    Other,
    /// They can become one, and more of them decide.
    Open,
    /// A header.
    Header(Header),
}

/// What a proxy says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes from the first to the last, which may not be here yet: what follows the
    /// addresses is of no interest, and is up to 65535 bytes long.
    pub len: usize,
    /// Whom the proxy speaks for. None if that is itself, as when it looks whether anybody
    /// answers, or somebody without an IP address.
    pub source: Option<SocketAddr>,
}

/// A header that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a malformed header of the PROXY protocol")
    }
}

impl std::error::Error for Malformed {}

/// Reads the header that a connection begins with. Once it is decided what the bytes are,
/// more of them change nothing.
///
/// # Errors
/// They begin as a header does, and go on otherwise.
pub fn parse(bytes: &[u8]) -> Result<Beginning, Malformed> {
    for (start, header) in [
        (WORD, version_1 as fn(&[u8]) -> Result<Beginning, Malformed>),
        (SIGNATURE, version_2),
    ] {
        if bytes.starts_with(start) {
            return header(bytes);
        }
        if start.starts_with(bytes) {
            return Ok(Beginning::Open);
        }
    }
    Ok(Beginning::Other)
}

/// A line of text (section 2.1).
fn version_1(bytes: &[u8]) -> Result<Beginning, Malformed> {
    let seen = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = seen.iter().position(|&byte| byte == b'\n') else {
        return match seen.len() < LINE_MAX {
            true => Ok(Beginning::Open),
            false => Err(Malformed),
        };
    };
    let line = seen
        .get(WORD.len()..end)
        .and_then(|line| line.strip_suffix(b"\r"));
    let line = std::str::from_utf8(line.ok_or(Malformed)?).map_err(|_| Malformed)?;
    Ok(Beginning::Header(Header {
        len: end + 1,
        source: source_of_line(line)?,
    }))
}

fn source_of_line(line: &str) -> Result<Option<SocketAddr>, Malformed> {
    // What follows this word is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or(Malformed);
    let family = next()?;
    let address = |text: &str| -> Result<IpAddr, Malformed> {
        match family {
            "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| Malformed),
            "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    };
    let (source, _) = (address(next()?)?, address(next()?)?);
    let (port, _) = (port(next()?)?, port(next()?)?);
    match words.next() {
        None => Ok(Some(SocketAddr::new(source, port))),
        Some(_) => Err(Malformed),
    }
}

/// A number without a sign or leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || (text.len() > 1 && text.starts_with('0')) {
        return Err(Malformed);
    }
    text.parse().map_err(|_| Malformed)
}

/// Binary (section 2.2).
fn version_2(bytes: &[u8]) -> Result<Beginning, Malformed> {
    let Some(&command) = bytes.get(SIGNATURE.len()) else {
        return Ok(Beginning::Open);
    };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed),
    };
    let Some(&family) = bytes.get(SIGNATURE.len() + 1) else {
        return Ok(Beginning::Open);
    };
    // Addresses of both ends with their ports, or paths.
    let needed = match family {
        0x00..=0x02 => 0,
        0x10..=0x12 => 12,
        0x20..=0x22 => 36,
        0x30..=0x32 => 216,
        _ => return Err(Malformed),
    };
    let Some(length) = array(bytes, SIGNATURE.len() + 2) else {
        return Ok(Beginning::Open);
    };
    let length = usize::from(u16::from_be_bytes(length));
    let len = FIXED + length;
    // What a proxy sends on its own behalf may have no addresses, whatever it says of them.
    if is_local {
        return Ok(Beginning::Header(Header { len, source: None }));
    }
    if length < needed {
        return Err(Malformed);
    }
    let source = match family {
        0x11 => source_of::<4, Ipv4Addr>(bytes),
        0x21 => source_of::<16, Ipv6Addr>(bytes),
        // Not over TCP, or without an IP address.
        _ => return Ok(Beginning::Header(Header { len, source: None })),
    };
    Ok(match source {
        Some(source) => Beginning::Header(Header {
            len,
            source: Some(source),
        }),
        None => Beginning::Open,
    })
}

/// The first of two addresses and of the two ports behind them, if they are here.
fn source_of<const N: usize, A>(bytes: &[u8]) -> Option<SocketAddr>
where
    A: From<[u8; N]> + Into<IpAddr>,
{
    let address: [u8; N] = array(bytes, FIXED)?;
    let port = array(bytes, FIXED + 2 * N)?;
    let address: IpAddr = A::from(address).into();
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests;
