//! Sizes and bounds of a ring.

use std::time::Duration;

/// Sizes and bounds of one thread's ring. Every field has the default that
/// [`Options::default`] gives.
#[derive(Clone, Debug)]
pub struct Options {
    /// Submission queue entries, rounded up by the kernel to a power of two and
    /// clamped to its maximum (32768). The completion queue has four times as many.
    /// Default: 1024.
    pub entries: u32,
    /// Shared receive buffers, a power of two up to 32768. Default: 256.
    pub buffers: u16,
    /// Bytes in each receive buffer. Default: 16 KiB.
    pub buffer_size: u32,
    /// Connections and listeners that the ring may hold. Default: 65536.
    pub connections_max: usize,
    /// Written bytes that a connection may hold before its writer has to wait.
    /// Default: 64 KiB.
    pub write_buffer: usize,
    /// How long the last bytes of a dropped connection may take to leave.
    /// Default: 30 s.
    pub linger: Duration,
    /// Accepted connections that wait for [`TcpListener::accept`](crate::TcpListener::accept)
    /// before the ring accepts no more. Before it sees that, the kernel may have taken all
    /// that were in its queue; with 1 it is asked for each by itself, and takes one.
    /// Default: 256.
    pub accepted_max: usize,
    /// Which operations go through the ring. Default: [`Batching::Measured`].
    pub batching: Batching,
}

/// Which operations of connections go through the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Batching {
    /// All, while so many come at a time that handing them over together saves system
    /// calls; otherwise connecting and accepting alone.
    #[default]
    Measured,
    /// All.
    Always,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            entries: 1024,
            buffers: 256,
            buffer_size: 16 * 1024,
            connections_max: 65536,
            write_buffer: 64 * 1024,
            linger: Duration::from_secs(30),
            accepted_max: 256,
            batching: Batching::default(),
        }
    }
}
