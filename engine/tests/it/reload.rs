//! A reload changes everything at once or nothing, and harms no request.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http_body_util::BodyExt;
use penstock::transport::Transport;
use rustix::process::Signal;

use crate::harness::certificates::Authority;
use crate::harness::client::{BOTH, Client, Http, get, post, streamed_chat, with};
use crate::harness::process::{LOG, ProxyProcess, command, output};
use crate::harness::{Proxy, all_to, config, eventually, replace, simulator};

on_both!(
    hundreds_of_reloads_harm_no_request_and_mix_no_generations,
    a_wrong_file_changes_nothing_and_is_explained,
    what_is_fixed_until_a_restart_is_named,
    a_missing_file_changes_nothing,
    a_stream_keeps_its_generation_alive,
    names_that_are_gone_leave_the_metrics,
    too_many_generations_alive_are_refused,
    certificates_are_read_again,
    a_signal_reloads,
    the_command_reloads_and_says_what_became_of_it,
);

/// A generation that is known by its upstream and by the name it gives to models.
fn generation(name: &str, upstream: SocketAddr) -> String {
    format!(
        "upstreams:\n  {name}: {{ endpoints: [\"{upstream}\"] }}\nroutes:\n  - {{ name: all, match: {{ models: [\"*\"] }}, split: [{{ upstream: {name}, model: model-{name} }}] }}\n"
    )
}

