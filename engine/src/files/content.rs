//! What a file holds, as far as it may be told: certificates and public names of keys.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use penstock_config::keys::{self, Key};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::clock;

/// Parts of a file that are told apart; of one with more, only that it changed.
const PARTS_MAX: usize = 20_000;

/// Lines that are told of one file.
const LINES_MAX: usize = 50;

/// What a file held.
pub(super) struct Content {
    digest: Digest,
    /// Digests of its parts by their public names; empty where it has none.
    parts: BTreeMap<String, Digest>,
}

type Digest = [u8; 32];

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Content {
        let mut parts = certificates(bytes);
        if parts.is_empty() {
            parts = key_set(bytes);
        }
        if parts.is_empty() {
            parts = api_keys(bytes);
        }
        if parts.len() > PARTS_MAX {
            parts.clear();
        }
        Content {
            digest: sha256(bytes),
            parts,
        }
    }

    /// What `new` has otherwise, a line each.
    pub(super) fn changes(&self, path: &Path, new: &Content) -> Vec<String> {
        if self.digest == new.digest {
            return Vec::new();
        }
        let gone = self.parts.keys();
        let gone = gone.filter(|name| !new.parts.contains_key(*name));
        let rest = new
            .parts
            .iter()
            .filter_map(|(name, digest)| match self.parts.get(name) {
                None => Some((name, "added")),
                Some(old) if old != digest => Some((name, "changed")),
                Some(_) => None,
            });
        let mut changes = gone.map(|name| (name, "removed")).chain(rest);
        let path = path.display();
        // A file of keys may have changed in ten thousand of them: only what is told is
        // put into words.
        let told = changes.by_ref().take(LINES_MAX);
        let told = told.map(|(name, what)| format!("file {path}: {name} {what}"));
        let mut lines: Vec<_> = told.collect();
        match changes.count() {
            0 if lines.is_empty() => lines.push(format!("file {path}: its content changed")),
            0 => {}
            more => lines.push(format!("file {path}: and {more} more changes")),
        }
        lines
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut all = Digest::default();
    all.copy_from_slice(digest(&SHA256, bytes).as_ref());
    all
}

/// The certificates of a PEM file, by name, fingerprint and end.
fn certificates(bytes: &[u8]) -> BTreeMap<String, Digest> {
    let certificates = CertificateDer::pem_slice_iter(bytes).map_while(Result::ok);
    let named = certificates.map(|der| {
        let digest = sha256(&der);
        let mut fingerprint = String::new();
        for (place, byte) in digest.iter().enumerate() {
            let colon = if place > 0 { ":" } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(fingerprint, "{colon}{byte:02X}");
        }
        let (name, end) = match X509Certificate::from_der(&der) {
            Ok((_, certificate)) => (
                subject(&certificate),
                clock::rfc3339_of_seconds(certificate.validity().not_after.timestamp()),
            ),
            Err(_) => (
                "an unreadable name".to_owned(),
                "at an unknown time".to_owned(),
            ),
        };
        let label = format!("certificate of {name}, expires {end}, SHA-256 {fingerprint}");
        (label, digest)
    });
    named.collect()
}

/// The first name that a server would be asked for by, else the subject.
fn subject(certificate: &X509Certificate<'_>) -> String {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let first = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(shown(name)),
        _ => None,
    });
    let mut first = first;
    first
        .next()
        .unwrap_or_else(|| shown(&certificate.subject().to_string()))
}

/// The keys of a JSON Web Key Set (RFC 7517 section 5), by `kid`.
fn key_set(bytes: &[u8]) -> BTreeMap<String, Digest> {
    let Ok(Value::Object(set)) = serde_json::from_slice(bytes) else {
        return BTreeMap::new();
    };
    let keys = set.get("keys").and_then(Value::as_array);
    let keys = keys.into_iter().flatten().filter_map(|key| {
        let kid = key.get("kid")?.as_str()?;
        Some((
            format!("key `{}`", shown(kid)),
            sha256(key.to_string().as_bytes()),
        ))
    });
    keys.collect()
}

/// The keys of a file of API keys, by their public names.
fn api_keys(bytes: &[u8]) -> BTreeMap<String, Digest> {
    let part = |key: Key| {
        let digest = sha256(&serde_json::to_vec(&key).ok()?);
        Some((format!("key `{}`", key.public_id()), digest))
    };
    let text = str::from_utf8(bytes).ok();
    let parts = text.and_then(|text| keys::parse_each(text, None, part).ok());
    parts.into_iter().flatten().flatten().collect()
}

/// A name from a file, short and with nothing that a terminal obeys.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
