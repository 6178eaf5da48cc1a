//! The targets, as a fuzzer runs them.
#![forbid(unsafe_code)]

pub mod strict;
pub mod targets;
