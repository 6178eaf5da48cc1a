//! Criterion benches, one file per thing measured: `cargo bench -p penstock-benches`.
//! Here is what several of them set up.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "for benches, not an interface")]

pub mod shapes;

use std::time::Duration;

use penstock_plugins::build::Given;
use penstock_plugins::{Arrival, Dialect, Exchange, RouteTable, Shared};

/// When the requests arrive, since the Unix epoch.
pub const NOW: Duration = Duration::from_secs(1_800_000_000);

/// The routes of a configuration.
pub fn table(config: &str, shared: &Shared, given: &Given) -> RouteTable {
    let config = penstock_config::parse(config).unwrap();
    RouteTable::new(&config, shared, given).unwrap()
}

/// An exchange that has just begun.
#[inline]
pub fn exchange() -> Exchange {
    Exchange::new(Arrival {
        id: 7,
        client: None,
        generation: 1,
        at: NOW,
        dialect: Dialect::OpenAi,
    })
}
