//! The hazards of completion I/O, a file each, and ordinary use.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic
)]

mod harness;

mod completed_then_dropped;
mod completion_overflow;
mod connect;
mod descriptors_exhausted;
mod descriptors_return;
mod dropped_while_receiving;
mod dropped_while_sending;
mod forbidden;
mod foreign_thread;
mod idle_memory;
mod late_completion;
mod never_parking;
mod ordinary;
mod out_of_buffers;
mod paused_listener;
mod reentrant_wakers;
mod reset;
mod short_send;
mod slow_reader;
mod stop_in_flight;
mod submission_full;
