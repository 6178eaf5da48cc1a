//! Who clients are, and how much of the proxy one of them may take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::Cidr;

/// Whose word on a client's address is taken, and how many connections an address may have.
///
/// Connections are counted over all workers, by IPv4 address, and by the /64 of an IPv6
/// address, which is the least that a client is given (RFC 6177 section 2). Past a bound a
/// connection is closed as soon as it is accepted, before TLS, and counted in
/// `penstock_connections_refused_total` by the reason. How many connections there may be in
/// all is `limits.connections`, for each worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// Networks of the proxies and load balancers in front of this one, at most 1024. What
    /// they say of where a request comes from is believed, and their connections are not
    /// bounded by their address. Default: none, so that a client is who connects. The whole
    /// of IPv4 or IPv6 is refused: anybody could then name any address.
    #[serde(deserialize_with = "field::short_list::<_, _, 1024>")]
    #[schemars(length(max = 1024))]
    pub trusted_proxies: Vec<Cidr>,
    /// The header in which a trusted proxy names the client. It is read from its end, through
    /// addresses of trusted proxies, to the first one that is not: the client. One header
    /// only, since a proxy that writes one passes the other as the client sent it. Default:
    /// `x_forwarded_for`.
    pub forwarded_header: ForwardedHeader,
    /// Connections that one address may have open. Default: 4096, at least 1, at most
    /// 1000000. It is to stop one client from taking a worker's 65536, not one that shares
    /// its address with an office or with a provider's customers (RFC 6269 section 13.1).
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_address: u32,
    /// Connections that one address may open in a second for as long as it likes. Default:
    /// 512, at least 1, at most 1000000. A TLS handshake takes a processor up to a
    /// millisecond, so that an address gets at most about half of one.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub new_connections_per_second: u32,
    /// Connections that one address may open at once, above that rate. Default: 4096, at
    /// least 1, at most 1000000: all clients of one address may come back together after an
    /// interruption.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub new_connections_burst: u32,
    /// Networks whose connections are not bounded by their address, at most 1024. Default:
    /// the machine itself, `127.0.0.0/8` and `::1`. Nothing that they say is believed.
    #[serde(deserialize_with = "field::short_list::<_, _, 1024>")]
    #[schemars(length(max = 1024))]
    pub exempt: Vec<Cidr>,
}

/// The header in which a trusted proxy names the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses with commas between, with or without ports.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239). Its `for` is read; what names no address there (`unknown`, an
    /// obfuscated identifier) leaves the address of the proxy that wrote it.
    Forwarded,
}

/// Whether connections begin with the address of their client, as the PROXY protocol has it
/// (versions 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyProtocol {
    /// Each connection comes from a trusted proxy and begins so; any other is closed.
    Required,
    /// Those of trusted proxies may begin so. One from anybody else that does is closed.
    Optional,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            forwarded_header: ForwardedHeader::default(),
            connections_per_address: 4096,
            new_connections_per_second: 512,
            new_connections_burst: 4096,
            exempt: Cidr::loopback().to_vec(),
        }
    }
}
