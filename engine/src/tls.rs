//! Certificates: the listeners', which belong to a generation, and those of authorities.
//!
//! What a listener's handshakes go by is built whole, once for a generation, and shared by
//! all workers: a connection keeps what it began with. Session tickets outlive a
//! generation in which nothing of a listener's certificates has changed.

mod certificate;
mod choice;
mod clients;
mod names;
mod secured;
mod tickets;

use std::fmt;
use std::sync::Arc;

use penstock_config::server::{Listener, ListenerTls, TlsVersion};
use penstock_plugins::Shared;
use pingora_core::listeners::tls::{Acceptor, TlsSettings};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::NoServerSessionStorage;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::TlsAcceptor;

use crate::files::Files;
pub use certificate::Certificate;
pub use choice::Certificates;
pub use secured::{Failure, Secured};

/// Largest file of authorities that is read.
pub const AUTHORITIES_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the listeners accept TLS with, in the order of the file; none for a cleartext one.
pub type Accepting = Box<[Option<Tls>]>;

/// What a listener accepts TLS with.
pub struct Tls {
    /// Makes handshakes.
    pub acceptor: Arc<Acceptor>,
    /// What it shows.
    pub certificates: Arc<Certificates>,
}

/// Reads the certificates and keys of all listeners. What resumes sessions is found in
/// `shared` if nothing has changed.
///
/// # Errors
/// All that cannot be read or used.
pub fn accepting(
    listeners: &[Listener],
    files: &Files,
    shared: &Shared,
) -> Result<Accepting, Vec<CertificateError>> {
    let mut errors = Vec::new();
    let mut accepting = Vec::with_capacity(listeners.len());
    for (place, listener) in listeners.iter().enumerate() {
        let built = listener.tls.as_ref().map(|tls| {
            let workshop = Workshop {
                place,
                files,
                shared,
                provider: Arc::new(rustls::crypto::ring::default_provider()),
            };
            workshop.build(tls, listener.offers_http2())
        });
        match built.transpose() {
            Ok(built) => accepting.push(built),
            Err(why) => errors.extend(why),
        }
    }
    match errors.is_empty() {
        true => Ok(accepting.into()),
        false => Err(errors),
    }
}

/// What one listener is built with.
struct Workshop<'a> {
    place: usize,
    files: &'a Files,
    shared: &'a Shared,
    provider: Arc<CryptoProvider>,
}

impl Workshop<'_> {
    fn build(&self, tls: &ListenerTls, http2: bool) -> Result<Tls, Vec<CertificateError>> {
        let refuse = |what: &dyn fmt::Display, why: String| CertificateError {
            what: format!("server.listen[{}].tls: {what}", self.place),
            why,
        };
        let read = tls.certificates.iter().map(|written| {
            Certificate::read(written, self.files, &self.provider)
                .map_err(|(what, why)| refuse(&what, why))
        });
        let (read, failed): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
        if !failed.is_empty() {
            return Err(failed.into_iter().filter_map(Result::err).collect());
        }
        let read = read.into_iter().filter_map(Result::ok).collect();
        let certificates = Certificates::new(read, tls.unknown_names).map_err(|twice| {
            let twice = twice.into_iter();
            twice
                .map(|(what, why)| refuse(&what, why))
                .collect::<Vec<_>>()
        })?;
        let certificates = Arc::new(certificates);
        let mut config = self
            .config(tls, &certificates)
            .map_err(|(what, why)| vec![refuse(&what, why)])?;
        if http2 {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        config.alpn_protocols.push(b"http/1.1".to_vec());
        let acceptor = acceptor(config, &certificates)
            .map_err(|error| vec![refuse(&"the listener", error.to_string())])?;
        Ok(Tls {
            acceptor: Arc::new(acceptor),
            certificates,
        })
    }

    fn config(
        &self,
        tls: &ListenerTls,
        certificates: &Arc<Certificates>,
    ) -> Result<ServerConfig, (String, String)> {
        let versions: &[&SupportedProtocolVersion] = match tls.min_version {
            TlsVersion::Tls12 => &[&version::TLS12, &version::TLS13],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| ("the listener".to_owned(), error.to_string()))?;
        let builder = match &tls.client_certificates {
            Some(asked) => {
                let verifier = clients::verifier(asked, self.files, &self.provider)?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificates.clone());
        // AES-GCM first, which servers have instructions for, and most who call them.
        config.ignore_client_order = true;
        // Tickets carry what is to be remembered: nothing has to be kept for clients that
        // may never return.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if tls.client_certificates.is_some() {
            // A session would outlive the certificate that it was begun with: no connection
            // of such a listener is spared the proof.
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = tickets::of(self.place, certificates, self.shared)
                .ok_or_else(|| ("session tickets".to_owned(), "no random numbers".to_owned()))?;
        }
        Ok(config)
    }
}

/// An acceptor whose connections know what was settled: Pingora takes either a configuration
/// or someone to tell, and here it gets both.
fn acceptor(
    config: ServerConfig,
    certificates: &Arc<Certificates>,
) -> pingora_error::Result<Acceptor> {
    let told = secured::Told(certificates.clone());
    let mut settings = TlsSettings::with_callbacks(Box::new(told))?;
    settings.set_cert_resolver(certificates.clone());
    let mut acceptor = settings.build();
    acceptor.acceptor = TlsAcceptor::from(Arc::new(config));
    Ok(acceptor)
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
