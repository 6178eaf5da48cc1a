//! TLS as clients of a public edge meet it: certificates by name, sessions that go on, hosts
//! that belong elsewhere, and clients that have certificates of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use penstock::transport::Transport;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::harness::certificates::{Authority, Issued, tls_connect};
use crate::harness::client::{Client, Http, chat, get, post, with};
use crate::harness::process::ProxyProcess;
use crate::harness::{Proxy, all_to, config, eventually, simulator};

mod clients;

on_both!(
    the_certificate_is_chosen_by_name,
    unknown_names_are_refused_unless_allowed,
    the_kind_of_key_is_what_the_client_can_use,
    certificates_that_do_not_fit_are_told,
    what_has_expired_is_complained_of,
    certificates_come_and_go_with_a_reload,
    two_hundred_swaps_fail_no_handshake,
    sessions_are_resumed_by_all_workers_and_over_reloads,
    other_certificates_end_sessions,
    the_oldest_version_is_a_choice,
    a_host_of_another_certificate_is_misdirected,
    without_a_name_the_first_certificate_decides,
    a_misdirected_request_is_told_in_its_dialect,
);

/// A listener with certificates of these files and more lines.
fn listener(folder: &Path, names: &[&str], lines: &str) -> String {
    let folder = folder.display();
    let each = names.iter().map(|name| {
        format!("{{ certificate: \"{folder}/{name}.pem\", private_key: {{ file: \"{folder}/{name}.key\" }} }}")
    });
    let each: Vec<_> = each.collect();
    format!(
        "listen: [{{ address: \"127.0.0.1:0\", tls: {{ certificates: [{}]{lines} }} }}]",
        each.join(", ")
    )
}

/// Writes a certificate under a name of its own.
fn keep(issued: &Issued, folder: &Path, name: &str) {
    std::fs::write(folder.join(format!("{name}.pem")), &issued.certificate).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), &issued.key).unwrap();
}

/// An authority and a folder with three certificates: for one name, for all below another,
/// and for one of those.
struct Site {
    authority: Authority,
    folder: tempfile::TempDir,
}

const THREE: [&str; 3] = ["one", "wild", "exact"];

