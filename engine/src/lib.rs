//! Penstock: an edge proxy for inference traffic, on Pingora and io_uring.
//!
//! The binary is a thin shell around this library. A request's way: [`worker`] accepts its
//! connection, [`edge`] serves it and holds its bytes against the rules of [`strict`],
//! [`proxy`] is what Pingora calls for each request, which takes the [`generation`] in force
//! from [`live`] and keeps it to its end.
#![forbid(unsafe_code)]

pub mod admin;
pub mod background;
pub mod clients;
pub mod clock;
pub mod commands;
pub mod connections;
pub mod drains;
pub mod edge;
pub mod files;
pub mod frames;
pub mod generation;
pub mod handout;
pub mod handover;
pub mod health_checks;
pub mod hedges;
pub mod history;
pub mod key_sets;
pub mod listen;
pub mod live;
pub mod materials;
pub mod names;
pub mod overload;
pub mod places;
pub mod proxy;
pub mod retries;
pub mod server;
pub mod shadows;
pub mod strict;
pub mod telemetry;
pub mod tls;
pub mod transport;
pub mod upgrade;
pub mod upstream;
pub mod worker;
