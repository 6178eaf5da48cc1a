//! Where a server listens.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// A host and a port, as in `models.internal:8000`, `10.0.0.7:80` or `[::1]:80`. The
/// port is required: guessing one from the presence of TLS has surprised enough people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Lower-case, and without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

text_value!(HostPort, "a host and port such as `127.0.0.1:8000`", {
    "type": "string",
    "title": "host and port",
    "description": "Host name or IP address, and port. IPv6 addresses are in brackets.",
    "pattern": r"^([A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
    "examples": ["127.0.0.1:8000", "models.internal:8000", "[::1]:8000"]
});

impl HostPort {
    /// The host: a name in lower case, or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, from 1 to 65535.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, if the host is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for HostPort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse =
            |why: &str| Invalid::new(format!("{} is not a host and port: {why}", shown(text)));
        if let Some((scheme, rest)) = text.split_once("://") {
            let rest = rest.trim_end_matches('/');
            return Err(refuse(&format!(
                "drop the scheme {} and write {}",
                shown(&format!("{scheme}://")),
                shown(rest)
            )));
        }
        if text.contains('/') {
            return Err(refuse("drop the path"));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                bracketed(rest).ok_or_else(|| refuse("write an IPv6 address as in `[::1]:8000`"))?
            }
            None => {
                let (host, port) = text
                    .rsplit_once(':')
                    .ok_or_else(|| refuse("add the port, as in `localhost:8000`"))?;
                if host.contains(':') {
                    return Err(refuse(
                        "write an IPv6 address in brackets, as in `[::1]:8000`",
                    ));
                }
                check_host(host).map_err(|why| refuse(&why))?;
                (host.to_ascii_lowercase(), port)
            }
        };
        // `u16::from_str` takes a sign, which no port has.
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(port) if port > 0 && digits => Ok(Self { host, port }),
            _ => Err(refuse("the port must be a number from 1 to 65535")),
        }
    }
}

/// The address and the port of what follows an opening bracket.
fn bracketed(rest: &str) -> Option<(String, &str)> {
    let (host, port) = rest.split_once(']')?;
    let address: Ipv6Addr = host.parse().ok()?;
    Some((address.to_string(), port.strip_prefix(':')?))
}

/// Checks a DNS name or an IPv4 address (RFC 1123 section 2.1). Underscores are let
/// through, because service discovery makes names with them. Gives the reason if the
/// host is refused.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    const HOST_CHARS_MAX: usize = 253;
    const LABEL_CHARS_MAX: usize = 63;

    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > HOST_CHARS_MAX {
        return Err("a host name has at most 253 characters".to_owned());
    }
    let mut last = "";
    for label in name.split('.') {
        if label.is_empty() || label.len() > LABEL_CHARS_MAX {
            return Err("each part of a host name between dots has 1 to 63 characters".to_owned());
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("no part of a host name starts or ends with `-`".to_owned());
        }
        if let Some(c) = label
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        {
            return Err(format!(
                "{} cannot be in a host name",
                shown(&c.to_string())
            ));
        }
        last = label;
    }
    // A name whose last part is a number can only be meant as an address (WHATWG URL,
    // "ends in a number"): refused here instead of asked of the DNS.
    if last.bytes().all(|b| b.is_ascii_digit()) && host.parse::<std::net::Ipv4Addr>().is_err() {
        return Err("it is not a valid IPv4 address".to_owned());
    }
    Ok(())
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}
