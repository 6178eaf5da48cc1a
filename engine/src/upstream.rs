//! An upstream of a generation: its endpoints as Pingora's peers.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::Guard;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use penstock_config::unit::Name;
use penstock_config::upstream as config;
use penstock_plugins::balance::{Change, Flight, Member, Pool, Verdict};
use penstock_plugins::{Exchange, Shared, affinity};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::utils::tls::{WrappedX509, parse_x509};
use pingora_error::{Error, ErrorType};
use pingora_http::RequestHeader;
use rustls::pki_types::CertificateDer;

use tracing::{info, warn};

use crate::files::Files;
use crate::materials::Machine;
use crate::names::{Answer, Answers, LookUpError};
use crate::retries::{Budget, Retries};
use crate::strict::{AnswerFault, INFORMATIONAL_MAX};
use crate::telemetry::{Telemetry, UpstreamMetrics};
use crate::tls::{AUTHORITIES_BYTES_MAX, Authorities};
use crate::transport::Transport;

mod credential;
mod endpoint;
mod fleet;
mod pauses;
mod settings;

pub use credential::{Credential, CredentialError, Credentials};
use endpoint::Common;
pub use endpoint::{Endpoint, Standing};
use fleet::Fleet;
pub(crate) use fleet::hosts;
pub use pauses::{Pauses, Why};

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
    /// How many of its requests may be tried again.
    pub retries: Arc<Retries>,
    fleet: Fleet,
    trust: Option<Trust>,
    affinity: Option<config::Affinity>,
}

/// What upstreams are built with, beside what is written of them.
pub struct Workshop<'a> {
    /// Where the proxy stands, and what it shares.
    pub site: Site<'a>,
    /// Reads files.
    pub files: &'a Files,
    /// Where counters are.
    pub telemetry: &'a Telemetry,
    /// What is known of the endpoints' names.
    pub answers: &'a Answers,
}

/// What endpoints are made with, beside what is written of them.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// How bytes are moved.
    pub transport: Transport,
    /// Where the proxy stands.
    pub zone: Option<&'a Name>,
    /// What generations share.
    pub shared: &'a Shared,
}

impl Upstream {
    /// Reads the credentials and the authorities' file.
    ///
    /// # Errors
    /// An endpoint's name is not known, or a credential or the file of authorities is unusable.
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
        let common = Common {
            name,
            upstream,
            trust: trust.as_ref(),
            site: workshop.site,
        };
        let fleet = Fleet::new(&common, workshop.answers).map_err(refuse)?;
        let shared = workshop.site.shared;
        let credentials = Credentials::read(name, &upstream.credentials, &Machine(files), shared)
            .map_err(|error| refuse(Cause::Credential(error)))?;
        let host = upstream
            .host
            .as_deref()
            .map(HeaderValue::from_str)
            .transpose();
        let metrics = workshop.telemetry.upstream(name);
        let budget = || Budget::new(Instant::now());
        let budget = workshop.site.shared.keep("retries", name, budget);
        let refused = metrics.over_budget.clone();
        Ok(Upstream {
            name: name.to_owned(),
            host: host.map_err(|_| refuse(Cause::Host))?,
            http2: upstream.protocol != config::Protocol::Http1,
            credentials,
            metrics,
            retries: Arc::new(Retries::new(upstream.retry_budget, budget, refused)),
            fleet,
            trust,
            affinity: upstream.affinity.clone(),
        })
    }

    /// Its endpoints, to choose from. They change while the generation serves when their
    /// names get other addresses.
    pub fn pool(&self) -> Guard<Arc<Pool<Arc<Endpoint>>>> {
        self.fleet.pool()
    }

    /// The names of endpoints that are to be looked up again.
    pub fn due(&self, now: Instant) -> Vec<String> {
        self.fleet.due(now)
    }

    /// Goes on with the addresses that a name had, until then. True if that is news.
    pub fn keep_addresses(&self, host: &str, until: Instant) -> bool {
        self.fleet.keep(host, until)
    }

    /// Takes the addresses of a name. True if they are others than before. `upstream` is
    /// what it was built from.
    pub fn readdress(
        &self,
        host: &str,
        answer: &Answer,
        upstream: &config::Upstream,
        site: Site<'_>,
    ) -> bool {
        let common = Common {
            name: &self.name,
            upstream,
            trust: self.trust.as_ref(),
            site,
        };
        self.fleet.renew(host, answer, &common)
    }

    /// Takes down how one of its endpoints did, and says so if it is ejected or back.
    pub fn judge(
        &self,
        endpoint: &Endpoint,
        flight: &mut Flight,
        verdict: Verdict,
        reason: &dyn fmt::Display,
        now: Duration,
    ) {
        let (upstream, label) = (self.name.as_str(), &*endpoint.label);
        match self.pool().judge(flight, verdict, now) {
            Some(Change::Ejected(time)) => {
                warn!(upstream, endpoint = label, %reason, ?time, "endpoint ejected");
            }
            Some(Change::TooSlow { time, took, others }) => {
                let endpoint = label;
                warn!(
                    upstream,
                    endpoint,
                    ?time,
                    ?took,
                    ?others,
                    "endpoint ejected: it is too slow"
                );
            }
            Some(Change::Returned) => info!(upstream, endpoint = label, "endpoint is back"),
            None => {}
        }
    }

    /// What a request has in common with those that go to the same endpoint, if that
    /// matters here.
    pub fn key(&self, head: &RequestHeader, exchange: &Exchange, body: &[Bytes]) -> Option<u64> {
        affinity::key(self.affinity.as_ref()?, exchange, head, body)
    }
}

/// Reads the head of an answer to what the proxy asks for itself, past those that only say
/// that there will be one.
pub(crate) async fn read_status(session: &mut HttpSession) -> pingora_error::Result<StatusCode> {
    for _ in 0..=INFORMATIONAL_MAX {
        session.read_response_header().await?;
        match session.response_header().map(|head| head.status) {
            Some(status) if status.is_informational() => {}
            Some(status) => return Ok(status),
            None => return Error::e_explain(ErrorType::InvalidHTTPHeader, "no head"),
        }
    }
    let fault = AnswerFault::Informational;
    Error::e_explain(ErrorType::InvalidHTTPHeader, fault.as_str())
}

/// The endpoints that can be chosen with their shares in percent: those that are near of
/// what stays near, the others of what does not.
pub fn shares<T>(pool: &Pool<T>) -> impl Iterator<Item = (f64, &Member<T>)> {
    let weight = |member: &Member<_>| f64::from(member.weight.get());
    let all = |near: bool| -> f64 {
        let alike = pool.members().filter(|member| member.near == near);
        alike.map(weight).sum()
    };
    let (near, far) = (all(true), all(false));
    pool.members().map(move |member| {
        let all = if member.near { near } else { far };
        (weight(member) * 100.0 / all, member)
    })
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
    LookUp { host: String, error: LookUpError },
    Authorities { path: PathBuf, why: String },
    Host,
    NoWeight,
}

impl Cause {
    fn look_up(host: &str, error: &LookUpError) -> Cause {
        Cause::LookUp {
            host: host.to_owned(),
            error: error.clone(),
        }
    }
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
