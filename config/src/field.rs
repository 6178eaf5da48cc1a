//! Readers of fields whose type alone does not say what may be in them.
//!
//! A structure names them in `#[serde(deserialize_with)]`, so that a value outside its
//! range is refused where it is read, at its line and column.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::unit::{
    Glob, HeaderName, Invalid, Size, Text, TextVisitor, check_host, shown, whole_number,
};

/// A whole number from `MIN` to `MAX`.
pub(crate) fn within<'de, D, T, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    whole_number(deserializer, MIN, MAX)
}

/// Like [`within`], if the key is there.
pub(crate) fn optional_within<'de, D, T, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    whole_number(deserializer, MIN, MAX).map(Some)
}

/// A power of two from `MIN` to `MAX`, as the kernel demands of a ring's sizes
/// (io_uring_setup(2), io_uring_register_buf_ring(3)).
pub(crate) fn power_of_two<'de, D, T, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number: u64 = whole_number(deserializer, MIN, MAX)?;
    let above = number.next_power_of_two();
    if above != number {
        let below = above / 2;
        return Err(D::Error::custom(format!(
            "`{number}` is not a power of two: write {below} or {above}"
        )));
    }
    T::try_from(number).map_err(|_| D::Error::custom(format!("`{number}` is too large")))
}

/// A size from `MIN` to `MAX` bytes.
pub(crate) fn size_within<'de, D, const MIN: u64, const MAX: u64>(
    deserializer: D,
) -> Result<Size, D::Error>
where
    D: Deserializer<'de>,
{
    let size = Size::deserialize(deserializer)?;
    if (MIN..=MAX).contains(&size.bytes()) {
        return Ok(size);
    }
    let bound =
        |bytes| Size::try_from(bytes).map_or_else(|_| "0B".to_owned(), |size| size.to_string());
    Err(D::Error::custom(format!(
        "`{size}` is out of range: write {} to {}",
        bound(MIN),
        bound(MAX)
    )))
}

/// A list with an element at least.
pub(crate) fn at_least_one<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(D::Error::custom(
            "the list is empty: write at least one element",
        ));
    }
    Ok(list)
}

/// A list with 1 to `MAX` elements, if the key is there. An empty one is refused: it
/// could mean all as well as none.
pub(crate) fn optional_list<'de, D, T, const MAX: usize>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    some_list::<D, T, MAX>(deserializer).map(Some)
}

/// A list with 1 to `MAX` elements.
pub(crate) fn some_list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = at_least_one(deserializer)?;
    at_most::<D::Error>(list.len(), MAX)?;
    Ok(list)
}

/// A list with at most `MAX` elements.
pub(crate) fn short_list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Vec::deserialize(deserializer)?;
    at_most::<D::Error>(list.len(), MAX)?;
    Ok(list)
}

/// A mapping with at most `MAX` entries.
pub(crate) fn short_map<'de, D, K, V, const MAX: usize>(
    deserializer: D,
) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
{
    let map = BTreeMap::deserialize(deserializer)?;
    at_most::<D::Error>(map.len(), MAX)?;
    Ok(map)
}

fn at_most<E: Error>(count: usize, most: usize) -> Result<(), E> {
    if count <= most {
        return Ok(());
    }
    Err(E::custom(format!(
        "{count} elements are too many: write at most {most}"
    )))
}

/// The address of a listener.
pub(crate) fn socket_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SocketAddr, D::Error> {
    let ListenAddress(address) = read(deserializer)?;
    Ok(address)
}

/// The path of a file.
pub(crate) fn file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let FilePath(path) = read(deserializer)?;
    Ok(path)
}

/// The path of a file, if the key is there.
pub(crate) fn optional_file<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    file(deserializer).map(Some)
}

/// A host with or without a port, as a `Host` header has it, if the key is there.
pub(crate) fn optional_host_header<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let HostHeader(host) = read(deserializer)?;
    Ok(Some(host))
}

/// A host without a port, if the key is there.
pub(crate) fn optional_host<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let Host(host) = read(deserializer)?;
    Ok(Some(host))
}

/// A path that a request can have.
pub(crate) fn request_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let RequestPath(path) = read(deserializer)?;
    Ok(path)
}

/// A path with or without a query.
pub(crate) fn request_target<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    let RequestTarget(target) = read(deserializer)?;
    Ok(target)
}

/// A pattern that the path of a request can match.
pub(crate) fn path_pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Glob, D::Error> {
    let glob = Glob::deserialize(deserializer)?;
    if glob.as_str().starts_with(['/', '*']) {
        return Ok(glob);
    }
    Err(D::Error::custom(format!(
        "`{glob}` matches no path: start it with `/` or `*`"
    )))
}

/// The name of a header that a plugin may set: not one that belongs to a connection or
/// frames the message, since a proxy that let it be set would be open to smuggling.
pub(crate) fn own_header<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<HeaderName, D::Error> {
    let name = HeaderName::deserialize(deserializer)?;
    if name.is_of_connection() || name.as_str() == "host" {
        return Err(D::Error::custom(format!(
            "`{name}` is set by the proxy itself: write another header"
        )));
    }
    Ok(name)
}

fn read<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(TextVisitor(std::marker::PhantomData))
}

struct ListenAddress(SocketAddr);

