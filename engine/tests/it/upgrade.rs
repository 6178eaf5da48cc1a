//! A new process takes over from an old one, and no client notices.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http_body_util::BodyExt;
use penstock::transport::Transport;
use rustix::process::Signal;

use crate::harness::client::{Client, Http, get, streamed_chat};
use crate::harness::process::{LOG, Process, command};
use crate::harness::raw::Raw;
use crate::harness::{all_to, config, eventually, free_address, simulator};

on_both!(
    no_connection_is_refused_or_reset,
    a_process_with_more_workers_takes_over,
    a_process_with_fewer_workers_takes_over,
    a_stream_in_flight_is_finished_by_the_old_process,
    a_new_process_that_cannot_serve_leaves_the_old_one_alone,
    the_admin_listener_changes_hands,
    a_process_that_waits_for_a_new_one_can_be_ended,
);

/// Starts a process that listens on a fixed address.
fn start(folder: &Path, name: &str, text: &str, more: &[&str]) -> Process {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    let mut args = vec!["-c", file.to_str().unwrap()];
    args.extend_from_slice(more);
    Process::start(command(&args))
}

fn text(
    transport: Transport,
    folder: &Path,
    listen: SocketAddr,
    workers: u32,
    rest: &str,
) -> String {
    let server = format!(
        "{LOG}\nlisten: [{{ address: \"{listen}\", http2: true }}]\nworkers: {workers}\nupgrade_socket: \"{}/upgrade.sock\"",
        folder.display()
    );
    config(transport, &server, rest)
}

async fn no_connection_is_refused_or_reset(transport: Transport) {
    takes_over(transport, 2, 2).await;
}

async fn a_process_with_more_workers_takes_over(transport: Transport) {
    takes_over(transport, 1, 3).await;
}

async fn a_process_with_fewer_workers_takes_over(transport: Transport) {
    takes_over(transport, 3, 1).await;
}

async fn takes_over(transport: Transport, old_workers: u32, new_workers: u32) {
    let upstream = simulator(&[("record", "0")]);
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address();
    let rest = all_to(upstream.address());
    let with = |workers| text(transport, folder.path(), listen, workers, &rest);
    let mut old = start(folder.path(), "old.yaml", &with(old_workers), &[]);
    old.line("\"listening\"").await;
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| tokio::spawn(connect_in_a_loop(listen, stop.clone(), served.clone())))
        .collect();
    serve_more(&served, 200).await;

    let mut new = start(
        folder.path(),
        "new.yaml",
        &with(new_workers),
        &["--upgrade"],
    );
    new.line("waiting for the running process").await;
    old.signal(Signal::QUIT);
    new.line("\"listening\"").await;
    assert_eq!(old.exit_code().await, Some(0), "{:?}", old.lines());
    serve_more(&served, 400).await;

    stop.store(true, Ordering::Relaxed);
    let mut failures = Vec::new();
    for client in clients {
        failures.extend(client.await.unwrap());
    }
    let served = served.load(Ordering::Relaxed);
    assert!(
        failures.is_empty(),
        "{} of {served}: {failures:?}",
        failures.len()
    );
    new.signal(Signal::TERM);
    assert_eq!(new.exit_code().await, Some(0));
}

async fn serve_more(served: &AtomicU64, more: u64) {
    let before = served.load(Ordering::Relaxed);
    eventually("clients are served", || {
        served.load(Ordering::Relaxed) >= before + more
    })
    .await;
}

/// Makes short connections until it is told to stop, and returns what went wrong.
async fn connect_in_a_loop(
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match tokio::net::TcpStream::connect(address).await {
            Ok(stream) => {
                let mut raw = Raw(stream);
                raw.send("GET /plain HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                    .await;
                let (read, error) = raw.read_to_end().await;
                if !read.starts_with(b"HTTP/1.1 200") {
                    failures.push(format!("{error:?}: {:?}", String::from_utf8_lossy(&read)));
                }
            }
            Err(error) => failures.push(format!("connecting: {error}")),
        }
        served.fetch_add(1, Ordering::Relaxed);
    }
    failures
}

