//! `penstock schema`.

use std::process::ExitCode;

use clap::Args;

use super::{complain, say};

/// Which file's schema to print.
#[derive(Debug, Args)]
pub struct Options {
    /// Of a file of API keys, as `authenticate` names it
    #[arg(long)]
    keys: bool,
}

/// Prints a JSON Schema.
pub fn print(options: &Options) -> ExitCode {
    let schema = match options.keys {
        true => penstock_config::keys::schema(),
        false => penstock_config::schema(),
    };
    match serde_json::to_string_pretty(&schema) {
        Ok(schema) => {
            say(schema);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}
