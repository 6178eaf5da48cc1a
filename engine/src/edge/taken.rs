//! How much of what was written to a client it has taken.
//!
//! That a write goes on says little: a system wakes a writer only when a large part of its
//! buffer is free, which for a slow but honest client may take minutes. What the client's
//! system acknowledges is known to the byte.

use pingora_core::protocols::UniqueIDType;
use pingora_core::protocols::l4::ext;

/// What a client's system has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes in all.
    pub(super) bytes: u64,
    /// Something else waits.
    pub(super) is_behind: bool,
}

/// What is known of an open socket. Nothing before Linux 6.2, which does not tell as much as
/// is asked for.
pub(super) fn by(socket: UniqueIDType) -> Option<Taken> {
    let told = ext::get_tcp_info(socket).ok()?;
    Some(Taken {
        bytes: told.tcpi_bytes_acked,
        is_behind: told.tcpi_unacked > 0 || told.tcpi_notsent_bytes > 0,
    })
}
