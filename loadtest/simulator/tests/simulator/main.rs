//! The simulator over real sockets, as a proxy's connection sees it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and nothing here comes from outside"
)]

mod client;
mod connections;
mod endpoints;
mod faults;
mod http2;
mod streams;
