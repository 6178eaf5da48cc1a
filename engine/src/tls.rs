//! Certificates: the listeners', which belong to a generation, and those of authorities.

use std::fmt;
use std::sync::Arc;

use penstock_config::server::{Listener, ListenerTls};
use penstock_config::unit::Secret;
use pingora_core::listeners::tls::Acceptor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, version};

use crate::files::Files;

/// Largest certificate or key file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Largest file of authorities that is read.
pub const AUTHORITIES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The acceptors of all listeners, in the order of the file; none for a cleartext one.
pub type Acceptors = Box<[Option<Arc<Acceptor>>]>;

/// Reads the certificates and keys of all listeners.
///
/// # Errors
/// The first one that cannot be read or used.
pub fn acceptors(listeners: &[Listener], files: &Files) -> Result<Acceptors, CertificateError> {
    let acceptors = listeners.iter().map(|listener| {
        let Some(tls) = &listener.tls else {
            return Ok(None);
        };
        acceptor(tls, listener.offers_http2(), files).map(|acceptor| Some(Arc::new(acceptor)))
    });
    acceptors.collect()
}

fn acceptor(tls: &ListenerTls, http2: bool, files: &Files) -> Result<Acceptor, CertificateError> {
    let refuse = |what: String, why: String| CertificateError { what, why };
    let certificate = tls.certificate.display().to_string();
    let read = |path| files.file(path, FILE_BYTES_MAX);
    let chain = read(&tls.certificate).map_err(|why| refuse(certificate.clone(), why))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|error| refuse(certificate.clone(), error.to_string()))?;
    if chain.is_empty() {
        return Err(refuse(certificate, "it holds no certificate".into()));
    }
    let (named, text) = match &tls.private_key {
        Secret::File(path) => (path.display().to_string(), read(path)),
        Secret::Env(name) => {
            let value = std::env::var(name.as_str())
                .map(|value| value.into_bytes().into())
                .map_err(|error| error.to_string());
            (format!("the environment variable {}", name.as_str()), value)
        }
    };
    let key = text
        .and_then(|text| PrivateKeyDer::from_pem_slice(&text).map_err(|error| error.to_string()));
    let key = key.map_err(|why| refuse(named, why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS12, &version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    let mut config = config.map_err(|error| refuse(certificate, error.to_string()))?;
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Acceptor::from_server_config(Arc::new(config)))
}

/// Authorities to trust, as they stand in a file and as rustls looks for them.
pub struct Authorities {
    /// One at least.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The same.
    pub roots: RootCertStore,
}

impl Authorities {
    /// Reads them from PEM.
    ///
    /// # Errors
    /// The text is no PEM, one of them cannot be used, or there is none.
    pub fn from_pem(text: &[u8]) -> Result<Authorities, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let certificates = certificates.map_err(|error| format!("not PEM: {error}"))?;
        if certificates.is_empty() {
            return Err("it holds no certificate".into());
        }
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            let added = roots.add(certificate.clone());
            added.map_err(|error| error.to_string())?;
        }
        Ok(Authorities {
            certificates,
            roots,
        })
    }
}

/// Why a listener's certificate cannot be used.
#[derive(Debug)]
pub struct CertificateError {
    what: String,
    why: String,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is unusable: {}", self.what, self.why)
    }
}

impl std::error::Error for CertificateError {}
