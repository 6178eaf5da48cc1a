//! Which certificate a client gets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use penstock_config::server::UnknownNames;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::names::parent;

/// Certificates for one name, each with another kind of key. One at least.
pub(super) type Candidates = Arc<[Arc<Certificate>]>;

/// A listener's certificates, by the names that clients ask for.
pub struct Certificates {
    all: Box<[Arc<Certificate>]>,
    exact: HashMap<Box<str>, Candidates>,
    below: HashMap<Box<str>, Candidates>,
    /// For clients that ask for no name.
    first: Candidates,
    unknown_names: UnknownNames,
}

impl Certificates {
    /// Sorts certificates by their names.
    ///
    /// # Errors
    /// There is none; or a name is in several whose keys are of one kind, so that all but one
    /// of them would never be used for it.
    pub(super) fn new(
        all: Vec<Certificate>,
        unknown_names: UnknownNames,
    ) -> Result<Self, Vec<(String, String)>> {
        let all: Box<[_]> = all.into_iter().map(Arc::new).collect();
        let (mut exact, mut below) = (HashMap::new(), HashMap::new());
        let mut errors = Vec::new();
        for certificate in &all {
            let names = &certificate.names;
            for (map, names, star) in [
                (&mut exact, &names.exact, ""),
                (&mut below, &names.below, "*."),
            ] {
                for name in names {
                    if let Some(other) = add(map, name, certificate) {
                        let why = format!(
                            "`{star}{name}` is in {} as well, with the same kind of key",
                            other.file.display()
                        );
                        errors.push((certificate.file.display().to_string(), why));
                    }
                }
            }
        }
        let Some(first) = all.first() else {
            let why = "there is none".to_owned();
            return Err(vec![("the list of certificates".to_owned(), why)]);
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let named = first.names.exact.first().and_then(|name| exact.get(name));
        let named = named.or_else(|| below.get(first.names.below.first()?));
        let first = named.cloned().unwrap_or_else(|| vec![first.clone()]);
        let shared = |map: HashMap<Box<str>, Vec<_>>| {
            let entries = map.into_iter();
            entries.map(|(name, some)| (name, some.into())).collect()
        };
        Ok(Certificates {
            exact: shared(exact),
            below: shared(below),
            first: first.into(),
            all,
            unknown_names,
        })
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.all.iter().map(|certificate| &**certificate)
    }

    /// Those that a client may get that asks for this name, in lower case. None if it is to
    /// be refused.
    pub(super) fn asked_for(&self, name: Option<&str>) -> Option<&Candidates> {
        let Some(name) = name else {
            return Some(&self.first);
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let below = || {
            let rest = std::str::from_utf8(parent(name.as_bytes())?).ok()?;
            self.below.get(rest)
        };
        let known = self.exact.get(name).or_else(below);
        match self.unknown_names {
            UnknownNames::Refuse => known,
            UnknownNames::Default => known.or(Some(&self.first)),
        }
    }
}

/// Adds a certificate under a name, unless one with the same kind of key is there: it is
/// returned.
fn add(
    map: &mut HashMap<Box<str>, Vec<Arc<Certificate>>>,
    name: &str,
    certificate: &Arc<Certificate>,
) -> Option<Arc<Certificate>> {
    match map.entry(name.into()) {
        Entry::Vacant(free) => {
            free.insert(vec![certificate.clone()]);
        }
        Entry::Occupied(mut others) => {
            let kind = certificate.algorithm();
            let alike = others.get().iter().find(|other| other.algorithm() == kind);
            match alike.cloned() {
                // A name may stand twice in one certificate.
                Some(other) if Arc::ptr_eq(&other, certificate) => {}
                Some(other) => return Some(other),
                None => others.get_mut().push(certificate.clone()),
            }
        }
    }
    None
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.asked_for(hello.server_name())?;
        let mut usable = candidates.iter();
        let usable = usable.find(|certificate| certificate.suits(hello.signature_schemes()));
        // A client that can use none is told so by the handshake.
        let chosen = usable.or(candidates.first())?;
        Some(chosen.key().clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.all).finish()
    }
}
