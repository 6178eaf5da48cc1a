//! An upstream of a generation: its endpoints as Pingora's peers.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use penstock_config::unit::{HostPort, Name};
use penstock_config::upstream as config;
use penstock_plugins::balance::{self, Member, Pool};
use penstock_plugins::{Exchange, Shared};
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use pingora_http::RequestHeader;
use rustls::pki_types::CertificateDer;

use crate::files::Files;
use crate::materials::Machine;
use crate::telemetry::{Telemetry, UpstreamMetrics};
use crate::tls::{AUTHORITIES_BYTES_MAX, Authorities};
use crate::transport::Transport;

mod credential;
mod endpoint;
mod settings;

pub use credential::{Credential, CredentialError, Credentials};
use endpoint::Common;
pub use endpoint::{Endpoint, Standing};

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
    /// Its endpoints, to choose from.
    pub pool: Pool<Arc<Endpoint>>,
    affinity: Option<config::Affinity>,
}

/// What upstreams are built with, beside what is written of them.
pub struct Workshop<'a> {
    /// How bytes are moved.
    pub transport: Transport,
    /// Where the proxy stands.
    pub zone: Option<&'a Name>,
    /// Reads files.
    pub files: &'a Files,
    /// Where counters are.
    pub telemetry: &'a Telemetry,
    /// What generations share.
    pub shared: &'a Shared,
}

impl Upstream {
    /// Looks up the endpoints' names and reads the credentials and the authorities' file.
    ///
    /// # Errors
    /// A name does not resolve, or a credential or the file of authorities is unusable.
    pub fn build(
        name: &str,
        upstream: &config::Upstream,
        workshop: &Workshop<'_>,
    ) -> Result<Upstream, BuildError> {
        let refuse = |cause| BuildError {
            upstream: name.to_owned(),
            cause,
        };
        let files = workshop.files;
        let trust = upstream
            .tls
            .as_ref()
            .and_then(|tls| tls.ca.as_deref())
            .map(|path| Trust::read(path, files))
            .transpose();
        let trust = trust.map_err(refuse)?;
        let members = members(name, upstream, trust.as_ref(), workshop).map_err(refuse)?;
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
            metrics: workshop.telemetry.upstream(name),
            pool: Pool::new(settings::of(upstream), members)
                .map_err(|_| refuse(Cause::NoWeight))?,
            affinity: upstream.affinity.clone(),
        })
    }

    /// The endpoints that can be chosen with their shares in percent: those that are near
    /// of what stays near, the others of what does not.
    pub fn endpoints(&self) -> impl Iterator<Item = (f64, &Member<Arc<Endpoint>>)> {
        let weight = |member: &Member<_>| f64::from(member.weight.get());
        let all = |near: bool| -> f64 {
            let alike = self.pool.members().filter(|member| member.near == near);
            alike.map(weight).sum()
        };
        let (near, far) = (all(true), all(false));
        self.pool.members().map(move |member| {
            let all = if member.near { near } else { far };
            (weight(member) * 100.0 / all, member)
        })
    }

    /// What a request has in common with those that go to the same endpoint, if that
    /// matters here.
    pub fn key(&self, head: &RequestHeader, exchange: &Exchange) -> Option<u64> {
        match self.affinity.as_ref()? {
            config::Affinity::Header(name) => {
                let value = head.headers.get(name.as_str())?;
                Some(balance::hash(value.as_bytes()))
            }
            config::Affinity::Consumer => {
                let identity = exchange.identity()?;
                Some(balance::hash(identity.consumer.as_bytes()))
            }
        }
    }
}

/// The endpoints with all their addresses.
fn members(
    name: &str,
    upstream: &config::Upstream,
    trust: Option<&Trust>,
    workshop: &Workshop<'_>,
) -> Result<Vec<Member<Arc<Endpoint>>>, Cause> {
    let common = Common {
        name,
        upstream,
        trust,
        transport: workshop.transport,
        shared: workshop.shared,
    };
    let mut members = Vec::new();
    for written in &upstream.endpoints {
        let near = match (&written.zone, workshop.zone) {
            (Some(its), Some(own)) => its == own,
            _ => true,
        };
        for address in look_up(&written.address)? {
            let endpoint = Endpoint::new(&written.address, address, &common);
            members.push(Member {
                weight: written.weight,
                near,
                requests_max: written.max_requests.and_then(NonZeroU32::new),
                vitals: endpoint.standing.vitals.clone(),
                seed: endpoint.seed,
                target: Arc::new(endpoint),
            });
        }
    }
    Ok(members)
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
