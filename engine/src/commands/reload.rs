//! `penstock reload` and `penstock rollback`.

use std::process::ExitCode;

use super::ask::{Answer, Whom, ask};
use super::{complain, say};

/// Asks a running proxy to read its configuration again.
pub fn reload(whom: &Whom) -> ExitCode {
    change(whom, "/reload")
}

/// Asks a running proxy to return to the generation before.
pub fn rollback(whom: &Whom) -> ExitCode {
    change(whom, "/rollback")
}

fn change(whom: &Whom, path: &str) -> ExitCode {
    let answer = whom
        .address()
        .and_then(|address| ask(address, "POST", path));
    match answer {
        Ok(Answer { status: 200, body }) => {
            say(body.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Answer { body, .. }) => {
            complain("refused, the configuration in force stays:");
            complain(body.trim_end());
            ExitCode::FAILURE
        }
        Err(why) => {
            complain(why.trim_end());
            ExitCode::FAILURE
        }
    }
}
