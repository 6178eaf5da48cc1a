//! An upstream that is killed in the middle of its work, and comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use penstock::transport::Transport;
use rustix::process::Signal;

use crate::harness::client::{BOTH, Client, chat, streamed_chat};
use crate::harness::process::{Process, ProxyProcess, command};
use crate::harness::{all_to, eventually};

on_both!(
    a_killed_upstream_harms_only_what_it_was_doing,
    a_killed_http2_upstream_harms_only_what_it_was_doing,
);

/// What became of the requests of one or several clients.
#[derive(Default)]
struct Tally {
    complete: AtomicU64,
    cut: AtomicU64,
    refused: AtomicU64,
}

async fn upstream(listen: &str) -> (Process, SocketAddr) {
    let mut process = Process::start(command(&[
        "simulate",
        "--listen",
        listen,
        "--first-token",
        "5ms",
        "--between-tokens",
        "5ms",
        "--tokens",
        "60",
    ]));
    let line = process.line("simulator listening").await;
    let address = line
        .rsplit("http://")
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    (process, address)
}

async fn a_killed_upstream_harms_only_what_it_was_doing(transport: Transport) {
    killed(transport, "http1").await;
}

async fn a_killed_http2_upstream_harms_only_what_it_was_doing(transport: Transport) {
    killed(transport, "http2").await;
}

async fn killed(transport: Transport, protocol: &str) {
    let (first, address) = upstream("127.0.0.1:0").await;
    let log = "log: { format: json, access: on }";
    let with_protocol = format!("], protocol: {protocol} }}\nroutes");
    let rest = all_to(address).replace("] }\nroutes", &with_protocol);
    let mut proxy = ProxyProcess::start(transport, log, &rest).await;
    let tally = Arc::new(Tally::default());
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..16)
        .map(|n| tokio::spawn(load(n, proxy.address, tally.clone(), stop.clone())))
        .collect();
    eventually("requests are answered", || {
        tally.complete.load(Ordering::Relaxed) > 32
    })
    .await;
    first.signal(Signal::KILL);
    drop(first);
    eventually("requests are refused", || {
        tally.refused.load(Ordering::Relaxed) > 32
    })
    .await;
    let (_second, _) = upstream(&address.to_string()).await;
    let before = tally.complete.load(Ordering::Relaxed);
    eventually("service resumes", || {
        tally.complete.load(Ordering::Relaxed) > before + 32
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let answered = tally.complete.load(Ordering::Relaxed)
        + tally.refused.load(Ordering::Relaxed)
        + tally.cut.load(Ordering::Relaxed);
    assert!(tally.cut.load(Ordering::Relaxed) > 0, "none was under way");
    let lines = proxy.process.lines().len() as u64;
    // A line for each request, one for each further attempt, and some of start and stop.
    assert!(
        lines <= 2 * answered + 20,
        "{lines} lines of log for {answered} requests"
    );
    assert!(!proxy.process.has_ended(), "the proxy lives on");
}

/// Asks in a loop, and checks that each answer is complete, says that it broke off, is visibly cut, or a
/// 502.
async fn load(n: usize, address: SocketAddr, tally: Arc<Tally>, stop: Arc<AtomicBool>) {
    let http = BOTH[n % 2];
    while !stop.load(Ordering::Relaxed) {
        let streamed = n % 4 < 2;
        let mut client = Client::connect(address, http).await;
        let request = if streamed { streamed_chat() } else { chat() };
        match client.try_answer(request).await {
            Ok(answer) if answer.status == 200 => {
                if streamed && !answer.text().ends_with("data: [DONE]\n\n") {
                    assert_eq!(answer.break_code(), "upstream_failed");
                    tally.cut.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let whole = streamed || answer.text().ends_with('}');
                assert!(whole, "a cut answer looked complete: {}", answer.text());
                tally.complete.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => {
                assert_eq!(answer.status, 502, "{answer:?}");
                assert_eq!(answer.error_code(), "upstream_failed");
                tally.refused.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(_) => {
                tally.cut.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
