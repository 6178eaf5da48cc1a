//! How much an HTTP/2 client may do besides making requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;

/// How much of what costs it nothing an HTTP/2 client may do. A connection with more is ended
/// with `ENHANCE_YOUR_CALM` (RFC 9113 section 10.5), counted in
/// `penstock_http2_connections_ended_total` by kind, and logged. How many streams it may have
/// open is `limits.http2_streams`; how long an answer may wait for it to take some is
/// `limits.write_timeout`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2 {
    /// Requests that a client may take back within ten seconds beside half of those that it
    /// makes; the same number of streams may end by its faults. Each costs the upstream a
    /// request (CVE-2023-44487, CVE-2025-8671). Default: 100, as many as RFC 9113 section 6.5.2
    /// wants a client to have open at least; 1 to 1000000. Raise it for clients that race
    /// requests against each other.
    #[serde(deserialize_with = "field::within::<_, _, 1, 1_000_000>")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub resets: u32,
    /// Control frames of each kind (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown ones) that
    /// a client may send within ten seconds. Useful frames bring more of them with them, save
    /// for SETTINGS. Default: 200, twenty a second, where clients that measure a connection
    /// send one or less; 20 to 1000000.
    #[serde(deserialize_with = "field::within::<_, _, 20, 1_000_000>")]
    #[schemars(range(min = 20, max = 1_000_000))]
    pub control_frames: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            resets: 100,
            control_frames: 200,
        }
    }
}
