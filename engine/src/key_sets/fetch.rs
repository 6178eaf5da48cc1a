//! One GET over HTTP/1.1, with everything bounded.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use penstock_config::plugin::jwt::JwksUrl;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::files;
use crate::tls::{AUTHORITIES_BYTES_MAX, Authorities};

/// Longest time for everything, from the look-up of the name to the last byte.
const WAIT: Duration = Duration::from_secs(10);

/// Largest answer.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What a URL answers to a GET.
pub(super) async fn fetch(url: &JwksUrl, ca: Option<&Path>) -> Result<Bytes, FetchError> {
    match tokio::time::timeout(WAIT, attempt(url, ca)).await {
        Ok(answer) => answer,
        Err(_) => Err(FetchError::Late),
    }
}

async fn attempt(url: &JwksUrl, ca: Option<&Path>) -> Result<Bytes, FetchError> {
    let host = url.host();
    let addresses = lookup_host((host.host(), host.port())).await;
    let addresses = addresses.map_err(FetchError::Connect)?;
    let stream = connect(addresses, url.tls()).await?;
    if !url.tls() {
        return exchange(url, stream).await;
    }
    let name = ServerName::try_from(host.host().to_owned())
        .map_err(|error| FetchError::Tls(error.to_string()))?;
    let connector = TlsConnector::from(trusting(ca)?);
    let stream = connector.connect(name, stream).await;
    exchange(
        url,
        stream.map_err(|error| FetchError::Tls(error.to_string()))?,
    )
    .await
}

/// The first of the addresses that takes a connection. Without TLS only this machine's
/// own are tried, whatever the name stands for.
async fn connect(
    addresses: impl Iterator<Item = SocketAddr>,
    tls: bool,
) -> Result<TcpStream, FetchError> {
    let none = "the name has no address that may be used";
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, none);
    for address in addresses.filter(|address| tls || address.ip().is_loopback()) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(FetchError::Connect(last))
}

/// TLS that trusts the authorities of a file, or the system's.
fn trusting(ca: Option<&Path>) -> Result<Arc<ClientConfig>, FetchError> {
    let refuse = |why: String| FetchError::Authorities(why);
    let roots = match ca {
        Some(path) => {
            let text = files::read(path, AUTHORITIES_BYTES_MAX).map_err(refuse)?;
            Authorities::from_pem(&text).map_err(refuse)?.roots
        }
        None => {
            let mut roots = RootCertStore::empty();
            // Among the system's there may be some that rustls does not take.
            let system = rustls_native_certs::load_native_certs().certs;
            roots.add_parsable_certificates(system);
            roots
        }
    };
    if roots.is_empty() {
        return Err(refuse("there are none".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS12, &version::TLS13])
        .map_err(|error| refuse(error.to_string()))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Arc::new(config))
}

/// Asks and hears the answer.
async fn exchange<S>(url: &JwksUrl, stream: S) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Http)?;
    let request = Request::get(url.target())
        .header(HOST, host_header(url))
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .header(USER_AGENT, concat!("penstock/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| FetchError::Body(error.to_string()))?;
    // It ends with the exchange, and with the task when the time is over.
    let driven = async {
        let _ = connection.await;
        std::future::pending::<()>().await
    };
    let answered = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(FetchError::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), BODY_BYTES_MAX);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
            Err(error) => Err(FetchError::Body(error.to_string())),
        }
    };
    tokio::select! {
        answer = answered => answer,
        () = driven => Err(FetchError::Late),
    }
}

/// The host as the URL has it: without a port that goes without saying.
fn host_header(url: &JwksUrl) -> String {
    let shown = url.host().to_string();
    let default = if url.tls() { ":443" } else { ":80" };
    shown.strip_suffix(default).unwrap_or(&shown).to_owned()
}

/// Why a URL did not answer as it should.
#[derive(Debug)]
pub(super) enum FetchError {
    /// No connection could be made.
    Connect(io::Error),
    /// The authorities to trust cannot be read.
    Authorities(String),
    /// The server could not be known for who it should be.
    Tls(String),
    /// What it said is no HTTP.
    Http(hyper::Error),
    /// It answered something else than 200.
    Status(StatusCode),
    /// The answer is over 1 MiB.
    TooLarge,
    /// The answer was cut.
    Body(String),
    /// It took longer than ten seconds.
    Late,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Authorities(why) => write!(f, "the authorities to trust cannot be read: {why}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Http(error) => error.fmt(f),
            Self::Status(status) if status.is_redirection() => {
                write!(f, "it answered {status}, and redirects are not followed")
            }
            Self::Status(status) => write!(f, "it answered {status}"),
            Self::TooLarge => write!(f, "the answer is larger than {BODY_BYTES_MAX} bytes"),
            Self::Body(why) => write!(f, "the answer was cut: {why}"),
            Self::Late => f.write_str("no whole answer within ten seconds"),
        }
    }
}

impl std::error::Error for FetchError {}
