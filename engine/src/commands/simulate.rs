//! `penstock simulate`.

use std::process::ExitCode;

use penstock_simulator::Settings;
use tokio::signal::unix::{SignalKind, signal};

use super::{complain, say};

/// Runs the simulator until a signal ends it.
pub fn simulate(settings: Settings) -> ExitCode {
    let simulator = match penstock_simulator::start(settings) {
        Ok(simulator) => simulator,
        Err(error) => {
            complain(format!("the simulator cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let waited = wait(|| {
        say(format!(
            "simulator listening on http://{}",
            simulator.address()
        ));
    });
    drop(simulator);
    match waited {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}

/// Waits for a signal, after telling that one is waited for: whoever reads that may send
/// one at once.
fn wait(ready: impl FnOnce()) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        ready();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}
