//! TCP over io_uring, for tokio's current-thread runtime.
//!
//! Each thread that serves connections has its own [`Ring`]; nothing is shared between
//! rings. A [`TcpStream`] or [`TcpListener`] is a name for a slot in the ring of the
//! thread that made it, so dropping one, at any moment and on any thread, is safe: the
//! ring keeps what the kernel still uses until the kernel is done with it.
//!
//! Operations queue up while tasks run, and go to the kernel in one system call when the
//! runtime is about to park; completions are taken at the same time. That pays while many
//! come together, and the loop then waits in the ring, where timers and other descriptors
//! may be noticed 2 ms late. While few do, connections receive and send by plain system
//! calls and wait in tokio's epoll set, beside timers, other descriptors and the ring's own.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let runtime = tokio::runtime::Builder::new_current_thread()
//!     .enable_all()
//!     .on_thread_park(penstock_uring::on_thread_park)
//!     .on_thread_unpark(penstock_uring::on_thread_unpark)
//!     .build()?;
//! runtime.block_on(async {
//!     let _ring = penstock_uring::Ring::install(penstock_uring::Options::default())?;
//!     let stream = penstock_uring::TcpStream::connect(([127, 0, 0, 1], 80).into()).await?;
//!     stream.readable().await
//! })
//! # }
//! ```
//!
//! This crate is the workspace's only home of `unsafe`: it knows no HTTP and no Pingora.
//! It needs Linux 6.0 or later; [`probe`] tells whether the process may use it.

mod buffers;
mod connection;
mod driver;
mod key;
mod listener;
mod local;
mod metrics;
mod options;
mod probe;
mod readiness;
mod shared;
mod slots;
mod stream;
mod watch;

pub use listener::TcpListener;
pub use local::{Ring, RingMetrics, on_thread_park, on_thread_unpark};
pub use metrics::{Counter, Metrics};
pub use options::{Batching, Options};
pub use probe::{Unavailable, probe};
pub use stream::TcpStream;