impl Site {
    fn new() -> Site {
        let site = Site {
            authority: Authority::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        site.keep("one", &["one.test", "uno.test", "127.0.0.1"]);
        site.keep("wild", &["*.wild.test", "wild.test"]);
        site.keep("exact", &["exact.wild.test"]);
        site
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn keep(&self, file: &str, names: &[&str]) {
        keep(&self.authority.issue_for(names), self.path(), file);
    }

    fn text(&self, transport: Transport, upstream: SocketAddr, lines: &str) -> String {
        let server = listener(self.path(), &THREE, lines);
        config(transport, &server, &all_to(upstream))
    }

    /// What a client that asks for this name gets.
    async fn shown(&self, address: SocketAddr, name: &str) -> std::io::Result<Vec<u8>> {
        let stream = self.authority.connect(address, name, &["http/1.1"]).await?;
        Ok(leaf(&stream))
    }

    fn der(&self, file: &str) -> Vec<u8> {
        let text = std::fs::read_to_string(self.path().join(format!("{file}.pem"))).unwrap();
        der(&text)
    }

    async fn client(&self, address: SocketAddr, name: &str, http: Http) -> Client {
        let protocol = match http {
            Http::One => "http/1.1",
            Http::Two => "h2",
        };
        let stream = self.authority.connect(address, name, &[protocol]).await;
        Client::over(stream.unwrap(), http).await.unwrap()
    }
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

fn leaf(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn failures(proxy: &Proxy, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    proxy.metric("penstock_tls_handshake_failures_total", &[&label])
}

async fn the_certificate_is_chosen_by_name(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let proxy = Proxy::start(&site.text(transport, upstream.address(), "")).await;
    for (name, file) in [
        ("one.test", "one"),
        ("uno.test", "one"),
        ("UNO.test", "one"),
        ("wild.test", "wild"),
        ("any.wild.test", "wild"),
        ("exact.wild.test", "exact"),
        // A client cannot ask for an address, and gets the first.
        ("127.0.0.1", "one"),
    ] {
        let shown = site.shown(proxy.address(), name).await;
        let shown = shown.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(shown == site.der(file), "{name} gets {file}");
    }
}

async fn unknown_names_are_refused_unless_allowed(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let proxy = Proxy::start(&site.text(transport, upstream.address(), "")).await;
    for (count, name) in ["other.test", "x.any.wild.test", "x.one.test"]
        .iter()
        .enumerate()
    {
        let refused = site.shown(proxy.address(), name).await.unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("AccessDenied"), "{name}: {refused}");
        eventually("the refusal is counted", || {
            failures(&proxy, "unknown_name") == (count + 1) as f64
        })
        .await;
    }
    let lines = ", unknown_names: default";
    let proxy = Proxy::start(&site.text(transport, upstream.address(), lines)).await;
    let config = site.authority.trusting_any_name();
    let stream = tls_connect(proxy.address(), "other.test", config).await;
    let stream = stream.unwrap();
    assert!(leaf(&stream) == site.der("one"), "the first certificate");
    let mut client = Client::over(stream, Http::One).await.unwrap();
    for (host, status) in [("other.test", 200), ("third.test", 421)] {
        let answer = client.answer(with(get("/plain"), "host", host)).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

async fn the_kind_of_key_is_what_the_client_can_use(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let twin = site.authority.issue_ed25519(&["one.test"]);
    keep(&twin, site.path(), "twin");
    let server = listener(site.path(), &["twin", "one"], "");
    let text = config(transport, &server, &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    assert!(site.shown(proxy.address(), "one.test").await.unwrap() == site.der("twin"));
    let config = site.authority.trusting_without_ed25519();
    let stream = tls_connect(proxy.address(), "one.test", config).await;
    assert!(leaf(&stream.unwrap()) == site.der("one"));
}

async fn certificates_that_do_not_fit_are_told(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let good = site.text(transport, upstream.address(), "");
    let proxy = Proxy::start(&good).await;
    let file = |name: &str| site.path().join(name);
    let copy = |from: &str, to: &str| std::fs::copy(file(from), file(to)).unwrap();
    let name_in = |name: &str| site.keep(name, &["one.test"]);
    let cases: [(&dyn Fn(), &[&str]); 5] = [
        (
            &|| assert!(copy("wild.key", "exact.key") > 0),
            &["exact.pem", "exact.key", "the key of another certificate"],
        ),
        (
            &|| name_in("exact"),
            &["exact.pem", "`one.test` is in", "one.pem"],
        ),
        (
            &|| site.keep("exact", &[]),
            &["exact.pem", "no host or address"],
        ),
        (
            &|| {
                let of = |name: &str| std::fs::read_to_string(file(name)).unwrap();
                let both = of("exact.pem") + &of("one.pem");
                std::fs::write(file("exact.pem"), both).unwrap();
            },
            &["exact.pem", "certificate 2 has not signed"],
        ),
        (
            &|| {
                std::fs::write(file("exact.pem"), "nonsense").unwrap();
                std::fs::write(file("wild.key"), "nonsense").unwrap();
            },
            &["exact.pem", "no certificate", "wild.key"],
        ),
    ];
    for (spoil, told) in cases {
        spoil();
        let why = proxy.reload(&good).await.unwrap_err();
        for part in told {
            assert!(why.contains(part), "{part}: {why}");
        }
        assert!(why.contains("server.listen[0].tls"), "{why}");
        site.keep("wild", &["*.wild.test", "wild.test"]);
        site.keep("exact", &["exact.wild.test"]);
        let shown = site.shown(proxy.address(), "one.test").await;
        shown.expect("the old generation serves on");
    }
    proxy.reload(&good).await.expect("all is well again");
}

async fn what_has_expired_is_complained_of(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    keep(
        &site.authority.issue_expired("old.test"),
        site.path(),
        "one",
    );
    let proxy = Proxy::start(&site.text(transport, upstream.address(), "")).await;
    let complaints = proxy.server().live.load().complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(
        complaints[0].contains("one.pem has expired at 2001-"),
        "{complaints:?}"
    );
}

async fn certificates_come_and_go_with_a_reload(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let text = |names: &[&str]| {
        let server = listener(site.path(), names, "");
        config(transport, &server, &all_to(upstream.address()))
    };
    let proxy = Proxy::start(&text(&["one"])).await;
    assert!(site.shown(proxy.address(), "wild.test").await.is_err());
    proxy.reload(&text(&["one", "wild"])).await.unwrap();
    let shown = site.shown(proxy.address(), "wild.test").await.unwrap();
    assert!(shown == site.der("wild"));
    proxy.reload(&text(&["wild"])).await.unwrap();
    assert!(site.shown(proxy.address(), "one.test").await.is_err());
}

async fn two_hundred_swaps_fail_no_handshake(transport: Transport) {
    const SWAPS: u64 = 200;
    let (site, upstream) = (Site::new(), simulator(&[]));
    let text = site.text(transport, upstream.address(), "");
    let proxy = Proxy::start(&text).await;
    let site = Arc::new(site);
    let (stop, made) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (address, site) = (proxy.address(), site.clone());
            let (stop, made) = (stop.clone(), made.clone());
            tokio::spawn(async move {
                let name = ["one.test", "any.wild.test"][n % 2];
                // Half of them resume their sessions.
                let kept = site.authority.trusting(&["http/1.1"]);
                let mut shown = std::collections::BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let config = match n / 2 {
                        0 => kept.clone(),
                        _ => site.authority.trusting(&["http/1.1"]),
                    };
                    let stream = tls_connect(address, name, config).await;
                    let mut stream = stream.expect("no handshake fails");
                    shown.insert(leaf(&stream));
                    let answer = exchange(&mut stream, name).await;
                    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                    made.fetch_add(1, Ordering::Relaxed);
                }
                shown.len()
            })
        })
        .collect();
    for n in 0..SWAPS {
        match n % 2 {
            0 => site.keep("one", &["one.test"]),
            _ => site.keep("wild", &["*.wild.test"]),
        }
        proxy.reload(&text).await.unwrap();
        let before = made.load(Ordering::Relaxed);
        eventually("handshakes go on", || {
            made.load(Ordering::Relaxed) > before + 1
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let shown = client.await.unwrap();
        assert!(shown > 10, "each sees many certificates: {shown}");
    }
    for reason in ["protocol", "unknown_name", "timeout", "client_alert"] {
        assert_eq!(failures(&proxy, reason), 0.0, "{reason}");
    }
}

/// One request and the head of its answer, after which the connection's tickets are here.
async fn exchange(stream: &mut TlsStream<TcpStream>, host: &str) -> String {
    let request = format!("GET /plain HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Whether the end is announced is not of interest here.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// How a handshake was made; a request is made after it, whose answer brings tickets.
async fn handshake(proxy: &Proxy, name: &str, config: &Arc<ClientConfig>) -> HandshakeKind {
    let stream = tls_connect(proxy.address(), name, config.clone()).await;
    let mut stream = stream.unwrap();
    let answer = exchange(&mut stream, name).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    stream.get_ref().1.handshake_kind().unwrap()
}

async fn sessions_are_resumed_by_all_workers_and_over_reloads(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let server = listener(site.path(), &THREE, "");
    let server = format!("{server}\nworkers: 4");
    let text = config(transport, &server, &all_to(upstream.address()));
    let proxy = Proxy::start(&text).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = site.authority.speaking(version);
        let first = handshake(&proxy, "one.test", &client).await;
        assert_eq!(first, HandshakeKind::Full, "nothing to resume yet");
        // Whichever of the workers a connection comes to.
        for n in 0..24 {
            if n % 8 == 4 {
                proxy.reload(&text).await.unwrap();
            }
            let again = handshake(&proxy, "one.test", &client).await;
            assert_eq!(again, HandshakeKind::Resumed, "{version:?}, {n}");
        }
        let other = handshake(&proxy, "wild.test", &client).await;
        assert_eq!(other, HandshakeKind::Full, "a session is of one name");
    }
}

async fn other_certificates_end_sessions(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let text = site.text(transport, upstream.address(), "");
    let proxy = Proxy::start(&text).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = site.authority.speaking(version);
        handshake(&proxy, "one.test", &client).await;
        let again = handshake(&proxy, "one.test", &client).await;
        assert_eq!(again, HandshakeKind::Resumed);
        site.keep("one", &["one.test"]);
        proxy.reload(&text).await.unwrap();
        let after = handshake(&proxy, "one.test", &client).await;
        assert_eq!(after, HandshakeKind::Full, "{version:?}");
    }
}

async fn the_oldest_version_is_a_choice(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let lines = ", min_version: tls1.3";
    let proxy = Proxy::start(&site.text(transport, upstream.address(), lines)).await;
    let new = site.authority.speaking(&rustls::version::TLS13);
    let stream = tls_connect(proxy.address(), "one.test", new).await.unwrap();
    let spoken = stream.get_ref().1.protocol_version();
    assert_eq!(spoken, Some(ProtocolVersion::TLSv1_3));
    let old = site.authority.speaking(&rustls::version::TLS12);
    assert!(tls_connect(proxy.address(), "one.test", old).await.is_err());
    eventually("it is counted", || failures(&proxy, "protocol") == 1.0).await;
}

async fn a_host_of_another_certificate_is_misdirected(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let proxy = Proxy::start(&site.text(transport, upstream.address(), "")).await;
    let mut misdirected = 0.0;
    for http in [Http::One, Http::Two] {
        for (name, host, status) in [
            ("one.test", "one.test", 200),
            ("one.test", "ONE.test:8443", 200),
            ("one.test", "one.test.", 200),
            ("one.test", "uno.test", 200),
            ("one.test", "127.0.0.1", 200),
            ("one.test", "127.0.0.2", 421),
            ("one.test", "wild.test", 421),
            ("one.test", "other.test", 421),
            ("any.wild.test", "more.wild.test", 200),
            // Its own certificate would be another one, and this one covers it.
            ("any.wild.test", "exact.wild.test", 200),
            ("exact.wild.test", "any.wild.test", 421),
        ] {
            let mut client = site.client(proxy.address(), name, http).await;
            let answer = client.answer(with(get("/plain"), "host", host)).await;
            assert_eq!(answer.status, status, "{http:?}: {name}, {host}");
            misdirected += f64::from(u8::from(status == 421));
            let counted = proxy.metric("penstock_rules_broken_total", &["rule=\"misdirected\""]);
            assert_eq!(counted, misdirected);
        }
    }
    // Over HTTP/2 the connection goes on: others of its requests are welcome.
    let mut client = site.client(proxy.address(), "one.test", Http::Two).await;
    for (host, status) in [("other.test", 421), ("one.test", 200)] {
        let answer = client.answer(with(get("/plain"), "host", host)).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

async fn without_a_name_the_first_certificate_decides(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let proxy = Proxy::start(&site.text(transport, upstream.address(), "")).await;
    for (host, status) in [
        ("127.0.0.1", 200),
        // A client cannot ask for an address: whatever it is, there is nothing to disagree.
        ("10.1.2.3:443", 200),
        ("[::1]", 200),
        ("uno.test", 200),
        ("wild.test", 421),
    ] {
        let mut client = site.client(proxy.address(), "127.0.0.1", Http::One).await;
        let answer = client.answer(with(get("/plain"), "host", host)).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

async fn a_misdirected_request_is_told_in_its_dialect(transport: Transport) {
    let (site, upstream) = (Site::new(), simulator(&[]));
    let proxy = Proxy::start(&site.text(transport, upstream.address(), "")).await;
    for http in [Http::One, Http::Two] {
        let mut client = site.client(proxy.address(), "one.test", http).await;
        let answer = client.answer(with(chat(), "host", "other.test")).await;
        assert_eq!(answer.status, 421);
        assert_eq!(answer.error_code(), "misdirected");
        let mut client = site.client(proxy.address(), "one.test", http).await;
        let request = with(post("/v1/messages", "{}"), "host", "other.test");
        let answer = client.answer(request).await;
        let error: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(error["error"]["type"], "invalid_request_error", "{error}");
    }
    assert!(upstream.recorded().is_empty(), "nothing was sent");
}
