//! The kinds of abuse by name.

use std::fmt;

/// What ends an HTTP/2 connection, or a stream of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Abuse {
    /// Requests are taken back as soon as they are made (CVE-2023-44487, rapid reset).
    Resets,
    /// The proxy is made to reset streams, by faults of theirs or by more of them than are
    /// allowed (CVE-2025-8671, MadeYouReset).
    StreamFaults,
    /// A head goes on and on, in bytes or in frames (CVE-2024-27316).
    Continuation,
    /// A head unpacks to more fields than are ever served (HPACK bombs).
    Fields,
    /// Frames with nothing in them (CVE-2019-9518).
    Empty,
    /// PING (CVE-2019-9512).
    Ping,
    /// SETTINGS (CVE-2019-9515).
    Settings,
    /// PRIORITY (CVE-2019-9513).
    Priority,
    /// WINDOW_UPDATE beside hardly any data (CVE-2019-9511).
    WindowUpdate,
    /// Frames that are ignored.
    Other,
    /// Answers are asked for and not taken (CVE-2019-9517), or bodies are announced and not
    /// sent.
    Stall,
    /// The HTTP/2 library found one of its own bounds exceeded.
    Library,
    /// Bytes that are not HTTP/2: a fault of the whole connection.
    Protocol,
}

impl Abuse {
    /// All of them.
    pub const ALL: [Abuse; 13] = [
        Abuse::Resets,
        Abuse::StreamFaults,
        Abuse::Continuation,
        Abuse::Fields,
        Abuse::Empty,
        Abuse::Ping,
        Abuse::Settings,
        Abuse::Priority,
        Abuse::WindowUpdate,
        Abuse::Other,
        Abuse::Stall,
        Abuse::Library,
        Abuse::Protocol,
    ];

    /// Its name in metrics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Abuse::Resets => "resets",
            Abuse::StreamFaults => "stream_faults",
            Abuse::Continuation => "continuation",
            Abuse::Fields => "fields",
            Abuse::Empty => "empty",
            Abuse::Ping => "ping",
            Abuse::Settings => "settings",
            Abuse::Priority => "priority",
            Abuse::WindowUpdate => "window_update",
            Abuse::Other => "other",
            Abuse::Stall => "stall",
            Abuse::Library => "library",
            Abuse::Protocol => "protocol",
        }
    }
}

impl fmt::Display for Abuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