impl Text for ListenAddress {
    const EXPECTED: &'static str = "an IP address and port such as `127.0.0.1:8080`";
}

impl FromStr for ListenAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse_socket_address(text).map(Self)
    }
}

/// Parses the address of a listener; says how to write it if it is not one.
pub(crate) fn parse_socket_address(text: &str) -> Result<SocketAddr, Invalid> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let hint = match text.rsplit_once(':') {
        None if text.parse::<IpAddr>().is_ok() => "add the port, as in `127.0.0.1:8080`".to_owned(),
        None if text.parse::<u16>().is_ok() => format!("add the address, as in `0.0.0.0:{text}`"),
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => {
            format!("write `0.0.0.0:{port}` or `[::]:{port}` for all addresses")
        }
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
            format!("write `127.0.0.1:{port}`")
        }
        _ => "write it as in `127.0.0.1:8080` or `[::]:8080`".to_owned(),
    };
    Err(Invalid::new(format!(
        "{} is not an IP address and port: {hint}",
        shown(text)
    )))
}

struct FilePath(PathBuf);

impl Text for FilePath {
    const EXPECTED: &'static str = "the path of a file";
}

impl FromStr for FilePath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.contains('\0') {
            return Err(Invalid::new(format!(
                "{} is not the path of a file",
                shown(text)
            )));
        }
        Ok(Self(PathBuf::from(text)))
    }
}

struct HostHeader(String);

impl Text for HostHeader {
    const EXPECTED: &'static str = "a host such as `api.openai.com`";
}

impl FromStr for HostHeader {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.parse::<crate::unit::HostPort>().is_ok() || is_bracketed_ipv6(text) {
            return Ok(Self(text.to_owned()));
        }
        text.parse().map(|Host(host)| Self(host))
    }
}

fn is_bracketed_ipv6(text: &str) -> bool {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

struct Host(String);

impl Text for Host {
    const EXPECTED: &'static str = "a host such as `api.openai.com`";
}

impl FromStr for Host {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some((scheme, _)) = text.split_once("://") {
            let scheme = shown(&format!("{scheme}://"));
            return Err(Invalid::new(format!(
                "{} is not a host: drop the scheme {scheme}",
                shown(text)
            )));
        }
        if text.parse::<IpAddr>().is_err() {
            check_host(text)
                .map_err(|why| Invalid::new(format!("{} is not a host: {why}", shown(text))))?;
        }
        Ok(Self(text.to_owned()))
    }
}

struct RequestPath(String);

impl Text for RequestPath {
    const EXPECTED: &'static str = "a path such as `/v1`";
}

impl FromStr for RequestPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: String| {
            Err(Invalid::new(format!(
                "{} is not a path: {why}",
                shown(text)
            )))
        };
        if !text.starts_with('/') {
            return refuse(format!(
                "start it with `/`, as in {}",
                shown(&format!("/{text}"))
            ));
        }
        if text.contains(['?', '#']) {
            return refuse("drop the query, routes do not look at it".to_owned());
        }
        // What a request line cannot hold would never match (RFC 9112 section 3.2).
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return refuse(format!("write {} percent-encoded", shown(&c.to_string())));
        }
        match spelling(text) {
            Some(normal) if normal == text => Ok(Self(normal)),
            // A request's path is brought into one spelling before it is matched.
            Some(normal) => refuse(format!("requests are matched as {}", shown(&normal))),
            None => refuse("it has an escape that is none, or leaves its root".to_owned()),
        }
    }
}

/// The spelling in which the path of a request is matched (RFC 3986 section 6.2.2); several
/// slashes stay, which are one or not as `server.paths` says.
fn spelling(path: &str) -> Option<String> {
    // Without an escape and a segment that begins with a dot it is in that spelling.
    if !path.contains('%') && !path.contains("/.") {
        return Some(path.to_owned());
    }
    let mut unescaped = String::with_capacity(path.len());
    let mut parts = path.split('%');
    unescaped.push_str(parts.next()?);
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_escape = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_escape)?;
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => unescaped.push(char::from(byte)),
            false => unescaped.push_str(&format!("%{byte:02X}")),
        }
        unescaped.push_str(rest);
    }
    let mut segments = Vec::new();
    for segment in unescaped.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(segments.pop()?),
            _ => segments.push(segment),
        }
    }
    let ends_in_dots = unescaped.ends_with("/.") || unescaped.ends_with("/..");
    if ends_in_dots || segments.is_empty() {
        segments.push("");
    }
    Some(format!("/{}", segments.join("/")))
}

struct RequestTarget(String);

impl Text for RequestTarget {
    const EXPECTED: &'static str = "a path such as `/health`";
}

impl FromStr for RequestTarget {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let RequestPath(_) = path.parse()?;
        // As in a path, except that a query may have further question marks.
        let wrong = |c: &char| !c.is_ascii_graphic() || *c == '#';
        match query.and_then(|query| query.chars().find(wrong)) {
            Some(c) => Err(Invalid::new(format!(
                "{} is not a path: write {} percent-encoded",
                shown(text),
                shown(&c.to_string())
            ))),
            None if text.parse::<http::uri::PathAndQuery>().is_ok() => Ok(Self(text.to_owned())),
            None => Err(Invalid::new(format!("{} is not a path", shown(text)))),
        }
    }
}
