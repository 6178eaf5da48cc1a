//! The choice of the transport, where the kernel forbids io_uring.

use std::collections::BTreeMap;
use std::path::Path;

use penstock::transport::Transport;
use seccompiler::{SeccompAction, SeccompFilter};

use crate::harness::client::{Client, Http, get};
use crate::harness::process::{LOG, Process, command, output};
use crate::harness::{all_to, config, simulator};

/// `io_uring_setup`, whose number is the same on every architecture.
const IO_URING_SETUP: i64 = 425;
const EPERM: u32 = 1;

/// Runs `start` on a thread that may not use io_uring; nor may processes started there.
fn without_io_uring<T: Send>(start: impl FnOnce() -> T + Send) -> T {
    let forbid = || {
        let rules = BTreeMap::from([(IO_URING_SETUP, Vec::new())]);
        let architecture = std::env::consts::ARCH.try_into().unwrap();
        let refuse = SeccompAction::Errno(EPERM);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture);
        let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        start()
    };
    std::thread::scope(|scope| scope.spawn(forbid).join().unwrap())
}

fn write(folder: &Path, transport: &str, rest: &str) -> String {
    let text = config(Transport::Epoll, LOG, rest);
    let text = text.replace("transport: epoll", &format!("transport: {transport}"));
    let file = folder.join("penstock.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn on_epoll<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Transport) -> F) {
    crate::harness::run(name, Transport::Epoll, test);
}

#[test]
fn auto_falls_back_and_says_why() {
    on_epoll("transport::auto", |_| async {
        let upstream = simulator(&[]);
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), "auto", &all_to(upstream.address()));
        let mut process = without_io_uring(|| Process::start(command(&["-c", &file])));
        let line = process.line("\"listening\"").await;
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["transport"], "epoll", "{line}");
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.contains("io_uring is not to be had: "), "{line}");
        let address = said["address"].as_str().unwrap().parse().unwrap();
        let mut client = Client::connect(address, Http::One).await;
        assert_eq!(client.answer(get("/plain")).await.text(), "ok");
    });
}

#[test]
fn io_uring_is_taken_at_its_word() {
    on_epoll("transport::io_uring", |_| async {
        let folder = tempfile::tempdir().unwrap();
        let file = write(
            folder.path(),
            "io_uring",
            &all_to(([127, 0, 0, 1], 1).into()),
        );
        for args in [["run", "-c", &file], ["check", "-c", &file]] {
            let said = without_io_uring(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime.unwrap().block_on(output(command(&args)))
            });
            assert_eq!(said.code, Some(1), "{}", said.err);
            assert!(said.err.contains("io_uring"), "{}", said.err);
        }
    });
}

#[test]
fn auto_takes_io_uring_where_it_can() {
    on_epoll("transport::auto_takes", |_| async {
        let upstream = simulator(&[]);
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), "auto", &all_to(upstream.address()));
        let mut process = Process::start(command(&["-c", &file]));
        let line = process.line("\"listening\"").await;
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let wanted = if penstock_uring::probe().is_ok() {
            "io_uring"
        } else {
            "epoll"
        };
        assert_eq!(said["transport"], wanted, "{line}");
    });
}
