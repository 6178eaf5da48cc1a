//! Asking a running proxy over its admin listener.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use penstock_config::Config;
use penstock_config::server::Admin;

use crate::live::Source;

/// A reload reads files and looks up names.
const WAIT: Duration = Duration::from_secs(120);

/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Longest answer that is read: ten thousand routes with all their defaults.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Which proxy to ask.
#[derive(Debug, Args)]
pub struct Whom {
    /// The proxy's admin listener [default: the one that the configuration file names, or 127.0.0.1:9901]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The configuration file that the proxy runs with, to find its admin listener
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
}

impl Whom {
    /// The admin listener.
    ///
    /// # Errors
    /// The file is wrong, or names none.
    pub fn address(&self) -> Result<SocketAddr, String> {
        match (self.admin, &self.config) {
            (Some(address), _) => Ok(address),
            // A file that is wrong would be refused by the running proxy too: its mistakes
            // are told at once, and the proxy is not asked.
            (None, Some(file)) => listener(&load(file)?),
            (None, None) => listener(&Config::default()),
        }
    }
}

/// Reads a configuration file.
///
/// # Errors
/// Why it cannot be read, or every mistake in it.
pub(super) fn load(file: &Path) -> Result<Config, String> {
    let source = Source::File(file.to_owned());
    source.load().map_err(|error| error.to_string())
}

/// The admin listener of a configuration.
///
/// # Errors
/// It has none.
pub(super) fn listener(config: &Config) -> Result<SocketAddr, String> {
    match config.server.admin {
        Admin::On(address) => Ok(address),
        Admin::Off => Err(
            "the configuration has no admin listener: a signal to the process is all that it hears"
                .into(),
        ),
    }
}

/// An answer of the admin listener.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Sends a request without a body.
///
/// # Errors
/// Nobody answers there, or not as Penstock does.
pub(super) fn ask(address: SocketAddr, method: &str, path: &str) -> Result<Answer, String> {
    let failed = |error| format!("the admin listener {address} cannot be asked: {error}");
    let answer = exchange(address, method, path).map_err(failed)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status.parse() {
        Ok(status @ (200 | 409)) => Ok(Answer {
            status,
            body: body.to_owned(),
        }),
        _ => Err(format!(
            "{address} gave an answer that is not Penstock's: {}",
            head.lines().next().unwrap_or_default()
        )),
    }
}

fn exchange(address: SocketAddr, method: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