async fn a_stream_in_flight_is_finished_by_the_old_process(transport: Transport) {
    let upstream = simulator(&[("tokens", "100"), ("between-tokens", "20ms")]);
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address();
    let rest = all_to(upstream.address());
    let text = text(transport, folder.path(), listen, 1, &rest);
    let mut old = start(folder.path(), "old.yaml", &text, &[]);
    old.line("\"listening\"").await;
    let mut client = Client::connect(listen, Http::One).await;
    let mut body = client.send(streamed_chat()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();

    let mut new = start(folder.path(), "new.yaml", &text, &["--upgrade"]);
    new.line("waiting for the running process").await;
    old.signal(Signal::QUIT);
    new.line("\"listening\"").await;
    let mut second = Client::connect(listen, Http::One).await;
    assert_eq!(
        second.answer(get("/plain")).await.status,
        200,
        "the new one serves"
    );
    drop(second);
    assert!(!old.has_ended(), "the old one has a stream to finish");
    let rest = body.collect().await.expect("not cut").to_bytes();
    assert!(rest.ends_with(b"data: [DONE]\n\n"));
    drop(client);
    assert_eq!(old.exit_code().await, Some(0));
}

async fn a_new_process_that_cannot_serve_leaves_the_old_one_alone(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address();
    let rest = all_to(upstream.address());
    let text = text(transport, folder.path(), listen, 1, &rest);
    let mut old = start(folder.path(), "old.yaml", &text, &[]);
    old.line("\"listening\"").await;
    let wrong = text.replace("endpoints: [", "endpoints: [\"no-such-host.invalid:80\", ");
    let mut new = start(folder.path(), "new.yaml", &wrong, &["--upgrade"]);
    new.line("waiting for the running process").await;
    old.signal(Signal::QUIT);
    assert_eq!(new.exit_code().await, Some(1), "{:?}", new.lines());
    new.line("no-such-host.invalid").await;
    old.line("the sockets were not handed over; serving on")
        .await;
    let mut client = Client::connect(listen, Http::One).await;
    assert_eq!(client.answer(get("/plain")).await.status, 200);

    let mut next = start(folder.path(), "new.yaml", &text, &["--upgrade"]);
    next.line("waiting for the running process").await;
    old.signal(Signal::QUIT);
    next.line("\"listening\"").await;
    assert_eq!(old.exit_code().await, Some(0), "a second try succeeds");
}

async fn the_admin_listener_changes_hands(transport: Transport) {
    let upstream = simulator(&[("tokens", "100"), ("between-tokens", "20ms")]);
    let folder = tempfile::tempdir().unwrap();
    let (listen, admin) = (free_address(), free_address());
    let rest = all_to(upstream.address());
    let text = text(transport, folder.path(), listen, 1, &rest)
        .replace("admin: off", &format!("admin: \"{admin}\""));
    let mut old = start(folder.path(), "old.yaml", &text, &[]);
    old.line("\"admin listener\"").await;
    // A stream keeps the old process busy.
    let mut client = Client::connect(listen, Http::One).await;
    let body = client.send(streamed_chat()).await.unwrap().into_body();
    let mut new = start(folder.path(), "new.yaml", &text, &["--upgrade"]);
    new.line("waiting for the running process").await;
    old.signal(Signal::QUIT);
    new.line("\"admin listener\"").await;
    assert!(!old.has_ended());
    let mut operator = Client::connect(admin, Http::One).await;
    assert_eq!(operator.answer(get("/readyz")).await.text(), "ready\n");
    body.collect().await.expect("the stream is finished");
}

async fn a_process_that_waits_for_a_new_one_can_be_ended(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let listen = free_address();
    let rest = all_to(upstream.address());
    let text = text(transport, folder.path(), listen, 1, &rest);
    let mut old = start(folder.path(), "old.yaml", &text, &[]);
    old.line("\"listening\"").await;
    old.signal(Signal::QUIT);
    let mut client = Client::connect(listen, Http::One).await;
    assert_eq!(
        client.answer(get("/plain")).await.status,
        200,
        "it serves on"
    );
    drop(client);
    old.signal(Signal::TERM);
    assert_eq!(old.exit_code().await, Some(0));
}