async fn hundreds_of_reloads_harm_no_request_and_mix_no_generations(transport: Transport) {
    const RELOADS: u64 = 300;
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let texts = [("a", a.address()), ("b", b.address())]
        .map(|(name, address)| config(transport, "", &generation(name, address)));
    let proxy = Proxy::start(&texts[0]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..8)
        .map(|n| {
            let (address, stop, served) = (proxy.address(), stop.clone(), served.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(address, BOTH[n % 2]).await;
                let mut seen = [0; 2];
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.answer(post("/echo", r#"{"model":"x"}"#)).await;
                    let other = usize::from(answer.upstream() == "b");
                    let wanted = format!(r#"{{"model":"model-{}"}}"#, answer.upstream());
                    assert_eq!(answer.text(), wanted, "generations are mixed");
                    seen[other] += 1;
                    served.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();
    for n in 1..=RELOADS {
        let id = proxy.reload(&texts[(n % 2) as usize]).await.unwrap();
        assert_eq!(id, n + 1, "each reload makes one generation");
        // Requests get their turn between reloads.
        let before = served.load(Ordering::Relaxed);
        eventually("requests go on", || {
            served.load(Ordering::Relaxed) >= before + 10
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let seen = client.await.unwrap();
        assert!(
            seen.iter().all(|n| *n > 0),
            "one connection saw both: {seen:?}"
        );
    }
    assert!(served.load(Ordering::Relaxed) >= 3000);
    eventually("no old generation stays", || {
        // What serves, and what a rollback would return to.
        proxy.metric("penstock_generations_alive", &[]) == 2.0
    })
    .await;
}

async fn serves(proxy: &Proxy) -> String {
    let mut client = Client::connect(proxy.address(), Http::One).await;
    client.answer(get("/plain")).await.upstream().to_owned()
}

/// The error of a reload that must be refused, after checking that nothing changed.
async fn refused(proxy: &Proxy, text: &str) -> String {
    let refusal = proxy.reload(text).await;
    let why = refusal.expect_err("a reload that must be refused");
    let record = proxy.server().live.last().unwrap();
    let refused = record.result.unwrap_err();
    assert_eq!(refused.why, why, "the record says why");
    let kind = format!("reason=\"{}\"", refused.kind);
    let counted = proxy.metric("penstock_reload_refusals_total", &[&kind]);
    assert_eq!(counted, 1.0, "{kind}");
    assert_eq!(serves(proxy).await, "simulator", "the old one serves on");
    assert_eq!(proxy.server().live.load().id, 1);
    let counted = proxy.metric("penstock_reloads_total", &["verdict=\"refused\""]);
    assert_eq!(counted, 1.0);
    why
}

async fn a_wrong_file_changes_nothing_and_is_explained(transport: Transport) {
    let upstream = simulator(&[]);
    let good = config(transport, "", &all_to(upstream.address()));
    let proxy = Proxy::start(&good).await;
    let wrong = good
        .replace("endpoints", "endpionts")
        .replace("upstream: a }", "upstream: b }");
    let why = refused(&proxy, &wrong).await;
    for mistake in ["endpionts", "penstock.yaml:"] {
        assert!(why.contains(mistake), "{mistake} is missing: {why}");
    }
    assert_eq!(proxy.reload(&good).await, Ok(2), "a good file after that");
}

async fn what_is_fixed_until_a_restart_is_named(transport: Transport) {
    let upstream = simulator(&[]);
    let rest = all_to(upstream.address());
    let proxy = Proxy::start(&config(transport, "", &rest)).await;
    let other = config(transport, "limits: { request_body: 1MiB }", &rest);
    let why = refused(&proxy, &other).await;
    assert!(why.contains("server.limits.request_body"), "{why}");
}

async fn names_that_are_gone_leave_the_metrics(transport: Transport) {
    let upstream = simulator(&[]);
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let rest = generation(name, upstream.address());
        let rest = rest.replace("name: all", &format!("name: to-{name}"));
        config(transport, "", &rest)
    });
    let proxy = Proxy::start(&a).await;
    let shown = |name: &str| {
        let labels = [
            format!("upstream=\"{name}\""),
            format!("route=\"to-{name}\""),
        ];
        let metrics = proxy.metrics();
        labels.map(|label| metrics.contains(&label))
    };
    proxy.reload(&b).await.unwrap();
    assert_eq!(shown("a"), [true; 2], "a rollback would return to it");
    proxy.reload(&c).await.unwrap();
    eventually("what nothing names is shown no more", || {
        shown("a") == [false; 2]
    })
    .await;
    assert_eq!([shown("b"), shown("c")], [[true; 2]; 2]);
}

async fn a_missing_file_changes_nothing(transport: Transport) {
    let upstream = simulator(&[]);
    let proxy = Proxy::start(&config(transport, "", &all_to(upstream.address()))).await;
    std::fs::remove_file(proxy.file()).unwrap();
    let live = proxy.server().live.clone();
    let reload = tokio::task::spawn_blocking(move || live.reload().map_err(|e| e.to_string()));
    let why = reload.await.unwrap().unwrap_err();
    assert!(why.contains("penstock.yaml cannot be read"), "{why}");
    assert_eq!(serves(&proxy).await, "simulator");
}

/// A stream that goes on for as long as it is held.
async fn hold_a_stream(proxy: &Proxy, http: Http) -> (Client, hyper::body::Incoming) {
    let mut client = Client::connect(proxy.address(), http).await;
    let mut body = client.send(streamed_chat()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    (client, body)
}

async fn a_stream_keeps_its_generation_alive(transport: Transport) {
    let upstream = simulator(&[("tokens", "1000"), ("between-tokens", "10ms")]);
    let text = config(transport, "", &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    for http in BOTH {
        let (client, mut body) = hold_a_stream(&proxy, http).await;
        // The first reload keeps it for a rollback, the second does not.
        proxy.reload(&text).await.unwrap();
        proxy.reload(&text).await.unwrap();
        assert_eq!(proxy.metric("penstock_generations_alive", &[]), 3.0);
        for _ in 0..5 {
            body.frame().await.unwrap().unwrap();
        }
        drop((client, body));
        eventually("the old generation is dropped", || {
            proxy.metric("penstock_generations_alive", &[]) == 2.0
        })
        .await;
    }
}

async fn too_many_generations_alive_are_refused(transport: Transport) {
    let upstream = simulator(&[("tokens", "1000"), ("between-tokens", "10ms")]);
    let limits = "limits: { generations: 2 }";
    let text = config(transport, limits, &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    let held = hold_a_stream(&proxy, Http::One).await;
    assert_eq!(proxy.reload(&text).await, Ok(2));
    let why = proxy.reload(&text).await.unwrap_err();
    assert!(why.contains("server.limits.generations"), "{why}");
    let reached = proxy.metric("penstock_limit_reached_total", &["generations"]);
    assert_eq!(reached, 1.0);
    drop(held);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    // What is kept for a rollback alone makes room for the next.
    while proxy.reload(&text).await != Ok(3) {
        assert!(std::time::Instant::now() < deadline, "requests are over");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(proxy.metric("penstock_generations_alive", &[]), 2.0);
    assert_eq!(proxy.reload(&text).await, Ok(4), "again and again");
}

/// A listener with the certificate in a folder.
pub(crate) fn tls_listener(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "listen: [{{ address: \"127.0.0.1:0\", tls: {{ certificate: \"{folder}/cert.pem\", private_key: {{ file: \"{folder}/key.pem\" }} }} }}]"
    )
}

async fn certificates_are_read_again(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("old.test").write(folder.path());
    let listener = tls_listener(folder.path());
    let text = config(transport, &listener, &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    let connect = |name| authority.connect(proxy.address(), name, &["http/1.1"]);
    let established = connect("old.test").await.unwrap();
    let mut established = Client::over(established, Http::One).await.unwrap();
    assert!(connect("new.test").await.is_err(), "not there yet");

    authority.issue("new.test").write(folder.path());
    proxy.reload(&text).await.unwrap();
    connect("new.test").await.expect("the new certificate");
    assert!(connect("old.test").await.is_err(), "the old one is gone");
    let request = with(get("/plain"), "host", "old.test");
    let answer = established.answer(request).await;
    assert_eq!(answer.status, 200, "established connections go on");

    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    let why = proxy.reload(&text).await.unwrap_err();
    assert!(why.contains("cert.pem"), "{why}");
    connect("new.test")
        .await
        .expect("a wrong one changes nothing");
}

async fn a_signal_reloads(transport: Transport) {
    let (a, b) = (simulator(&[("name", "a")]), simulator(&[("name", "b")]));
    let mut proxy = ProxyProcess::start(transport, "", &all_to(a.address())).await;
    let mut client = Client::connect(proxy.address, Http::One).await;
    assert_eq!(client.answer(get("/plain")).await.upstream(), "a");
    replace(&proxy.file(), &config(transport, LOG, &all_to(b.address())));
    proxy.process.signal(Signal::HUP);
    proxy.process.line("configuration reloaded").await;
    assert_eq!(client.answer(get("/plain")).await.upstream(), "b");
    replace(&proxy.file(), "nonsense");
    proxy.process.signal(Signal::HUP);
    let line = proxy.process.line("reload refused").await;
    assert!(line.contains("penstock.yaml:1:1"), "with its place: {line}");
    assert_eq!(client.answer(get("/plain")).await.upstream(), "b");
}

async fn the_command_reloads_and_says_what_became_of_it(transport: Transport) {
    let upstream = simulator(&[]);
    let admin = "admin: \"127.0.0.1:0\"";
    let mut proxy = ProxyProcess::start(transport, admin, &all_to(upstream.address())).await;
    let address = proxy.admin().await.to_string();
    let good = output(command(&["reload", "--admin", &address])).await;
    assert_eq!(good.code, Some(0), "{}", good.err);
    assert!(
        good.out.contains("generation 2 is in force"),
        "{}",
        good.out
    );
    replace(&proxy.file(), "routes: [{}]\n");
    let bad = output(command(&["reload", "--admin", &address])).await;
    assert_eq!(bad.code, Some(1), "{}", bad.out);
    assert!(bad.err.contains("penstock.yaml:1:"), "{}", bad.err);
    let nobody = crate::harness::Refusing::new().address().to_string();
    let gone = output(command(&["reload", "--admin", &nobody])).await;
    assert_eq!(gone.code, Some(1));
    assert!(gone.err.contains(&nobody), "{}", gone.err);
}
