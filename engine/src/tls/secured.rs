//! What a connection's handshake has settled, and why others failed.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::listeners::TlsAccept;
use pingora_core::protocols::Digest;
use pingora_core::protocols::tls::TlsRef;
use pingora_error::Error;

use super::choice::{Candidates, Certificates};
use super::clients;
use super::names::literal;

/// What a connection's handshake has settled.
pub struct Secured {
    /// The name that the client asked for, in lower case.
    server_name: Option<Box<str>>,
    /// The certificates of which it has got one.
    given: Candidates,
    /// The name of the client's certificate, which was verified.
    client: Option<Arc<str>>,
}

impl Secured {
    /// What was settled on a connection; none on a cleartext one.
    pub fn of(connection: Option<&Digest>) -> Option<&Secured> {
        connection?.ssl_digest.as_ref()?.extension.get()
    }

    /// Whether requests for this host, without a port, belong on the connection: it is what
    /// the client asked for, or the certificate that it got covers it, so that a client may
    /// send them here as well (RFC 9113 section 9.1.1). A client that asked for nothing may
    /// address the proxy by an address: none can be asked for.
    ///
    /// All names of a listener ask the same of clients, so that no request comes to more by
    /// another name.
    pub fn serves(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        if host.is_empty() {
            // HTTP/1.0 need not name one.
            return true;
        }
        match &self.server_name {
            Some(name) if host.eq_ignore_ascii_case(name.as_bytes()) => return true,
            None if literal(host).is_some() => return true,
            Some(_) | None => {}
        }
        let mut given = self.given.iter();
        given.all(|certificate| certificate.names.cover(host))
    }

    /// The name of the client's certificate, which was verified.
    pub fn client(&self) -> Option<&Arc<str>> {
        self.client.as_ref()
    }
}

/// Tells a connection what its handshake has settled.
pub(super) struct Told(pub(super) Arc<Certificates>);

#[async_trait]
impl TlsAccept for Told {
    async fn handshake_complete_callback(
        &self,
        tls: &TlsRef,
    ) -> Option<Arc<dyn Any + Send + Sync>> {
        let asked = tls.server_name();
        let given = self.0.asked_for(asked)?.clone();
        Some(Arc::new(Secured {
            server_name: asked.map(|name| name.strip_suffix('.').unwrap_or(name).into()),
            given,
            client: tls.peer_certificate_der().and_then(clients::name),
        }))
    }
}

/// Why a handshake failed, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client asked for a name that no certificate has.
    UnknownName,
    /// The client showed no certificate where one is required, or a wrong one.
    ClientCertificate,
    /// The client refused what it was shown, most likely the certificate.
    ClientAlert,
    /// The client spoke something else, or nothing in common was found.
    Protocol,
    /// The connection ended before.
    Ended,
    /// It took too long.
    Timeout,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 6] = [
        Failure::UnknownName,
        Failure::ClientCertificate,
        Failure::ClientAlert,
        Failure::Protocol,
        Failure::Ended,
        Failure::Timeout,
    ];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::UnknownName => "unknown_name",
            Failure::ClientCertificate => "client_certificate",
            Failure::ClientAlert => "client_alert",
            Failure::Protocol => "protocol",
            Failure::Ended => "ended",
            Failure::Timeout => "timeout",
        }
    }

    /// What ended a handshake. Pingora keeps rustls' words for it, and not the error.
    pub fn of(error: &Error) -> Failure {
        let told = error.to_string();
        let known = TOLD.iter().find(|(words, _)| told.contains(words));
        known.map_or(Failure::Protocol, |(_, failure)| *failure)
    }
}

/// Words by which failures are known.
const TOLD: [(&str, Failure); 7] = [
    ("no server certificate chain resolved", Failure::UnknownName),
    ("peer sent no certificates", Failure::ClientCertificate),
    ("invalid peer certificate", Failure::ClientCertificate),
    ("certificate revocation list", Failure::ClientCertificate),
    ("received fatal alert", Failure::ClientAlert),
    ("handshake eof", Failure::Ended),
    ("os error", Failure::Ended),
];

#[cfg(test)]
mod tests {
    use pingora_error::ErrorType;

    use super::*;

    #[test]
    fn a_failure_is_known_by_its_words() {
        let invalid = rustls::CertificateError::Expired;
        let alert = rustls::AlertDescription::UnknownCA;
        for (error, wanted) in [
            (
                rustls::Error::NoCertificatesPresented,
                Failure::ClientCertificate,
            ),
            (invalid.into(), Failure::ClientCertificate),
            (rustls::Error::AlertReceived(alert), Failure::ClientAlert),
            (rustls::Error::DecryptError, Failure::Protocol),
        ] {
            let told = format!("tls connect error: {error}");
            let error = Error::explain(ErrorType::TLSHandshakeFailure, told);
            assert_eq!(Failure::of(&error), wanted, "{error}");
        }
    }
}
