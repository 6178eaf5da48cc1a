//! Name servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// Where name servers listen if nothing else is said (RFC 1035 section 4.2).
const PORT: u16 = 53;

/// The address of a name server, as in `10.96.0.10`, `127.0.0.1:5353` or `[fd00::1]:53`.
/// The port is 53 unless it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameServer(SocketAddr);

text_value!(NameServer, "the IP address of a name server such as `10.96.0.10`", {
    "type": "string",
    "title": "name server",
    "description": "An IP address, with or without a port (default: 53).",
    "pattern": r"^[0-9A-Fa-f:.\[\]%]+$",
    "examples": ["10.96.0.10", "127.0.0.1:5353", "[fd00::1]:53"]
});

impl NameServer {
    /// Where it listens, for both UDP and TCP.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for NameServer {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(SocketAddr::new(ip, PORT)));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => Ok(Self(address)),
            _ => Err(Invalid::new(format!(
                "{} is not the IP address of a name server: write it as in `10.96.0.10` or \
                 `127.0.0.1:5353`",
                shown(text)
            ))),
        }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == PORT {
            self.0.ip().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}
