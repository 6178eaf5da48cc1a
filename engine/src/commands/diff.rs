//! `penstock diff`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use penstock_config::{Config, Diff};
use serde_json::Value;

use super::ask::{Answer, ask, listener, load};
use super::{complain, say};

/// Exit code when nothing could be compared, as that of diff(1).
const TROUBLE: u8 = 2;

/// What to compare.
#[derive(Debug, Args)]
pub struct Options {
    /// The configuration file that a reload would read
    #[arg(short, long, value_name = "NEW")]
    config: PathBuf,
    /// Compare with this file instead of asking the running proxy
    #[arg(long, value_name = "OLD", conflicts_with = "admin")]
    against: Option<PathBuf>,
    /// The running proxy's admin listener [default: the one that NEW names]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
}

/// Says what a reload would change: 0 when nothing, 1 when something, 2 when it cannot be
/// told.
pub fn diff(options: &Options) -> ExitCode {
    match compare(options) {
        Ok(lines) if lines.is_empty() => {
            say("nothing would change");
            ExitCode::SUCCESS
        }
        Ok(lines) => {
            lines.iter().for_each(say);
            ExitCode::FAILURE
        }
        Err(why) => {
            complain(why.trim_end());
            ExitCode::from(TROUBLE)
        }
    }
}

fn compare(options: &Options) -> Result<Vec<String>, String> {
    let new = load(&options.config)?;
    let (old, files) = match &options.against {
        Some(file) => (load(file)?, Vec::new()),
        None => {
            let address = options.admin.map_or_else(|| listener(&new), Ok)?;
            (running(address)?, changed_files(address, &new)?)
        }
    };
    let diff = Diff::new(&old, &new);
    let mut lines: Vec<_> = diff.changes().iter().map(ToString::to_string).collect();
    lines.extend(files);
    if diff.needs_restart() {
        lines.push(
            "a reload would be refused: what stands under `server` changes only with a restart"
                .to_owned(),
        );
    }
    Ok(lines)
}

/// The configuration that a proxy runs with.
fn running(address: SocketAddr) -> Result<Config, String> {
    let Answer { body, .. } = ask(address, "GET", "/config.json")?;
    serde_json::from_str(&body)
        .map_err(|error| format!("{address} runs with what this version cannot read: {error}"))
}

/// What changed on disk in the files that the proxy has read and that `new` names too.
fn changed_files(address: SocketAddr, new: &Config) -> Result<Vec<String>, String> {
    let Answer { body, .. } = ask(address, "GET", "/generations")?;
    let state: Value = serde_json::from_str(&body)
        .map_err(|error| format!("{address} tells nothing of its files: {error}"))?;
    let new = serde_json::to_value(new).map_err(|error| error.to_string())?;
    let files = state.get("files").and_then(Value::as_array);
    let named = files.into_iter().flatten().filter(|file| {
        let path = file.get("path").and_then(Value::as_str);
        path.is_some_and(|path| names(&new, Path::new(path)))
    });
    let lines = named.filter_map(|file| file.get("changes")?.as_array());
    let lines = lines.flatten().filter_map(Value::as_str);
    Ok(lines.map(str::to_owned).collect())
}

/// Whether the path stands anywhere in the configuration.
fn names(value: &Value, path: &Path) -> bool {
    match value {
        Value::String(text) => Path::new(text) == path,
        Value::Array(items) => items.iter().any(|item| names(item, path)),
        Value::Object(entries) => entries.values().any(|value| names(value, path)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
