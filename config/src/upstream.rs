//! Where requests can go.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::{Duration, HostPort, Name, Percent, Weight};

mod balance;
mod credential;
mod endpoint;
mod health;

pub use balance::{Affinity, Balance, Prompt};
pub use credential::{Credential, Kind as CredentialKind};
pub use health::{Ejection, EjectionRules, ErrorRate, HealthCheck, Latency, Status};

/// A named set of equal servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The servers, 1 to 1024 of them.
    #[serde(deserialize_with = "field::at_least_one")]
    #[schemars(length(min = 1, max = 1024))]
    pub endpoints: Vec<Endpoint>,
    /// How one of them is chosen. Default: `round_robin`.
    #[serde(default)]
    pub balance: Balance,
    /// What requests have in common that go to the same endpoint. For `balance: hash`
    /// only, which needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// In what time an endpoint that was left alone, or failed its checks, gets back to
    /// its full share; it begins with a tenth. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<Duration>,
    /// When an endpoint is left alone after failures, or `off`. Default: after 5 in a
    /// row, for `10s`.
    #[serde(default)]
    pub ejection: Ejection,
    /// How the endpoints are checked when no request tells. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
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
    ///
    /// Of several, one that an endpoint answers with 429 and `Retry-After` is left alone
    /// there for that time, at most ten minutes, and the others are used; the endpoint is
    /// left alone when all of them are. One that it answers with 401 is left alone there for
    /// a minute if it takes the same request with another one, for which there must be an
    /// attempt left. (What is answered with 403 may well be forbidden to all of them.) An
    /// endpoint is its `address` here, whatever addresses a name has. With `ejection: off`
    /// none is left alone.
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
    /// How many of the requests may be tried again, in percent, 0 to 100. Whatever it is,
    /// ten in a second may. When it is spent, an attempt's failure is passed on even if
    /// another one is left, so that servers in trouble are not stormed. It is shared by
    /// all routes and survives reloads. A connection that cannot be made does not count.
    /// Default: 20.
    #[serde(default = "retry_budget")]
    pub retry_budget: Percent,
}

fn retry_budget() -> Percent {
    Percent::try_from(20).unwrap_or_default()
}

/// One server. Written as `127.0.0.1:8000`, or as a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or IP address, and port. All addresses of a name are used. It is looked
    /// up when the configuration is loaded, and again when what the name server said is
    /// not good any longer (its TTL, but not before a second has passed and at the latest
    /// after five minutes); `server.dns` says who is asked. While nobody knows the name,
    /// the addresses that it had stay.
    pub address: HostPort,
    /// Share of the requests, relative to the other endpoints. Default: 1.
    pub weight: Weight,
    /// Where it stands. It gets requests when those of the proxy's own `server.zone` are
    /// not enough, or none. Default: near.
    pub zone: Option<Name>,
    /// How many requests of this process it may have in flight, 1 to 1000000; past that
    /// they go to others, or are answered with 503. Default: any number.
    pub max_requests: Option<u32>,
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
