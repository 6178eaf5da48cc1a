//! Clients that prove who they are.

use super::*;

on_both!(
    clients_without_a_certificate_are_refused,
    a_certificate_can_be_left_to_the_client,
    wrong_certificates_are_refused,
    no_session_spares_the_proof,
    revoked_certificates_are_refused,
    other_authorities_come_with_a_reload,
    the_name_is_logged_and_sent_upstream,
);

/// What stands beside the certificates of a listener that asks for clients'.
fn asks(folder: &Path, lines: &str) -> String {
    let folder = folder.display();
    format!(", client_certificates: {{ ca: \"{folder}/clients.pem\"{lines} }}")
}

/// A site whose clients are signed by an authority of their own.
struct Closed {
    site: Site,
    clients: Authority,
}

impl Closed {
    fn new() -> Closed {
        let closed = Closed {
            site: Site::new(),
            clients: Authority::new(),
        };
        closed.trust(&closed.clients);
        closed
    }

    fn trust(&self, authority: &Authority) {
        std::fs::write(self.site.path().join("clients.pem"), authority.pem()).unwrap();
    }

    async fn start(&self, transport: Transport, upstream: SocketAddr, lines: &str) -> Proxy {
        let lines = asks(self.site.path(), lines);
        Proxy::start(&self.site.text(transport, upstream, &lines)).await
    }

    /// The beginning of the answer to a client with this certificate, or why there is none:
    /// in TLS 1.3 a client learns of its refusal when it reads.
    async fn ask(&self, proxy: &Proxy, client: Option<&Issued>) -> Result<String, String> {
        let config = self.site.authority.as_client(client);
        self.ask_with(proxy, config).await
    }

    async fn ask_with(&self, proxy: &Proxy, config: Arc<ClientConfig>) -> Result<String, String> {
        let stream = tls_connect(proxy.address(), "one.test", config).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        let request = "GET /plain HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        if answer.is_empty() {
            return Err(read.map_or_else(|error| error.to_string(), |_| "nothing".into()));
        }
        let answer = String::from_utf8(answer).unwrap();
        Ok(answer.split(' ').nth(1).unwrap_or_default().to_owned())
    }
}

async fn clients_without_a_certificate_are_refused(transport: Transport) {
    let (closed, upstream) = (Closed::new(), simulator(&[]));
    let proxy = closed.start(transport, upstream.address(), "").await;
    let issued = closed.clients.issue("alice.test");
    assert_eq!(
        closed.ask(&proxy, Some(&issued)).await.as_deref(),
        Ok("200")
    );
    closed.ask(&proxy, None).await.expect_err("without one");
    eventually("it is counted", || {
        failures(&proxy, "client_certificate") == 1.0
    })
    .await;
    assert_eq!(upstream.recorded().len(), 1);
}

async fn a_certificate_can_be_left_to_the_client(transport: Transport) {
    let (closed, upstream) = (Closed::new(), simulator(&[]));
    let address = upstream.address();
    let proxy = closed.start(transport, address, ", required: false").await;
    assert_eq!(closed.ask(&proxy, None).await.as_deref(), Ok("200"));
    let issued = closed.clients.issue("alice.test");
    assert_eq!(
        closed.ask(&proxy, Some(&issued)).await.as_deref(),
        Ok("200")
    );
    let stranger = Authority::new().issue("alice.test");
    let refused = closed.ask(&proxy, Some(&stranger)).await;
    refused.expect_err("a wrong one is not taken for none");
}

async fn wrong_certificates_are_refused(transport: Transport) {
    let (closed, upstream) = (Closed::new(), simulator(&[]));
    let proxy = closed.start(transport, upstream.address(), "").await;
    let wrong = [
        ("of another authority", Authority::new().issue("alice.test")),
        ("expired", closed.clients.issue_expired("alice.test")),
        (
            "of the authority of servers",
            closed.site.authority.issue("alice.test"),
        ),
    ];
    for (count, (what, issued)) in wrong.iter().enumerate() {
        let refused = closed.ask(&proxy, Some(issued)).await;
        refused.expect_err(what);
        eventually("it is counted", || {
            failures(&proxy, "client_certificate") == (count + 1) as f64
        })
        .await;
    }
    assert!(upstream.recorded().is_empty());
}

async fn no_session_spares_the_proof(transport: Transport) {
    let (closed, upstream) = (Closed::new(), simulator(&[]));
    let proxy = closed.start(transport, upstream.address(), "").await;
    let issued = closed.clients.issue("alice.test");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = closed.site.authority.client_speaking(&issued, version);
        for _ in 0..2 {
            let kind = handshake(&proxy, "one.test", &config).await;
            assert_eq!(kind, HandshakeKind::Full, "{version:?}");
        }
    }
}

