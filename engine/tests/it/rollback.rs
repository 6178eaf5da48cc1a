//! The way back to the generation before.

use std::path::Path;

use penstock::live::Live;
use penstock::transport::Transport;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::certificates::Authority;
use crate::harness::client::{BOTH, Client, Http, get};
use crate::harness::process::{LOG, ProxyProcess, command, output};
use crate::harness::{Proxy, all_to, config, eventually, replace, simulator};

on_both!(
    it_returns_to_what_served_before_whatever_the_files_hold,
    it_is_kept_once,
    the_certificates_come_back_too,
    requests_of_either_generation_go_on,
    the_command_says_what_became_of_it,
    the_history_is_shown_and_bounded,
    every_way_to_replace_a_file_works,
);

async fn roll_back(proxy: &Proxy) -> Result<u64, String> {
    let live = proxy.server().live.clone();
    let back = move || Live::rollback(&live).map_err(|error| error.to_string());
    let applied = tokio::task::spawn_blocking(back).await.unwrap();
    applied.map(|applied| applied.generation)
}

async fn serves(proxy: &Proxy) -> String {
    let mut client = Client::connect(proxy.address(), Http::One).await;
    client.answer(get("/plain")).await.upstream().to_owned()
}

async fn it_returns_to_what_served_before_whatever_the_files_hold(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let texts = [&a, &b].map(|upstream| config(transport, "", &all_to(upstream.address())));
    let proxy = Proxy::start(&texts[0]).await;
    assert_eq!(proxy.reload(&texts[1]).await, Ok(2));
    assert_eq!(serves(&proxy).await, "b");
    std::fs::remove_file(proxy.file()).unwrap();
    assert_eq!(roll_back(&proxy).await, Ok(1));
    assert_eq!(serves(&proxy).await, "a");
    assert_eq!(proxy.metric("penstock_generation", &[]), 1.0);
    let counted = proxy.metric("penstock_reloads_total", &["verdict=\"rolled_back\""]);
    assert_eq!(counted, 1.0);
    proxy.reload(&texts[1]).await.unwrap();
    assert_eq!(
        serves(&proxy).await,
        "b",
        "a reload reads the file as always"
    );
    assert_eq!(proxy.server().live.load().id, 3, "no number is used twice");
    assert_eq!(roll_back(&proxy).await, Ok(1));
    assert_eq!(serves(&proxy).await, "a", "it is before the reload again");
}

async fn it_is_kept_once(transport: Transport) {
    let upstream = simulator(&[]);
    let text = config(
        transport,
        "limits: { generations: 2 }",
        &all_to(upstream.address()),
    );
    let proxy = Proxy::start(&text).await;
    let why = roll_back(&proxy).await.unwrap_err();
    assert!(why.contains("no generation is kept"), "{why}");
    for id in 2..6 {
        assert_eq!(proxy.reload(&text).await, Ok(id));
        let alive = proxy.metric("penstock_generations_alive", &[]);
        assert_eq!(alive, 2.0, "one serves and one is kept");
    }
    assert_eq!(roll_back(&proxy).await, Ok(4));
    let why = roll_back(&proxy).await.unwrap_err();
    assert!(why.contains("no generation is kept"), "{why}");
    assert_eq!(proxy.metric("penstock_generations_alive", &[]), 1.0);
    let refused = proxy.metric(
        "penstock_reload_refusals_total",
        &["reason=\"nothing_before\""],
    );
    assert_eq!(refused, 2.0);
    assert_eq!(
        proxy.metric("penstock_config_last_reload_successful", &[]),
        0.0
    );
    assert_eq!(proxy.reload(&text).await, Ok(6));
    assert_eq!(
        proxy.metric("penstock_config_last_reload_successful", &[]),
        1.0
    );
}

async fn the_certificates_come_back_too(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("old.test").write(folder.path());
    let listener = crate::reload::tls_listener(folder.path());
    let text = config(transport, &listener, &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    authority.issue("new.test").write(folder.path());
    proxy.reload(&text).await.unwrap();
    let connect = |name| authority.connect(proxy.address(), name, &["http/1.1"]);
    connect("new.test").await.expect("the new certificate");
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    roll_back(&proxy).await.unwrap();
    connect("old.test").await.expect("the certificate of then");
    assert!(connect("new.test").await.is_err(), "and no other");
}

async fn requests_of_either_generation_go_on(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let texts = [&a, &b].map(|upstream| config(transport, "", &all_to(upstream.address())));
    let proxy = Proxy::start(&texts[0]).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients = BOTH.map(|http| {
        let (address, stop) = (proxy.address(), stop.clone());
        tokio::spawn(async move {
            let mut client = Client::connect(address, http).await;
            let mut seen = std::collections::BTreeSet::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = client.answer(get("/plain")).await;
                assert_eq!(answer.status, 200);
                seen.insert(answer.upstream().to_owned());
            }
            seen
        })
    });
    for _ in 0..30 {
        proxy.reload(&texts[1]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        roll_back(&proxy).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.await.unwrap().len(), 2, "both served");
    }
    eventually("no other generation stays", || {
        proxy.metric("penstock_generations_alive", &[]) == 1.0
    })
    .await;
}

const ADMIN: &str = "admin: \"127.0.0.1:0\"";

