//! The targets, as a fuzzer runs them.
#![forbid(unsafe_code)]

#[path = "../../src/clients/proxy_protocol.rs"]
pub mod proxy_protocol;
pub mod strict;
pub mod targets;
