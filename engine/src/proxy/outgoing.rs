//! A request that the proxy sends itself, beside Pingora.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri, Version};
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use super::hops;

/// Connections that a request may find closed before it is given up.
pub(super) const TRIES_MAX: usize = 3;

/// What belongs to the client's connection (RFC 9110 section 7.6.1) or its own framing.
static OF_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The head that a client sent, as HTTP/1.1 and without what is for its connection alone.
pub(super) fn relayed(client: &RequestHeader) -> Result<RequestHeader> {
    let target = client.uri.path_and_query();
    let target = target.map_or("/", PathAndQuery::as_str);
    let room = client.headers.len() + 4;
    let mut head = RequestHeader::build(client.method.clone(), target.as_bytes(), Some(room))?;
    for (name, value) in &client.headers {
        if !OF_CONNECTION.contains(name) && !is_nominated(client, name) {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    if let Some(authority) = client.uri.authority() {
        head.insert_header(HOST, authority.as_str())?;
    }
    Ok(head)
}

/// States the length of a body that is there in full; a client that stated one of no bytes
/// has none.
pub(super) fn frame(
    head: &mut RequestHeader,
    client: &RequestHeader,
    length: Option<usize>,
) -> Result<()> {
    if length.is_some() || client.headers.contains_key(CONTENT_LENGTH) {
        head.insert_header(CONTENT_LENGTH, length.unwrap_or(0))?;
    }
    Ok(())
}

/// Whether the client says that a header is for the connection alone.
fn is_nominated(client: &RequestHeader, name: &HeaderName) -> bool {
    let mut options = hops::nominated(&client.headers);
    options.any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Sends a request over a connection to its peer, in the version that is spoken there.
pub(super) async fn send(
    session: &mut HttpSession,
    peer: &HttpPeer,
    head: &RequestHeader,
    body: &[Bytes],
) -> Result<()> {
    session.set_read_timeout(peer.options.read_timeout);
    session.set_write_timeout(peer.options.write_timeout);
    let head = match session.as_http2() {
        Some(_) => http2(head, peer.tls())?,
        None => head.clone(),
    };
    session.write_request_header(Box::new(head)).await?;
    for piece in body {
        session.write_request_body(piece.clone(), false).await?;
    }
    session.finish_request_body().await
}

/// The same head for HTTP/2, where the host is a part of the target.
fn http2(head: &RequestHeader, tls: bool) -> Result<RequestHeader> {
    let mut head = head.clone();
    let host = head.remove_header(&HOST);
    let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let target = head.uri.path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(if tls { "https" } else { "http" })
        .authority(host)
        .path_and_query(target.unwrap_or(PathAndQuery::from_static("/")))
        .build();
    head.set_uri(uri.or_err(ErrorType::InvalidHTTPHeader, "host of a request")?);
    head.set_version(Version::HTTP_2);
    Ok(head)
}
