//! An upstream of a generation: its endpoints as Pingora's peers.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use penstock_config::unit::HostPort;
use penstock_config::upstream as config;
use penstock_plugins::split::Distribution;
use pingora_core::protocols::{ALPN, TcpKeepalive};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use rustls::pki_types::CertificateDer;

use crate::files::Files;
use crate::materials::Machine;
use crate::telemetry::{Telemetry, UpstreamMetrics};
use crate::tls::{AUTHORITIES_BYTES_MAX, Authorities};
use crate::transport::{Transport, ring_alpn};

mod credential;

pub use credential::{Credential, CredentialError, Credentials};

/// Streams that may share one HTTP/2 connection to an upstream.
const HTTP2_STREAMS_MAX: usize = 100;

/// How often an idle HTTP/2 connection to an upstream is checked.
const HTTP2_PING: Duration = Duration::from_secs(30);

/// A named set of equal servers.
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// Value of the `Host` header sent to it; what the client sent if there is none.
    pub host: Option<HeaderValue>,
    /// Whether it may be spoken to over HTTP/2.
    pub http2: bool,
    /// What it knows the proxy by.
    pub credentials: Option<Credentials>,
    /// Its counters.
    pub metrics: Arc<UpstreamMetrics>,
    endpoints: Distribution<Arc<Endpoint>>,
}

/// One address of an upstream.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Place among the upstream's addresses.
    pub index: usize,
    /// As the configuration names it, for logs.
    pub label: Arc<str>,
    peer: HttpPeer,
}

impl Endpoint {
    /// The address to connect to.
    pub fn address(&self) -> String {
        self.peer._address.to_string()
    }

    /// The peer to connect to.
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.peer.clone())
    }
}

impl Upstream {
    /// Looks up the endpoints' names and reads the credentials and the authorities' file.
    ///
    /// # Errors
    /// A name does not resolve, or a credential or the file of authorities is unusable.
    pub fn build(
        name: &str,
        upstream: &config::Upstream,
        transport: Transport,
        files: &Files,
        telemetry: &Telemetry,
    ) -> Result<Upstream, BuildError> {
        let refuse = |cause| BuildError {
            upstream: name.to_owned(),
            cause,
        };
        let trust = upstream
            .tls
            .as_ref()
            .and_then(|tls| tls.ca.as_deref())
            .map(|path| Trust::read(path, files))
            .transpose();
        let trust = trust.map_err(refuse)?;
        let mut endpoints = Vec::new();
        for endpoint in &upstream.endpoints {
            let addresses = look_up(&endpoint.address).map_err(refuse)?;
            for address in addresses {
                let peer = peer(
                    address,
                    &endpoint.address,
                    upstream,
                    trust.as_ref(),
                    transport,
                );
                let label = endpoint.address.to_string().into();
                let built = Endpoint {
                    index: endpoints.len(),
                    label,
                    peer,
                };
                endpoints.push((endpoint.weight, Arc::new(built)));
            }
        }
        let credentials = Credentials::read(&upstream.credentials, &Machine(files))
            .map_err(|error| refuse(Cause::Credential(error)))?;
        let host = upstream
            .host
            .as_deref()
            .map(HeaderValue::from_str)
            .transpose();
        Ok(Upstream {
            name: name.to_owned(),
            host: host.map_err(|_| refuse(Cause::Host))?,
            http2: upstream.protocol != config::Protocol::Http1,
            credentials,
            metrics: telemetry.upstream(name),
            endpoints: Distribution::new(endpoints).map_err(|_| refuse(Cause::NoWeight))?,
        })
    }

    /// The endpoints that can be picked, with their shares in percent.
    pub fn endpoints(&self) -> impl Iterator<Item = (f64, &Arc<Endpoint>)> {
        self.endpoints.shares()
    }

    /// The endpoint whose turn it is, among those not in `tried`; if all are, the one
    /// whose turn it is.
    pub fn pick(&self, tried: &[usize]) -> &Arc<Endpoint> {
        if tried.is_empty() {
            return self.endpoints.pick();
        }
        let fresh = self
            .endpoints
            .pick_excluding(|endpoint| tried.contains(&endpoint.index));
        fresh.unwrap_or_else(|| self.endpoints.pick())
    }
}

