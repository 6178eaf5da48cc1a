//! The simulator alone, with settings as `name=value` arguments, until its input ends:
//! `cargo run --profile fast --example simulate -- listen=127.0.0.1:9100 first-token=0ms`.

use std::error::Error;
use std::io::{Read, Write};

use penstock_simulator::Settings;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let settings: Settings = arguments.join(" ").parse()?;
    let simulator = penstock_simulator::start(settings)?;
    writeln!(std::io::stdout(), "http://{}", simulator.address())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    writeln!(std::io::stdout(), "{:#?}", simulator.stats())?;
    Ok(())
}
