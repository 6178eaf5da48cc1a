//! `penstock reload`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use penstock_config::Config;
use penstock_config::server::Admin;

use super::{complain, say};
use crate::live::Source;

/// A reload reads files and looks up names.
const WAIT: Duration = Duration::from_secs(120);

/// Longest answer that is read.
const ANSWER_MAX: u64 = 1024 * 1024;

/// Which proxy to reload.
#[derive(Debug, Args)]
pub struct Options {
    /// The proxy's admin listener [default: the one that the configuration file names, or 127.0.0.1:9901]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// The configuration file that the proxy runs with, to find its admin listener
    #[arg(short, long, value_name = "FILE", conflicts_with = "admin")]
    config: Option<PathBuf>,
}

/// Asks a running proxy to read its configuration again.
pub fn reload(options: &Options) -> ExitCode {
    match ask(options) {
        Ok(answer) => {
            say(answer.trim_end());
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(why.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn ask(options: &Options) -> Result<String, String> {
    let address = admin(options)?;
    let failed =
        |error: std::io::Error| format!("the admin listener {address} cannot be asked: {error}");
    let answer = exchange(address).map_err(failed)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => Ok(body.to_owned()),
        "409" => Err(format!(
            "refused, the configuration in force stays:\n{body}"
        )),
        _ => Err(format!(
            "{address} gave an answer that is not Penstock's: {}",
            head.lines().next().unwrap_or_default()
        )),
    }
}

fn admin(options: &Options) -> Result<SocketAddr, String> {
    if let Some(address) = options.admin {
        return Ok(address);
    }
    let server = match &options.config {
        // A file that is wrong would be refused by the running proxy too: its mistakes are
        // told at once, and the proxy is not asked.
        Some(file) => {
            Source::File(file.clone())
                .load()
                .map_err(|error| error.to_string())?
                .server
        }
        None => Config::default().server,
    };
    match server.admin {
        Admin::On(address) => Ok(address),
        Admin::Off => Err(
            "the configuration has no admin listener: send SIGHUP to the process instead".into(),
        ),
    }
}

fn exchange(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(WAIT))?;
    write!(
        stream,
        "POST /reload HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
