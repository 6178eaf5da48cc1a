//! Texts that must not come out anywhere, and the search for them.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter parts of a secret are not searched for: a public name may hold a few
/// characters by chance.
const PART_BYTES: usize = 16;

/// A secret by name, and what betrays it.
pub(super) struct Marker {
    name: String,
    needles: BTreeSet<String>,
}

impl Marker {
    pub(super) fn new(name: &str, secret: &str) -> Marker {
        let (start, end) = (&secret[..PART_BYTES], &secret[secret.len() - PART_BYTES..]);
        let needles = [secret, start, end].into_iter().flat_map(forms);
        Marker {
            name: name.to_owned(),
            needles: needles.collect(),
        }
    }

    fn is_in(&self, text: &[u8]) -> Option<&str> {
        let found = |needle: &&String| memchr::memmem::find(text, needle.as_bytes()).is_some();
        self.needles.iter().find(found).map(String::as_str)
    }
}

/// A text as it is, percent-encoded, in hexadecimal, and as any base64 of a longer text has
/// it, which depends on where in that it begins.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        secret.to_owned(),
        percent.clone(),
        percent.to_uppercase(),
        hex.to_uppercase(),
        hex,
        // As `Debug` shows bytes.
        format!("{bytes:?}").trim_matches(['[', ']']).to_owned(),
    ];
    for before in 0..3 {
        let longer = [&[0; 3][..before], bytes].concat();
        // Characters that mix with what stands around the secret are left out.
        let from = (before * 8).div_ceil(6);
        let to = longer.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(&longer),
            URL_SAFE_NO_PAD.encode(&longer),
        ] {
            forms.push(encoded[from..to].to_owned());
        }
    }
    forms
}

/// Everything that was emitted, piece by piece, with where it came from.
#[derive(Default)]
pub(super) struct Emitted(Vec<(String, Vec<u8>)>);

impl Emitted {
    pub(super) fn add(&mut self, from: impl Into<String>, text: impl Into<Vec<u8>>) {
        self.0.push((from.into(), text.into()));
    }

    /// What was told, by secret, place and form.
    pub(super) fn leaks(&self, markers: &[Marker]) -> Vec<String> {
        let mut leaks = Vec::new();
        for (from, text) in &self.0 {
            for marker in markers {
                if let Some(needle) = marker.is_in(text) {
                    let text = String::from_utf8_lossy(text);
                    leaks.push(format!(
                        "{} in {from}, as {needle}: {text:.2000}",
                        marker.name
                    ));
                }
            }
        }
        leaks
    }
}
