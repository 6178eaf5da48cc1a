//! The command line.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use penstock::commands::{ask, diff, hash_key, run, schema};
use penstock_simulator::{SETTING_NAMES, Settings};

/// An edge proxy for inference traffic.
///
/// Without a configuration it serves an embedded simulator of a model server on
/// 127.0.0.1:8080, so that there is something to try at once.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub run: run::Options,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the proxy (also what happens without a command)
    ///
    /// SIGHUP reads the configuration again; a wrong file changes nothing. SIGTERM and Ctrl-C stop
    /// accepting and finish what is in flight, up to server.drain_timeout; a second one ends at
    /// once. SIGQUIT hands the listening sockets to a new process started with --upgrade, then
    /// drains.
    Run(run::Options),
    /// Check a configuration: every mistake with its line and column; exit code 0 or 1
    Check {
        /// The configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Say what it does: of each route what it matches, which plugins run when, and where
        /// requests can go
        #[arg(long)]
        explain: bool,
    },
    /// Print the JSON Schema of the configuration file, or of a file of API keys
    Schema(schema::Options),
    /// Print the hash of an API key, as a file of keys has it
    ///
    /// The key is read from standard input, never from the command line, which others can see.
    HashKey(hash_key::Options),
    /// Say what a reload would change, before it happens
    ///
    /// Compares a configuration file with the one that the running proxy serves by, and the
    /// files that it names with what they held when the proxy read them. Exit code 0: nothing
    /// would change; 1: something would, or the reload would be refused because `server` differs;
    /// 2: it cannot be told, as when the file has mistakes.
    Diff(diff::Options),
    /// Make a running proxy read its configuration again, and say what became of it
    Reload(ask::Whom),
    /// Make a running proxy return to the generation before, and say what that changed
    ///
    /// Its configuration, keys and certificates are those that it was built with, whatever the
    /// files hold now. One generation is kept: a second rollback in a row is refused. The files
    /// are not touched; until they are put right, a reload or a restart brings back what they say.
    Rollback(ask::Whom),
    /// Run the simulator of a model server alone
    ///
    /// It speaks OpenAI's API on /v1 and produces faults on demand, by --faults or by the request
    /// header `x-simulate`, as in `x-simulate: cut; after=3`. Kinds: refuse, reset, stall, status,
    /// malformed, cut, slow.
    Simulate(Box<SimulatorArgs>),
}

/// The simulator's settings, as flags of the same names.
#[derive(Debug)]
pub(crate) struct SimulatorArgs(pub Settings);

impl Args for SimulatorArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let flag = |setting: &penstock_simulator::SettingName| {
            let default = (setting.name == "listen").then_some("127.0.0.1:8000");
            Arg::new(setting.name)
                .long(setting.name)
                .help(setting.help)
                .value_name("VALUE")
                .default_values(default)
        };
        command.args(SETTING_NAMES.iter().map(flag))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SimulatorArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Settings::default();
        for setting in SETTING_NAMES {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                let refuse = |error| {
                    clap::Error::raw(
                        clap::error::ErrorKind::ValueValidation,
                        format!("{error}\n"),
                    )
                };
                settings.set(setting.name, value).map_err(refuse)?;
            }
        }
        Ok(SimulatorArgs(settings))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_configuration_may_be_given_with_and_without_the_command() {
        let short = Cli::try_parse_from(["penstock", "-c", "a.yaml"]).unwrap();
        assert_eq!(
            short.run.config.as_deref(),
            Some(std::path::Path::new("a.yaml"))
        );
        let long = Cli::try_parse_from(["penstock", "run", "-c", "a.yaml"]).unwrap();
        assert!(matches!(long.command, Some(Command::Run(options)) if options.config.is_some()));
    }

    #[test]
    fn a_simulator_setting_that_makes_no_sense_is_refused() {
        assert!(Cli::try_parse_from(["penstock", "simulate", "--first-token", "soon"]).is_err());
    }
}
