//! Who a request comes from, through whatever proxies are trusted, and how many connections
//! one address may have.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use penstock::transport::Transport;
use penstock_simulator::Simulator;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::certificates::Authority;
use crate::harness::client::{BOTH, Client, Http, get, with};
use crate::harness::process::ProxyProcess;
use crate::harness::raw::{Raw, WAIT};
use crate::harness::{COUNTRIES, Proxy, config, eventually, simulator};

on_both!(
    a_load_balancer_names_the_client,
    a_load_balancer_names_the_client_before_tls,
    who_is_not_believed_is_closed,
    a_header_of_a_trusted_proxy_is_believed,
    forwarded_is_believed_where_it_is_configured,
    the_client_is_the_same_everywhere,
    an_address_has_so_many_connections,
    a_client_behind_a_load_balancer_has_so_many_connections,
    an_address_opens_connections_at_its_rate,
);

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const GET: &[u8] = b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n";
/// 192.0.2.1 over TCP.
const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// Everything goes to one upstream, and the answer says who asked.
fn telling(upstream: &Simulator) -> String {
    format!(
        "upstreams: {{ a: {{ endpoints: [\"{}\"] }} }}
chain:
- headers: {{ response: [{{ set: {{ x-client: \"{{client_address}}\" }} }}] }}
routes: [{{ name: all, split: [{{ upstream: a }}] }}]
",
        upstream.address()
    )
}

fn listener(proxy_protocol: &str, clients: &str) -> String {
    format!(
        "listen: [{{ address: \"127.0.0.1:0\", http2: true, proxy_protocol: {proxy_protocol} }}]\nclients: {{ {clients} }}"
    )
}

/// A connection from this address of the machine's own.
async fn from(address: &str, proxy: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let ip: IpAddr = address.parse().unwrap();
    socket.bind(SocketAddr::new(ip, 0)).unwrap();
    let stream = socket.connect(proxy).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What comes back until the proxy closes. It may do so before it has heard everything.
async fn exchange(stream: TcpStream, pieces: &[&[u8]]) -> String {
    let mut raw = Raw(stream);
    for piece in pieces {
        if raw.0.write_all(piece).await.is_err() {
            break;
        }
        // So that it is read before the next one.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    raw.text_to_end().await
}

/// Who asked, by an answer's head.
fn told(answer: &str) -> &str {
    let lines = answer.lines();
    let mut told = lines.filter_map(|line| line.strip_prefix("x-client: "));
    told.next().unwrap_or_else(|| panic!("{answer:?}"))
}

async fn a_load_balancer_names_the_client(transport: Transport) {
    let upstream = simulator(&[]);
    let server = listener("required", "trusted_proxies: [127.0.0.0/8]");
    let proxy = Proxy::start(&config(transport, &server, &telling(&upstream))).await;
    let long = [&V4[..], &vec![7; 65535 - 12]].concat();
    let mapped = [&[0; 10][..], &[0xff; 2], &V4[..4], &[0; 16], &V4[8..]].concat();
    for (header, client) in [
        (LINE.to_vec(), "192.0.2.1"),
        (
            b"PROXY TCP6 2001:db8::1 ::1 1 443\r\n".to_vec(),
            "2001:db8::1",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(0x21, 0x11, &V4), "192.0.2.1"),
        (binary(0x21, 0x21, &mapped), "192.0.2.1"),
        (binary(0x21, 0x11, &long), "192.0.2.1"),
        (binary(0x20, 0, &[]), "127.0.0.1"),
        (binary(0x21, 0x31, &[0; 216]), "127.0.0.1"),
    ] {
        let whole = [&header[..], GET].concat();
        let bytes: Vec<&[u8]> = header.chunks(1 + header.len() / 50).chain([GET]).collect();
        for pieces in [&[&whole[..]][..], &[&header, GET], &bytes] {
            let stream = from("127.0.0.1", proxy.address()).await;
            let answer = exchange(stream, pieces).await;
            assert_eq!(
                told(&answer),
                client,
                "{:?}",
                String::from_utf8_lossy(&header)
            );
        }
        for http in BOTH {
            let mut stream = from("127.0.0.1", proxy.address()).await;
            stream.write_all(&header).await.unwrap();
            let mut penstock = Client::over(stream, http).await.unwrap();
            for _ in 0..2 {
                let request = with(get("/plain"), "x-forwarded-for", "198.51.100.1");
                let answer = penstock.answer(request).await;
                // The balancer itself is trusted with the header, a stranger behind it is not.
                let wanted = match client {
                    "127.0.0.1" => "198.51.100.1",
                    client => client,
                };
                assert_eq!(answer.header("x-client"), wanted, "{http:?}");
            }
        }
    }
}

async fn a_load_balancer_names_the_client_before_tls(transport: Transport) {
    let upstream = simulator(&[]);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    authority.issue("penstock.test").write(folder.path());
    let files = folder.path().display();
    let server = format!(
        "listen: [{{ address: \"127.0.0.1:0\", proxy_protocol: required, tls: {{ certificate: {files}/cert.pem, private_key: {{ file: {files}/key.pem }} }} }}]
clients: {{ trusted_proxies: [127.0.0.0/8] }}"
    );
    let proxy = Proxy::start(&config(transport, &server, &telling(&upstream))).await;
    for (offered, http) in [(&["h2"][..], Http::Two), (&[], Http::One)] {
        for header in [LINE.to_vec(), binary(0x21, 0x11, &V4)] {
            let mut stream = from("127.0.0.1", proxy.address()).await;
            stream.write_all(&header).await.unwrap();
            let stream = authority.over(stream, "penstock.test", offered).await;
            let mut client = Client::over(stream.unwrap(), http).await.unwrap();
            let answer = client.answer(get("/plain")).await;
            assert_eq!(answer.header("x-client"), "192.0.2.1", "{http:?}");
        }
    }
    let stream = authority
        .connect(proxy.address(), "penstock.test", &[])
        .await;
    assert!(stream.is_err(), "a client that nobody names is not served");
}

async fn who_is_not_believed_is_closed(transport: Transport) {
    let upstream = simulator(&[]);
    let mut header_and_get = LINE.to_vec();
    header_and_get.extend(GET);
    let malformed = b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 0443\r\nGET / HTTP/1.1\r\n\r\n";
    let unknown = [&binary(0x31, 0x11, &V4)[..], GET].concat();
    let (mine, others) = (
        "trusted_proxies: [127.0.0.1]",
        "trusted_proxies: [10.0.0.0/8]",
    );
    for (rule, trusted, bytes, reason) in [
        ("required", others, &header_and_get[..], "proxy_untrusted"),
        ("required", others, GET, "proxy_untrusted"),
        ("required", mine, GET, "proxy_missing"),
        ("required", mine, malformed, "proxy_malformed"),
        ("required", mine, &unknown, "proxy_malformed"),
        ("optional", others, &header_and_get, "proxy_untrusted"),
        ("optional", others, malformed, "proxy_malformed"),
        ("optional", mine, malformed, "proxy_malformed"),
    ] {
        let server = listener(rule, trusted);
        let proxy = Proxy::start(&config(transport, &server, &telling(&upstream))).await;
        let stream = from("127.0.0.1", proxy.address()).await;
        let answer = exchange(stream, &[bytes]).await;
        assert_eq!(answer, "", "{rule}, {trusted}, {reason}");
        let label = format!("reason=\"{reason}\"");
        let refused = "penstock_connections_refused_total";
        eventually("it is counted once", || {
            proxy.metric(refused, &[&label]) == 1.0
        })
        .await;
        assert_eq!(proxy.metric(refused, &[]), 1.0);
    }
    assert!(upstream.recorded().is_empty());
    for (rule, trusted) in [("optional", mine), ("optional", others)] {
        let server = listener(rule, trusted);
        let proxy = Proxy::start(&config(transport, &server, &telling(&upstream))).await;
        let stream = from("127.0.0.1", proxy.address()).await;
        let answer = exchange(stream, &[GET]).await;
        assert_eq!(told(&answer), "127.0.0.1", "nobody need say so");
    }
    let proxy = Proxy::start(&config(transport, "", &telling(&upstream))).await;
    let stream = from("127.0.0.1", proxy.address()).await;
    let answer = exchange(stream, &[&header_and_get]).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
}

/// Sends a request with these headers from an address, and returns who asked.
async fn asked(proxy: &Proxy, http: Http, peer: &str, headers: &[(&'static str, &str)]) -> String {
    let stream = from(peer, proxy.address()).await;
    let mut client = Client::over(stream, http).await.unwrap();
    let mut request = get("/plain");
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    let answer = client.answer(request).await;
    assert_eq!(answer.status, 200);
    answer.header("x-client").to_owned()
}

async fn a_header_of_a_trusted_proxy_is_believed(transport: Transport) {
    let upstream = simulator(&[]);
    let server = "clients: { trusted_proxies: [127.0.0.1, 10.0.0.0/8] }";
    let proxy = Proxy::start(&config(transport, server, &telling(&upstream))).await;
    let name = "x-forwarded-for";
    for http in BOTH {
        for (peer, lines, client) in [
            ("127.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("127.0.0.1", &["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
            (
                "127.0.0.1",
                &["198.51.100.1", "192.0.2.1", "10.1.1.1"],
                "192.0.2.1",
            ),
            (
                "127.0.0.1",
                &["[2001:db8::1]:443, ::ffff:10.1.1.1"],
                "2001:db8::1",
            ),
            ("127.0.0.1", &["unknown"], "127.0.0.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.2", &["192.0.2.1"], "127.0.0.2"),
            ("127.0.0.2", &["192.0.2.1, 127.0.0.1"], "127.0.0.2"),
        ] {
            let mut headers: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
            headers.push(("forwarded", "for=203.0.113.9"));
            headers.push(("x-real-ip", "203.0.113.9"));
            headers.push(("x_forwarded_for", "203.0.113.9"));
            headers.push(("x-forwarded-proto", "https"));
            let found = asked(&proxy, http, peer, &headers).await;
            assert_eq!(found, client, "{peer}: {lines:?} over {http:?}");
            let sent = upstream.recorded().last().unwrap().headers.clone();
            for name in [name, "forwarded", "x-real-ip", "x_forwarded_for"] {
                assert!(!sent.contains_key(name), "{name} is sent on: {sent:?}");
            }
            let is_trusted = peer == "127.0.0.1";
            assert_eq!(sent.contains_key("x-forwarded-proto"), is_trusted);
        }
    }
}

async fn forwarded_is_believed_where_it_is_configured(transport: Transport) {
    let upstream = simulator(&[]);
    let server = "clients: { trusted_proxies: [127.0.0.1], forwarded_header: forwarded }";
    let proxy = Proxy::start(&config(transport, server, &telling(&upstream))).await;
    let element = "for=\"[2001:db8::1]:_x\";proto=https;by=127.0.0.1";
    for http in BOTH {
        let mut headers = vec![("forwarded", "for=\"198.51.100.1"), ("forwarded", element)];
        headers.push(("x-forwarded-for", "192.0.2.1"));
        let found = asked(&proxy, http, "127.0.0.1", &headers).await;
        assert_eq!(found, "2001:db8::1");
        let found = asked(&proxy, http, "127.0.0.2", &headers).await;
        assert_eq!(found, "127.0.0.2");
    }
}

/// Routing by country, the firewall, limits and the log go by the same address.
async fn the_client_is_the_same_everywhere(transport: Transport) {
    let (near, far) = (simulator(&[("name", "de")]), simulator(&[("name", "us")]));
    let rest = format!(
        "geoip: {{ file: {COUNTRIES} }}
upstreams:
  de: {{ endpoints: [\"{}\"] }}
  us: {{ endpoints: [\"{}\"] }}
chain:
- waf: {{ addresses: {{ deny: [127.0.1.66] }} }}
- limits: [{{ name: address, requests: 2, per: 1h, by: [client] }}]
- headers: {{ request: [{{ set: {{ x-forwarded-for: \"{{client_address}}\" }} }}] }}
routes:
- {{ name: de, match: {{ countries: [DE] }}, split: [{{ upstream: de }}] }}
- {{ name: us, split: [{{ upstream: us }}] }}
",
        near.address(),
        far.address()
    );
    let server = "log: { format: json, access: on }\nlisten: [{ address: \"127.0.0.1:0\", http2: true, proxy_protocol: optional }]\nclients: { trusted_proxies: [127.0.2.0/24] }";
    let mut proxy = ProxyProcess::start(transport, server, &rest).await;
    let answer = async |named: &str| {
        let stream = from("127.0.2.1", proxy.address).await;
        let mut client = Client::over(stream, Http::One).await.unwrap();
        let answer = client
            .answer(with(get("/plain"), "x-forwarded-for", named))
            .await;
        (answer.status.as_u16(), answer.upstream().to_owned())
    };
    assert_eq!(answer("127.0.0.9").await, (200, "de".to_owned()));
    let sent = near.recorded().last().unwrap().headers.clone();
    assert_eq!(sent["x-forwarded-for"], "127.0.0.9", "the operator's rule");
    assert_eq!(answer("127.0.1.1").await, (200, "us".to_owned()));
    assert_eq!(answer("127.0.1.1").await, (200, "us".to_owned()));
    assert_eq!(answer("127.0.1.1").await.0, 429);
    assert_eq!(answer("127.0.1.2").await.0, 200);
    assert_eq!(answer("127.0.1.66").await.0, 403);
    let bad = [LINE, b"GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"].concat();
    let refused = exchange(from("127.0.2.1", proxy.address).await, &[&bad]).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused:?}");
    proxy.process.signal(rustix::process::Signal::TERM);
    assert_eq!(proxy.process.exit_code().await, Some(0));
    let lines = proxy.process.lines();
    let lines = lines.iter().filter(|line| line.contains("\"request\""));
    let lines = lines.map(|line| serde_json::from_str(line).unwrap());
    let clients: Vec<_> = lines
        .map(|line: serde_json::Value| line["client"].as_str().unwrap().to_owned())
        .collect();
    let (one, two) = ("127.0.1.1", "127.0.1.2");
    assert_eq!(
        clients,
        ["127.0.0.9", one, one, one, two, "127.0.1.66", "192.0.2.1"],
        "the last one is the load balancer's word, before a request that nobody read"
    );
}

/// Asks, and keeps the connection; none if the proxy closed it at once.
async fn let_in(mut stream: TcpStream) -> Option<TcpStream> {
    let request = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.ok()?;
    let mut room = [0; 1024];
    let read = tokio::time::timeout(WAIT, stream.read(&mut room)).await;
    let read = read.expect("neither an answer nor the end").ok()?;
    (read > 0).then_some(stream)
}

async fn an_address_has_so_many_connections(transport: Transport) {
    let upstream = simulator(&[]);
    let server = "clients: { exempt: [], connections_per_address: 3 }";
    let proxy = Proxy::start(&config(transport, server, &telling(&upstream))).await;
    let mine = async || let_in(from("127.0.0.1", proxy.address()).await).await;
    let mut held = Vec::new();
    for n in 0..3 {
        held.push(mine().await.unwrap_or_else(|| panic!("connection {n}")));
    }
    for _ in 0..3 {
        assert!(mine().await.is_none(), "over all workers");
    }
    let other = let_in(from("127.0.0.2", proxy.address()).await).await;
    assert!(other.is_some(), "another address has its own");
    let label = "reason=\"connections_per_address\"";
    let refused = proxy.metric("penstock_connections_refused_total", &[label]);
    assert_eq!(refused, 3.0);
    held.pop();
    eventually("one is gone", || {
        proxy.metric("penstock_connections_open", &[]) == 3.0
    })
    .await;
    assert!(mine().await.is_some(), "its place is free again");
}

async fn a_client_behind_a_load_balancer_has_so_many_connections(transport: Transport) {
    let upstream = simulator(&[]);
    let clients = "trusted_proxies: [127.0.0.0/8], exempt: [], connections_per_address: 2";
    let server = listener("required", clients);
    let proxy = Proxy::start(&config(transport, &server, &telling(&upstream))).await;
    let named = async |header: &[u8]| {
        let mut stream = from("127.0.0.1", proxy.address()).await;
        stream.write_all(header).await.unwrap();
        let_in(stream).await
    };
    let first = named(LINE).await.unwrap();
    let _second = named(LINE).await.unwrap();
    assert!(named(LINE).await.is_none());
    let mut others = Vec::new();
    for n in 2..20 {
        let line = format!("PROXY TCP4 192.0.2.{n} 10.0.0.1 1 443\r\n");
        others.push(named(line.as_bytes()).await.unwrap());
    }
    for n in 1..4 {
        let line = format!("PROXY TCP6 2001:db8::{n} ::1 1 443\r\n");
        let is_in = named(line.as_bytes())
            .await
            .map(|client| others.push(client));
        assert_eq!(is_in.is_some(), n < 3, "a /64 is one client");
    }
    for _ in 0..5 {
        // What the balancer says on its own behalf.
        others.push(named(b"PROXY UNKNOWN\r\n").await.unwrap());
    }
    let open = proxy.metric("penstock_connections_open", &[]);
    drop(first);
    let is_gone = || proxy.metric("penstock_connections_open", &[]) < open;
    eventually("one is gone", is_gone).await;
    assert!(named(LINE).await.is_some(), "its place is free again");
}

async fn an_address_opens_connections_at_its_rate(transport: Transport) {
    let upstream = simulator(&[]);
    let server = "clients: { exempt: [], new_connections_per_second: 1, new_connections_burst: 3 }";
    let proxy = Proxy::start(&config(transport, server, &telling(&upstream))).await;
    for n in 0..3 {
        let client = let_in(from("127.0.0.1", proxy.address()).await).await;
        assert!(client.is_some(), "connection {n}");
    }
    let label = "reason=\"new_connections_per_second\"";
    let refused = || proxy.metric("penstock_connections_refused_total", &[label]);
    // More than there are seconds in which the test can run.
    for _ in 0..100 {
        let stream = from("127.0.0.1", proxy.address()).await;
        let_in(stream).await;
    }
    assert!(refused() > 50.0, "{} of 100", refused());
    let other = let_in(from("127.0.0.2", proxy.address()).await).await;
    assert!(other.is_some(), "another address has its own rate");
}
