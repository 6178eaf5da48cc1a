//! One certificate with its chain and key, read and found to fit together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use penstock_config::server::CertificateFiles;
use penstock_config::unit::Secret;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureAlgorithm, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::Names;
use crate::clock;
use crate::files::Files;

/// Largest certificate or key file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A certificate with its chain and key.
pub struct Certificate {
    /// Where it was read from.
    pub file: PathBuf,
    /// What it is for.
    pub names: Names,
    key: Arc<CertifiedKey>,
    /// From when and until when it is valid, in seconds since the Unix epoch.
    validity: (i64, i64),
}

/// What cannot be used, and why.
type Unusable = (String, String);

impl Certificate {
    /// Reads it with its key.
    ///
    /// # Errors
    /// One of the files cannot be read, they do not belong together, the chain is out of
    /// order, or there is no name that a client could ask for.
    pub(super) fn read(
        written: &CertificateFiles,
        files: &Files,
        provider: &CryptoProvider,
    ) -> Result<Self, Unusable> {
        let file = &written.certificate;
        let refuse = |why: String| (file.display().to_string(), why);
        let text = files.file(file, FILE_BYTES_MAX).map_err(refuse)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|error| refuse(error.to_string()))?;
        let (names, validity) = examine(&chain).map_err(refuse)?;
        let (named, key) = private_key(&written.private_key, files)?;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                refuse(format!("{named} is the key of another certificate"))
            }
            error => refuse(error.to_string()),
        })?;
        Ok(Certificate {
            file: file.clone(),
            names,
            key: Arc::new(key),
            validity,
        })
    }

    /// What handshakes are made with.
    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The kind of its key.
    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        self.key.key.algorithm()
    }

    /// Whether a client that can verify these signatures can use it.
    pub(super) fn suits(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    /// Its end, in seconds since the Unix epoch.
    pub fn ends_at(&self) -> i64 {
        self.validity.1
    }

    /// What clients would find wrong with it at this time, since the Unix epoch.
    pub fn complaint(&self, now: i64) -> Option<String> {
        let (from, until) = self.validity;
        let (what, when) = match () {
            () if now > until => ("has expired at", until),
            () if now < from => ("is valid only from", from),
            () => return None,
        };
        let (file, when) = (self.file.display(), clock::rfc3339_of_seconds(when));
        Some(format!("the certificate {file} {what} {when}"))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.file)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// Names and validity of a chain's leaf.
fn examine(chain: &[CertificateDer<'_>]) -> Result<(Names, (i64, i64)), String> {
    let parsed: Result<Vec<_>, _> = chain
        .iter()
        .enumerate()
        .map(|(place, der)| match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Ok(certificate),
            Err(error) => Err(format!("its certificate {}: {error}", place + 1)),
        })
        .collect();
    let parsed = parsed?;
    let leaf = parsed.first().ok_or("it holds no certificate")?;
    for (place, (signed, signer)) in parsed.iter().zip(parsed.iter().skip(1)).enumerate() {
        if signed.issuer().as_raw() != signer.subject().as_raw() {
            return Err(format!(
                "its certificate {} has not signed the one before it: write the leaf first, and after each the one that signed it",
                place + 2
            ));
        }
    }
    let names = Names::of(leaf);
    if names.is_empty() {
        return Err("it has no host or address among its subject alternative names, so that no client can ask for it".to_owned());
    }
    let validity = leaf.validity();
    let validity = (
        validity.not_before.timestamp(),
        validity.not_after.timestamp(),
    );
    Ok((names, validity))
}

/// A key and where it stands.
fn private_key(
    reference: &Secret,
    files: &Files,
) -> Result<(String, PrivateKeyDer<'static>), Unusable> {
    let (named, text) = match reference {
        Secret::File(path) => (named(path), files.file(path, FILE_BYTES_MAX)),
        Secret::Env(name) => {
            let value = std::env::var(name.as_str())
                .map(|value| value.into_bytes().into())
                .map_err(|error| error.to_string());
            (format!("the environment variable {}", name.as_str()), value)
        }
    };
    let key = text
        .and_then(|text| PrivateKeyDer::from_pem_slice(&text).map_err(|error| error.to_string()));
    match key {
        Ok(key) => Ok((named, key)),
        Err(why) => Err((named, why)),
    }
}

fn named(path: &Path) -> String {
    path.display().to_string()
}
