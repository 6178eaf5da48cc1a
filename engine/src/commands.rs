//! What the binary's commands do.

pub mod ask;
pub mod check;
pub mod diff;
pub mod explain;
pub mod hash_key;
pub mod reload;
pub mod run;
pub mod schema;
pub mod simulate;

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard output. A reader that went away is no failure of ours.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error.
fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
