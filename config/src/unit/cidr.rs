//! Networks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Invalid, shown, text_value};

/// A network in CIDR notation (RFC 4632, RFC 4291 section 2.3), as in `10.0.0.0/8` or
/// `2001:db8::/32`; an address alone is the network of that one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(IpNet);

text_value!(Cidr, "a network such as `10.0.0.0/8`", {
    "type": "string",
    "title": "network",
    "description": "A network in CIDR notation, or one address.",
    "pattern": r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
    "examples": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]
});

impl Cidr {
    /// The addresses of the machine itself (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).
    pub(crate) fn loopback() -> [Self; 2] {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        let v6 = Ipv6Net::from(Ipv6Addr::LOCALHOST);
        [Self(v4.into()), Self(v6.into())]
    }

    /// The network.
    pub fn network(self) -> IpNet {
        self.0
    }
}

impl FromStr for Cidr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| Invalid::new(format!("{} is not a network: {why}", shown(text)));
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let network: IpNet = text
            .parse()
            .map_err(|_| refuse("write it as in `10.0.0.0/8` or `2001:db8::/32`"))?;
        // Clients that arrive as IPv4 over IPv6 are looked up by their IPv4 address.
        if let IpNet::V6(v6) = network
            && v6.addr().to_ipv4_mapped().is_some()
        {
            return Err(refuse("write the IPv4 network"));
        }
        // `10.1.2.3/8` may be meant as the host or as the network: the operator says.
        if network.addr() != network.network() {
            let network = network.trunc().to_string();
            return Err(refuse(&format!(
                "its address has bits beyond the prefix: write {}",
                shown(&network)
            )));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
