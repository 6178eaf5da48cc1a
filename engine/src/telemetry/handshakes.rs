//! Handshakes that came to nothing.

use prometheus::IntCounterVec;

use super::Families;
use crate::tls::Failure;

/// Failed handshakes by reason.
pub struct Handshakes(IntCounterVec);

impl Handshakes {
    pub(super) fn new(families: &Families<'_>) -> prometheus::Result<Self> {
        let failures = families.counters(
            "tls_handshake_failures_total",
            "TLS handshakes of clients that failed, by reason",
            &["reason"],
        )?;
        // Each is shown from the start, so that an alert sees the first one.
        for failure in Failure::ALL {
            failures.with_label_values(&[failure.as_str()]);
        }
        Ok(Handshakes(failures))
    }

    /// Counts one.
    pub fn failed(&self, failure: Failure) {
        self.0.with_label_values(&[failure.as_str()]).inc();
    }
}
