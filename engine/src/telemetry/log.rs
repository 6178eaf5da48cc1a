//! Log lines: text for a terminal, JSON for a collector.

use std::io::IsTerminal;

use penstock_config::server::{Log, LogFormat, LogLevel};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Starts logging to standard error. `PENSTOCK_LOG`, in the syntax of
/// `tracing_subscriber::EnvFilter`, overrides the configured level.
///
/// What Pingora logs comes along from errors up, but for its lines about single requests:
/// they say less than our own line for the same request, and any client can cause them.
/// That holds at every configured level.
///
/// # Errors
/// Logging was started before.
pub fn start(log: &Log) -> Result<(), TryInitError> {
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let quiet = "pingora_core=error,pingora_proxy=off,pingora_pool=error,h2=error,rustls=error";
    let configured = match log.level {
        // Pingora's and h2's lines of these levels hold whole heads and bodies: keys and
        // prompts. They are to be asked for by name.
        LogLevel::Debug | LogLevel::Trace => format!("info,penstock={level},{quiet}"),
        _ => format!("{level},{quiet}"),
    };
    let filter =
        EnvFilter::try_from_env("PENSTOCK_LOG").unwrap_or_else(|_| EnvFilter::new(configured));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(terminal)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_target(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
}
