//! The hazards once more, on a ring that decides for itself what goes through it: with as
//! little to do as a test gives it, that is next to nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic
)]

#[path = "hazards/main.rs"]
mod hazards;
