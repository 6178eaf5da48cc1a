//! What sessions are resumed by.

use std::fmt::Write;
use std::sync::Arc;

use penstock_plugins::Shared;
use ring::digest::{Context, SHA256};
use rustls::server::ProducesTickets;

use super::choice::Certificates;

/// The keys of a listener's tickets. They are replaced every six hours, and a ticket is taken
/// for twice that time. They are nowhere but in this process's memory.
#[derive(Debug)]
struct Tickets(Option<Arc<dyn ProducesTickets>>);

/// The tickets of a listener: those of an earlier generation, if it had the same
/// certificates. So a certificate that is replaced ends the sessions that were begun with it.
/// None if the system has no random numbers.
pub(super) fn of(
    listener: usize,
    certificates: &Certificates,
    shared: &Shared,
) -> Option<Arc<dyn ProducesTickets>> {
    let mut digest = Context::new(&SHA256);
    let chains = certificates
        .iter()
        .map(|certificate| &certificate.key().cert);
    for der in chains.flatten() {
        digest.update(&der.len().to_le_bytes());
        digest.update(der);
    }
    let mut name = format!("{listener} ");
    for byte in digest.finish().as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    let tickets = shared.keep("tls", &name, || {
        Tickets(rustls::crypto::ring::Ticketer::new().ok())
    });
    tickets.0.is_some().then_some(tickets as _)
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.0.as_ref().is_some_and(|tickets| tickets.enabled())
    }

    fn lifetime(&self) -> u32 {
        self.0.as_ref().map_or(0, |tickets| tickets.lifetime())
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.0.as_ref()?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.0.as_ref()?.decrypt(cipher)
    }
}