async fn revoked_certificates_are_refused(transport: Transport) {
    let (closed, upstream) = (Closed::new(), simulator(&[]));
    let crl = closed.site.path().join("crl.pem");
    std::fs::write(&crl, closed.clients.revoking(&[7], 2100)).unwrap();
    let lines = format!(", crl: \"{}\"", crl.display());
    let proxy = closed.start(transport, upstream.address(), &lines).await;
    let (good, bad) = (
        closed.clients.issue_numbered("alice.test", 8),
        closed.clients.issue_numbered("bob.test", 7),
    );
    assert_eq!(closed.ask(&proxy, Some(&good)).await.as_deref(), Ok("200"));
    // In TLS 1.2 the handshake ends with the reason.
    let version = &rustls::version::TLS12;
    let config = closed.site.authority.client_speaking(&bad, version);
    let refused = closed.ask_with(&proxy, config).await.unwrap_err();
    assert!(refused.contains("CertificateRevoked"), "{refused}");
    // A list is read again with the rest, and is worth nothing after its end.
    let reload = || async {
        let live = proxy.server().live.clone();
        let reloaded = tokio::task::spawn_blocking(move || live.reload().map(drop));
        reloaded.await.unwrap().map_err(|error| error.to_string())
    };
    std::fs::write(&crl, closed.clients.revoking(&[8], 2100)).unwrap();
    reload().await.unwrap();
    closed.ask(&proxy, Some(&good)).await.unwrap_err();
    assert_eq!(closed.ask(&proxy, Some(&bad)).await.as_deref(), Ok("200"));
    std::fs::write(&crl, closed.clients.revoking(&[8], 2001)).unwrap();
    reload().await.unwrap();
    closed.ask(&proxy, Some(&bad)).await.unwrap_err();
    std::fs::write(&crl, "nonsense").unwrap();
    let why = reload().await.unwrap_err();
    assert!(why.contains("crl.pem"), "{why}");
}

async fn other_authorities_come_with_a_reload(transport: Transport) {
    let (closed, upstream) = (Closed::new(), simulator(&[]));
    let lines = asks(closed.site.path(), "");
    let text = closed.site.text(transport, upstream.address(), &lines);
    let proxy = Proxy::start(&text).await;
    let (old, other) = (closed.clients.issue("alice.test"), Authority::new());
    let new = other.issue("alice.test");
    let config = closed.site.authority.as_client(Some(&old));
    assert_eq!(
        closed.ask_with(&proxy, config.clone()).await.as_deref(),
        Ok("200")
    );
    closed.trust(&other);
    proxy.reload(&text).await.unwrap();
    let refused = closed.ask_with(&proxy, config).await;
    refused.expect_err("with all that the client remembers");
    assert_eq!(closed.ask(&proxy, Some(&new)).await.as_deref(), Ok("200"));
    // A listener that asks from now on asks all.
    let open = closed.site.text(transport, upstream.address(), "");
    proxy.reload(&open).await.unwrap();
    let config = closed.site.authority.as_client(None);
    for _ in 0..2 {
        assert_eq!(
            closed.ask_with(&proxy, config.clone()).await.as_deref(),
            Ok("200")
        );
    }
    proxy.reload(&text).await.unwrap();
    let refused = closed.ask_with(&proxy, config).await;
    refused.expect_err("a session of before is no proof");
}

async fn the_name_is_logged_and_sent_upstream(transport: Transport) {
    let (closed, upstream) = (Closed::new(), simulator(&[]));
    let folder = closed.site.path();
    let asks = asks(folder, ", required: false");
    let server = format!(
        "{}\nlog: {{ format: json, access: on }}",
        listener(folder, &THREE, &asks)
    );
    let rule =
        "chain:\n  - headers: { request: [{ set: { x-client: \"{client_certificate}\" } }] }\n";
    let rest = format!("{}{rule}", all_to(upstream.address()));
    let mut proxy = ProxyProcess::start(transport, &server, &rest).await;
    let uri = closed.clients.issue_uri("spiffe://test/alice");
    let name = closed.clients.issue("bob.test");
    let clients = [
        (Some(&uri), "spiffe://test/alice"),
        (Some(&name), "bob.test"),
        (None, ""),
    ];
    for (issued, wanted) in clients {
        let config = closed.site.authority.as_client(issued);
        let stream = tls_connect(proxy.address, "one.test", config).await;
        let mut client = Client::over(stream.unwrap(), Http::One).await.unwrap();
        let request = with(get("/plain"), "host", "one.test");
        let answer = client.answer(with(request, "x-client", "forged")).await;
        assert_eq!(answer.status, 200);
        let recorded = upstream.recorded();
        let sent = recorded.last().unwrap().headers.get("x-client");
        let sent = sent.map_or("", |sent| sent.to_str().unwrap());
        assert_eq!(sent, wanted, "a client cannot forge it");
    }
    proxy.process.signal(rustix::process::Signal::TERM);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    let lines = proxy.process.lines();
    let lines = lines.iter().filter(|line| line.contains("\"request\""));
    let named: Vec<_> = lines
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["client_certificate"].as_str().map(str::to_owned)
        })
        .collect();
    let wanted = [Some("spiffe://test/alice"), Some("bob.test"), None];
    assert_eq!(named, wanted.map(|name| name.map(str::to_owned)));
}
