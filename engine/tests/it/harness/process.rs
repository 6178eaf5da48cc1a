//! The binary, where signals, exit codes and the admin listener matter.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use penstock::transport::Transport;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::client::{Answer, Client, Http, get};

/// How long a process may take over a step.
const WAIT: Duration = Duration::from_secs(15);

/// A process of ours. It does not outlive this.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// A proxy as a process of its own.
pub(crate) struct ProxyProcess {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

/// The binary with these arguments.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command
        .args(args)
        .stdin(Stdio::null())
        .env_remove("PENSTOCK_LOG");
    command
}

/// What a command that ends by itself said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) async fn output(mut command: Command) -> Said {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let read = |from: Option<Box<dyn Read + Send>>| {
        tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            from.unwrap().read_to_string(&mut text).unwrap();
            text
        })
    };
    let out = read(child.stdout.take().map(|out| Box::new(out) as _));
    let err = read(child.stderr.take().map(|err| Box::new(err) as _));
    let status = wait(&mut child).await;
    Said {
        code: status.code(),
        out: out.await.unwrap(),
        err: err.await.unwrap(),
    }
}

async fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + WAIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the process did not end within {WAIT:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Process {
    /// Starts a command whose standard error is collected.
    pub(crate) fn start(mut command: Command) -> Process {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for from in [out, err] {
            let lines = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(from).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            });
        }
        Process { child, lines }
    }

    /// What it has said so far, on both of its outputs.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line that holds the text.
    pub(crate) async fn line(&mut self, text: &str) -> String {
        let mut deadline = Instant::now() + WAIT;
        loop {
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(text)) {
                return line;
            }
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() {
                // Its last lines may be on their way.
                deadline = deadline.min(Instant::now() + Duration::from_millis(500));
            }
            assert!(
                Instant::now() < deadline,
                "no line with {text:?} (ended: {ended:?}): {:#?}",
                self.lines()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        wait(&mut self.child).await.code()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// What the kernel counts of its memory: `VmRSS` now, `VmHWM` at most so far.
    pub(crate) fn memory_kib(&self, what: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The test's own output, which the test runner shows.
            for line in self.lines() {
                println!("process: {line}");
            }
        }
    }
}

impl ProxyProcess {
    /// Starts the binary with a configuration, and waits until it serves.
    pub(crate) async fn start(transport: Transport, server: &str, rest: &str) -> ProxyProcess {
        let folder = tempfile::tempdir().unwrap();
        let text = if server.contains("log:") {
            super::config(transport, server, rest)
        } else {
            super::config(transport, &format!("{LOG}\n{server}"), rest)
        };
        let file = folder.path().join("penstock.yaml");
        std::fs::write(&file, text).unwrap();
        let process = Process::start(command(&["-c", file.to_str().unwrap()]));
        ProxyProcess::serving(process, folder).await
    }

    /// The binary, started already, once it serves.
    pub(crate) async fn serving(mut process: Process, folder: TempDir) -> ProxyProcess {
        let line = process.line("\"listening\"").await;
        let address = address_in(&line);
        ProxyProcess {
            process,
            address,
            folder,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("penstock.yaml")
    }

    /// Where its admin listener is.
    pub(crate) async fn admin(&mut self) -> SocketAddr {
        address_in(&self.process.line("\"admin listener\"").await)
    }

    /// A page of its admin listener.
    pub(crate) async fn page(&mut self, path: &str) -> Answer {
        let admin = self.admin().await;
        Client::connect(admin, Http::One)
            .await
            .answer(get(path))
            .await
    }
}

/// What a process logs in, so that its lines can be read.
pub(crate) const LOG: &str = "log: { format: json, access: off }";

fn address_in(line: &str) -> SocketAddr {
    let value: Value = serde_json::from_str(line).unwrap();
    value["address"].as_str().unwrap().parse().unwrap()
}
