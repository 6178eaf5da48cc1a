//! Whom trusted proxies name in a request's headers.
//!
//! Each proxy adds the address of whoever it was asked by at the end. So the list is read
//! from there, through addresses that are trusted, to the first one that is not: what stands
//! before that is what a stranger says. The beginning of a list, which is the client's to
//! write, is never looked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use penstock_config::server::ForwardedHeader;
use penstock_plugins::networks::Networks;

/// Proxies in a row that are looked through. More than these are no deployment, but a list
/// that somebody within a trusted network has made up.
const HOPS_MAX: usize = 32;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sent the request. An entry that names no address leaves the proxy that wrote it.
pub(super) fn client(
    peer: IpAddr,
    trusted: &Networks,
    header: ForwardedHeader,
    headers: &HeaderMap,
) -> IpAddr {
    let name = match header {
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardedHeader::Forwarded => FORWARDED,
    };
    let mut client = peer;
    let lines = headers.get_all(name).into_iter().rev();
    let entries = lines.flat_map(|line| Entries(Some(line.as_bytes())));
    for entry in entries.take(HOPS_MAX) {
        if !trusted.contains(client) {
            break;
        }
        let named = match header {
            ForwardedHeader::XForwardedFor => node(entry),
            ForwardedHeader::Forwarded => named(entry),
        };
        match named {
            Some(address) => client = address,
            None => break,
        }
    }
    client
}

/// The entries of a list from its last one on. What stands before it, and whether quotes are
/// closed there, changes nothing of how it is read: only the end is a trusted proxy's.
struct Entries<'l>(Option<&'l [u8]>);

impl<'l> Iterator for Entries<'l> {
    type Item = &'l [u8];

    fn next(&mut self) -> Option<&'l [u8]> {
        loop {
            let (before, entry) = split_last(self.0?, b',');
            self.0 = before;
            let entry = entry.trim_ascii();
            // A list may have elements without anything in them (RFC 9110 section 5.6.1.2).
            if !entry.is_empty() {
                return Some(entry);
            }
        }
    }
}

/// What stands before the last separator that is in no quoted string, and what behind it.
fn split_last(bytes: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut in_quotes = false;
    for (at, &byte) in bytes.iter().enumerate().rev() {
        let (before, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        match byte {
            b'"' if !is_escaped(before) => in_quotes = !in_quotes,
            _ if byte == separator && !in_quotes => {
                return (Some(before), rest.get(1..).unwrap_or_default());
            }
            _ => {}
        }
    }
    (None, bytes)
}

fn is_escaped(before: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The address that an element of `Forwarded` is for (RFC 7239 section 4).
fn named(element: &[u8]) -> Option<IpAddr> {
    let mut rest = Some(element);
    let mut found = None;
    while let Some(bytes) = rest {
        let (before, pair) = split_last(bytes, b';');
        rest = before;
        let pair = pair.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = pair.split_at_checked(equals)?;
        if !name.eq_ignore_ascii_case(b"for") {
            continue;
        }
        if found.is_some() {
            // Each parameter stands there once.
            return None;
        }
        found = Some(node(unquoted(value.get(1..)?)?)?);
    }
    found
}

/// A token, or what is in a quoted string. No address needs an escape.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    let inside = match value.strip_prefix(b"\"") {
        Some(quoted) => quoted.strip_suffix(b"\"")?,
        None => value,
    };
    let is_plain = !inside.iter().any(|byte| matches!(byte, b'"' | b'\\'));
    is_plain.then_some(inside)
}

/// The address of a node, with or without a port (RFC 7239 section 6). Of IPv4 over IPv6, the
/// one of IPv4.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let (address, port) = text.split_at_checked(text.find(':')?)?;
            (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    (port.is_empty() || is_port(port.strip_prefix(':')?)).then(|| address.to_canonical())
}

/// A number, or an obfuscated one.
fn is_port(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_of_name),
        None => {
            text.len() <= 5
                && text.bytes().all(|byte| byte.is_ascii_digit())
                && text.parse::<u16>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests;