async fn the_command_says_what_became_of_it(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let mut proxy = ProxyProcess::start(transport, ADMIN, &all_to(a.address())).await;
    let admin = proxy.admin().await.to_string();
    let said = output(command(&["rollback", "--admin", &admin])).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(said.err.contains("no generation is kept"), "{}", said.err);
    let text = std::fs::read_to_string(proxy.file()).unwrap();
    let other = text.replace(&a.address().to_string(), &b.address().to_string());
    replace(&proxy.file(), &other);
    proxy.process.signal(Signal::HUP);
    proxy.process.line("configuration reloaded").await;
    let said = output(command(&["rollback", "--admin", &admin])).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.out
            .starts_with("generation 1 is in force: 1 upstream changed\n"),
        "{}",
        said.out
    );
    let line = proxy.process.line("differs from what serves").await;
    assert!(
        line.contains("WARN") && line.contains("1 upstream changed"),
        "{line}"
    );
    let mut client = Client::connect(proxy.address, Http::One).await;
    assert_eq!(client.answer(get("/plain")).await.upstream(), "a");
    let state = state(&mut proxy).await;
    assert_eq!(state["file"]["state"], "differs", "{state}");
    assert_eq!(state["generation"], 1);
    proxy.process.signal(Signal::HUP);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while client.answer(get("/plain")).await.upstream() != "b" {
        assert!(
            std::time::Instant::now() < deadline,
            "a signal reads the file again"
        );
    }
}

async fn state(proxy: &mut ProxyProcess) -> Value {
    let page = proxy.page("/generations").await;
    assert_eq!(page.header("content-type"), "application/json");
    serde_json::from_slice(&page.body).unwrap()
}

async fn the_history_is_shown_and_bounded(transport: Transport) {
    let upstream = simulator(&[]);
    let mut proxy = ProxyProcess::start(transport, ADMIN, &all_to(upstream.address())).await;
    let admin = proxy.admin().await.to_string();
    let shown = state(&mut proxy).await;
    assert_eq!(shown["reloads"], serde_json::json!([]));
    assert_eq!(
        (&shown["generation"], &shown["before"]),
        (&1.into(), &Value::Null)
    );
    for _ in 0..20 {
        let said = output(command(&["reload", "--admin", &admin])).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    replace(&proxy.file(), "routes: [{}]\n");
    output(command(&["reload", "--admin", &admin])).await;
    let shown = state(&mut proxy).await;
    assert_eq!(
        (&shown["generation"], &shown["before"]),
        (&21.into(), &20.into())
    );
    let records = shown["reloads"].as_array().unwrap();
    assert_eq!(records.len(), 16);
    let [last, before, ..] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(
        (&last["verdict"], &last["kind"]),
        (&"refused".into(), &"mistakes".into())
    );
    assert!(
        last["reason"]
            .as_str()
            .unwrap()
            .contains("penstock.yaml:1:"),
        "{last}"
    );
    assert_eq!(
        (&before["verdict"], &before["generation"]),
        (&"applied".into(), &21.into())
    );
    assert_eq!(before["summary"], "no change");
    assert!(before["took_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(shown["file"]["state"], "unusable");
    let metrics = proxy.page("/metrics").await;
    for name in [
        "penstock_config_last_reload_successful 0",
        "penstock_config_last_reload_success_timestamp_seconds 1",
        "penstock_config_last_reload_duration_seconds 0.",
        "penstock_reload_refusals_total{reason=\"mistakes\"} 1",
    ] {
        assert!(metrics.text().contains(name), "{name}: {}", metrics.text());
    }
}

/// Waits until the upstream answers, after a signal.
async fn reloaded(proxy: &ProxyProcess, upstream: &str) {
    proxy.process.signal(Signal::HUP);
    let mut client = Client::connect(proxy.address, Http::One).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while client.answer(get("/plain")).await.upstream() != upstream {
        assert!(
            std::time::Instant::now() < deadline,
            "no reload to {upstream}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// A volume as Kubernetes mounts a ConfigMap: the file is a link into `..data`, which is
/// a link to a folder, and an update renames another link over that one.
fn mount(volume: &Path, version: &str, text: &str) {
    let folder = volume.join(format!("..{version}"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("penstock.yaml"), text).unwrap();
    let link = volume.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{version}"), &link).unwrap();
    std::fs::rename(&link, volume.join("..data")).unwrap();
    let file = volume.join("penstock.yaml");
    if !file.is_symlink() {
        let _ = std::fs::remove_file(&file);
        std::os::unix::fs::symlink("..data/penstock.yaml", &file).unwrap();
    }
}

async fn every_way_to_replace_a_file_works(transport: Transport) {
    let names = ["a", "b", "c", "d", "e", "f"];
    let upstreams = names.map(|name| simulator(&[("name", name)]));
    let texts: Vec<_> = upstreams
        .iter()
        .map(|upstream| config(transport, LOG, &all_to(upstream.address())))
        .collect();
    let [_, b, c, d, e, f] = texts.as_slice() else {
        panic!("six texts")
    };
    let proxy = ProxyProcess::start(transport, "", &all_to(upstreams[0].address())).await;
    let file = proxy.file();
    let volume = file.parent().unwrap();
    // A rename over it.
    replace(&file, b);
    reloaded(&proxy, "b").await;
    // An editor that writes into it.
    std::fs::write(&file, c).unwrap();
    reloaded(&proxy, "c").await;
    // An editor that keeps a copy and writes a new file.
    std::fs::rename(&file, file.with_extension("yaml~")).unwrap();
    std::fs::write(&file, d).unwrap();
    reloaded(&proxy, "d").await;
    // A ConfigMap, mounted and then updated; the old version goes.
    mount(volume, "2026_01", e);
    reloaded(&proxy, "e").await;
    mount(volume, "2026_02", f);
    std::fs::remove_dir_all(volume.join("..2026_01")).unwrap();
    reloaded(&proxy, "f").await;
}
