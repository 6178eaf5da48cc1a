//! Where requests can go.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::{Duration, HostPort, Weight};

mod credential;
mod endpoint;

pub use credential::{Credential, Kind as CredentialKind};

/// A named set of equal servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The servers, chosen in proportion to their weights. At least one, at most 1024.
    #[serde(deserialize_with = "field::at_least_one")]
    #[schemars(length(min = 1, max = 1024))]
    pub endpoints: Vec<Endpoint>,
    /// What the endpoints speak. Default: `http1`.
    #[serde(default)]
    pub protocol: Protocol,
    /// Speak TLS to the endpoints. Default: cleartext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// Value of the `Host` header sent upstream. Default: what the client sent.
    #[serde(
        default,
        deserialize_with = "field::optional_host_header",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    pub host: Option<String>,
    /// What the upstream knows the proxy by, chosen in proportion to the weights. With
    /// any, the client's own credentials are not sent upstream. Default: none. At most
    /// 64.
    #[serde(
        default,
        deserialize_with = "credential::list",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(min = 1, max = 64))]
    pub credentials: Vec<Credential>,
    /// How long to wait for what.
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// One server. Written as `127.0.0.1:8000`, or as a mapping with a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address, and port. A name is looked up when the
    /// configuration is loaded and again at each reload; all its addresses are used.
    pub address: HostPort,
    /// Share of the requests, relative to the other endpoints. Default: 1.
    pub weight: Weight,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in cleartext.
    Http2,
    /// HTTP/2 if the server offers it by ALPN, else HTTP/1.1. Needs `tls`.
    Auto,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// Name for SNI and for checking the certificate. Default: the endpoint's host.
    #[serde(
        default,
        deserialize_with = "field::optional_host",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    pub server_name: Option<String>,
    /// PEM file of the authorities to trust. Default: the system's.
    #[serde(
        default,
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    pub ca: Option<PathBuf>,
    /// Whether the certificate is checked. Default: `full`. `none` lets anyone on
    /// the path read and change the traffic.
    #[serde(default)]
    pub verify: Verify,
}

/// How an upstream's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Chain and name.
    #[default]
    Full,
    /// Chain only.
    Chain,
    /// Nothing.
    None,
}

/// How long to wait for an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For the connection, TLS included. Default: `5s`.
    pub connect: Duration,
    /// For the next bytes of the answer, head or body. Model servers can think for
    /// minutes before the first token. Default: `10m`.
    pub read: Duration,
    /// For the upstream to take the next bytes of the request. Default: `60s`.
    pub write: Duration,
    /// How long an idle connection is kept for reuse. Default: `60s`.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::seconds(5),
            read: Duration::seconds(10 * 60),
            write: Duration::seconds(60),
            idle: Duration::seconds(60),
        }
    }
}

#[cfg(test)]
mod tests;
