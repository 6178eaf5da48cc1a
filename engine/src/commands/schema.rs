//! `penstock schema`.

use std::process::ExitCode;

use super::{complain, say};

/// Prints the JSON Schema of the configuration file.
pub fn print() -> ExitCode {
    match serde_json::to_string_pretty(&penstock_config::schema()) {
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
