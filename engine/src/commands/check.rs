//! `penstock check`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use penstock_plugins::Shared;

use super::explain::explain;
use super::{complain, say};
use crate::generation::Generation;
use crate::live::Source;
use crate::telemetry::Telemetry;
use crate::transport::Transport;

/// Validates a configuration and builds all that it describes, without binding anything.
/// Says what it does if asked to.
pub fn check(file: &Path, explained: bool) -> ExitCode {
    match examine(file, explained) {
        Ok(summary) => {
            say(summary);
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(why.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn examine(file: &Path, explained: bool) -> Result<String, String> {
    let config = Source::File(file.to_owned())
        .load()
        .map_err(|error| error.to_string())?;
    let name = file.display();
    let mut wrong = Vec::new();
    if let Err(error) = Transport::choose(config.server.transport) {
        wrong.push(format!(
            "{name}: server.transport: io_uring is not to be had here: {error}"
        ));
    }
    let telemetry = Arc::new(Telemetry::new().map_err(|error| error.to_string())?);
    let counts = format!(
        "{} listeners, {} upstreams, {} routes",
        config.server.listen.len(),
        config.upstreams.len(),
        config.routes.len()
    );
    let shared = Shared::default();
    let mut explanation = String::new();
    match Generation::build(1, config, Transport::Epoll, &telemetry, &shared) {
        Ok(generation) => {
            if explained {
                explanation = explain(&generation);
            }
            for complaint in generation.complaints() {
                explanation.push_str(&format!("warning: {complaint}\n"));
            }
        }
        Err(errors) => wrong.extend(errors.0.iter().map(|error| format!("{name}: {error}"))),
    }
    if wrong.is_empty() {
        Ok(format!("{explanation}{name}: good ({counts})"))
    } else {
        Err(wrong.join("\n"))
    }
}
