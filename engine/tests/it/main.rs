//! Penstock as its users meet it: clients on one side, simulators of model servers on the
//! other, and every capability tried on both transports.
//!
//! One module for each capability. A test is a function of the transport, listed in its
//! module's `on_both!`, which runs it as `name::io_uring` and `name::epoll`. With as little
//! traffic as a test makes, io_uring leaves most to plain system calls: so a third run, as
//! `name::all_through_the_ring`, lets it leave nothing.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

/// Lists a module's tests, which then run on both transports.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use penstock::transport::Transport;

            #[test]
            fn io_uring() {
                let name = concat!(module_path!(), "::io_uring");
                crate::harness::run(name, Transport::IoUring, super::$name);
            }

            #[test]
            fn all_through_the_ring() {
                let name = concat!(module_path!(), "::all_through_the_ring");
                crate::harness::BATCHING.set("always");
                crate::harness::run(name, Transport::IoUring, super::$name);
            }

            #[test]
            fn epoll() {
                let name = concat!(module_path!(), "::epoll");
                crate::harness::run(name, Transport::Epoll, super::$name);
            }
        }
    )+};
}

mod access_log;
mod admin;
mod advisories;
mod attempts;
mod auth;
mod bodies;
mod cache;
mod cli;
mod client_gone;
mod clients;
mod crash;
mod credential_pauses;
mod credentials;
mod deadline;
mod diff;
mod disconnect;
mod drain;
mod errors;
mod examples;
mod failover;
mod failures;
mod fallback;
mod fleet;
mod harness;
mod headers;
mod hedge;
mod http2_abuse;
mod http2_upstreams;
mod jwt;
mod limits;
mod limits_chain;
mod models;
mod overload;
mod prompt_affinity;
mod protocols;
mod queue;
mod reload;
mod retry;
mod reuse;
mod rollback;
mod routes;
mod secrets;
mod shadow;
mod slow;
mod split;
mod streaming;
mod strict;
mod tls;
mod tls_edge;
mod transport;
mod upgrade;
mod upstream_dies;
mod waf;
