//! What listeners show to those who connect.

use std::fmt;

use penstock_config::server::{ListenerTls, UnknownNames};

use crate::clock;
use crate::generation::Generation;
use crate::tls::Certificates;

/// Tells of each TLS listener which certificate is for which names, and what it asks for.
pub(super) fn explain(f: &mut fmt::Formatter<'_>, generation: &Generation) -> fmt::Result {
    let listeners = generation.config.server.listen.iter().enumerate();
    for (place, listener) in listeners {
        let Some((written, built)) = listener.tls.as_ref().zip(generation.tls(place)) else {
            continue;
        };
        let version = written.min_version.as_str();
        writeln!(f, "listener {}: {version} or later", listener.address)?;
        certificates(f, &built.certificates)?;
        asked(f, written)?;
    }
    Ok(())
}

fn certificates(f: &mut fmt::Formatter<'_>, certificates: &Certificates) -> fmt::Result {
    for certificate in certificates.iter() {
        let names: Vec<_> = certificate.names.shown().collect();
        let until = clock::rfc3339_of_seconds(certificate.ends_at());
        let (file, names) = (certificate.file.display(), names.join(", "));
        writeln!(f, "  {names}: certificate {file}, until {until}")?;
    }
    Ok(())
}

fn asked(f: &mut fmt::Formatter<'_>, written: &ListenerTls) -> fmt::Result {
    writeln!(
        f,
        "  other names: {}; no name: the first certificate",
        match written.unknown_names {
            UnknownNames::Refuse => "refused",
            UnknownNames::Default => "the first certificate",
        }
    )?;
    let Some(clients) = &written.client_certificates else {
        return Ok(());
    };
    let ca = clients.ca.display();
    match clients.required {
        true => write!(f, "  clients: with a certificate of {ca}")?,
        false => write!(f, "  clients: without a certificate, or with one of {ca}")?,
    }
    match &clients.crl {
        Some(crl) => writeln!(f, ", unless {} revokes it", crl.display()),
        None => writeln!(f),
    }
}