fn look_up(address: &HostPort) -> Result<Vec<SocketAddr>, Cause> {
    if let Some(ip) = address.ip() {
        return Ok(vec![SocketAddr::new(ip, address.port())]);
    }
    let failed = |error| Cause::LookUp {
        host: address.host().to_owned(),
        error,
    };
    let found = (address.host(), address.port())
        .to_socket_addrs()
        .map_err(failed)?;
    let mut addresses: Vec<_> = found.collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )));
    }
    Ok(addresses)
}

fn peer(
    address: SocketAddr,
    named: &HostPort,
    upstream: &config::Upstream,
    trust: Option<&Trust>,
    transport: Transport,
) -> HttpPeer {
    // Pingora checks no certificate at all when the name is empty, so there is always one.
    let name = match &upstream.tls {
        Some(tls) => tls
            .server_name
            .clone()
            .unwrap_or_else(|| named.host().to_owned()),
        None => String::new(),
    };
    let mut peer = HttpPeer::new(address, upstream.tls.is_some(), name);
    let options = &mut peer.options;
    options.connection_timeout = Some(upstream.timeouts.connect.get());
    options.total_connection_timeout = Some(upstream.timeouts.connect.get());
    options.read_timeout = Some(upstream.timeouts.read.get());
    options.write_timeout = Some(upstream.timeouts.write.get());
    options.idle_timeout = Some(upstream.timeouts.idle.get());
    options.max_h2_streams = HTTP2_STREAMS_MAX;
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 6,
        user_timeout: Duration::ZERO,
    });
    options.alpn = match upstream.protocol {
        config::Protocol::Http1 if upstream.tls.is_none() && transport == Transport::IoUring => {
            ring_alpn()
        }
        config::Protocol::Http1 => ALPN::H1,
        config::Protocol::Http2 => ALPN::H2,
        config::Protocol::Auto => ALPN::H2H1,
    };
    if upstream.protocol != config::Protocol::Http1 {
        options.h2_ping_interval = Some(HTTP2_PING);
    }
    if let Some(tls) = &upstream.tls {
        options.verify_cert = tls.verify != config::Verify::None;
        options.verify_hostname = tls.verify == config::Verify::Full;
        if let Some(trust) = trust {
            options.ca = Some(trust.authorities.clone());
        }
    }
    // Pingora's pool does not tell connections apart by whom they trust.
    peer.group_key = trust.map_or(0, |trust| trust.digest);
    peer
}

/// Authorities read from a file.
struct Trust {
    authorities: Arc<[WrappedX509]>,
    digest: u64,
}

impl Trust {
    fn read(path: &Path, files: &Files) -> Result<Trust, Cause> {
        let refuse = |why: String| Cause::Authorities {
            path: path.to_owned(),
            why,
        };
        let text = files.file(path, AUTHORITIES_BYTES_MAX).map_err(refuse)?;
        // Pingora takes certificates as parsed and panics on others: rustls has them first.
        let Authorities { certificates, .. } = Authorities::from_pem(&text).map_err(refuse)?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let wrap =
            |certificate: CertificateDer<'_>| WrappedX509::new(certificate.to_vec(), parse_x509);
        Ok(Trust {
            authorities: certificates.into_iter().map(wrap).collect(),
            digest: hasher.finish(),
        })
    }
}

/// Why an upstream could not be built.
#[derive(Debug)]
pub struct BuildError {
    upstream: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Credential(CredentialError),
    LookUp { host: String, error: io::Error },
    Authorities { path: PathBuf, why: String },
    Host,
    NoWeight,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream `{}`: ", self.upstream)?;
        match &self.cause {
            Cause::Credential(error) => error.fmt(f),
            Cause::LookUp { host, error } => {
                write!(f, "the name `{host}` could not be looked up: {error}")
            }
            Cause::Authorities { path, why } => write!(
                f,
                "the authorities in {} are unusable: {why}",
                path.display()
            ),
            Cause::Host => f.write_str("`host` is not a valid header value"),
            Cause::NoWeight => f.write_str("no endpoint has a weight above zero"),
        }
    }
}

impl std::error::Error for BuildError {}
