//! Clients that prove who they are.

use std::fmt;
use std::sync::Arc;

use penstock_config::server::ClientCertificates;
use ring::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{AUTHORITIES_BYTES_MAX, Authorities};
use crate::files::Files;

/// Longest name that stands for itself: one that is longer is known by its digest.
const NAME_BYTES_MAX: usize = 512;

/// What verifies clients' certificates.
///
/// # Errors
/// A file cannot be read or used, and why.
pub(super) fn verifier(
    asked: &ClientCertificates,
    files: &Files,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, (String, String)> {
    let ca = asked.ca.display().to_string();
    let authorities = files
        .file(&asked.ca, AUTHORITIES_BYTES_MAX)
        .and_then(|text| Authorities::from_pem(&text))
        .map_err(|why| (ca.clone(), why))?;
    let roots = Arc::new(authorities.roots);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let mut named = ca;
    if let Some(crl) = &asked.crl {
        named = crl.display().to_string();
        let lists = files
            .file(crl, AUTHORITIES_BYTES_MAX)
            .and_then(|text| lists(&text))
            .map_err(|why| (named.clone(), why))?;
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    if !asked.required {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder
        .build()
        .map_err(|error| (named, error.to_string()))?;
    Ok(Arc::new(Readable(verifier)))
}

fn lists(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    let lists = lists.map_err(|error| format!("not PEM: {error}"))?;
    match lists.is_empty() {
        true => Err("it holds no list of revoked certificates".into()),
        false => Ok(lists),
    }
}

/// Refuses what cannot be read for its names before it is verified: those who look at a
/// connection's certificate later rely on it.
struct Readable(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readable")
    }
}

impl ClientCertVerifier for Readable {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if X509Certificate::from_der(leaf).is_err() {
            return Err(CertificateError::BadEncoding.into());
        }
        self.0.verify_client_cert(leaf, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The name of a client's certificate: its first URI, else its first DNS name, else its first
/// address of e-mail, else its subject.
pub(super) fn name(der: &[u8]) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.as_ref().map(|names| &names.value.general_names);
    let first = |wanted: fn(&GeneralName<'_>) -> Option<String>| names?.iter().find_map(wanted);
    let name = first(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    let name = name.or_else(|| {
        first(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
    });
    let name = name.or_else(|| {
        first(|name| match name {
            GeneralName::RFC822Name(address) => Some((*address).to_owned()),
            _ => None,
        })
    });
    let name = name.unwrap_or_else(|| certificate.subject().to_string());
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX {
        return Some(name.into());
    }
    let digest = digest(&SHA256, der);
    let bytes = digest.as_ref().iter();
    let hexadecimal: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    Some(format!("sha256:{hexadecimal}").into())
}
