//! Clients over hyper, HTTP/1.1 and HTTP/2 alike.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A request's body.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// A protocol between a client and the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// Both protocols.
pub(crate) const BOTH: [Http; 2] = [Http::One, Http::Two];

/// One connection.
pub(crate) enum Client {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// Connects in cleartext.
    pub(crate) async fn connect(address: SocketAddr, http: Http) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream, http).await.unwrap()
    }

    /// Speaks over a stream that is connected already.
    pub(crate) async fn over<S>(stream: S, http: Http) -> hyper::Result<Client>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        match http {
            Http::One => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Ok(Client::One(sender))
            }
            Http::Two => {
                let executor = TokioExecutor::new();
                let (sender, connection) = http2::handshake(executor, io).await?;
                tokio::spawn(connection);
                Ok(Client::Two(sender))
            }
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        match self {
            Client::One(sender) => {
                sender.ready().await?;
                sender.send_request(with_host(request)).await
            }
            Client::Two(sender) => {
                sender.ready().await?;
                sender.send_request(with_authority(request)).await
            }
        }
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn try_answer(&mut self, request: Request<Body>) -> hyper::Result<Answer> {
        let (head, body) = self.send(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// The same, where a failure of the connection is a failure of the test.
    pub(crate) async fn answer(&mut self, request: Request<Body>) -> Answer {
        let what = format!("{} {}", request.method(), request.uri());
        let answer = self.try_answer(request).await;
        answer.unwrap_or_else(|error| panic!("{what}: no complete answer: {error:?}"))
    }
}

impl Answer {
    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The upstream that answered.
    pub(crate) fn upstream(&self) -> &str {
        self.header("x-upstream-name")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Checks that this is an error in OpenAI's shape, and returns its code.
    pub(crate) fn error_code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/json",
            "an SDK reads errors as JSON, this one is {self:?}"
        );
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        let error = &value["error"];
        assert!(error["message"].is_string(), "no message: {value}");
        assert!(error["type"].is_string(), "no type: {value}");
        assert!(error.get("param").is_some(), "no param: {value}");
        error["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Checks that this is a stream which broke off and whose last event says so in
    /// OpenAI's shape, and returns that event's code.
    pub(crate) fn break_code(&self) -> String {
        let text = self.text();
        assert_eq!(self.status, 200, "{self:?}");
        assert!(!text.contains("[DONE]"), "it looks complete: {text}");
        let events = text.strip_suffix("\n\n");
        let events = events.unwrap_or_else(|| panic!("the last event has no end: {text}"));
        let last = events.rsplit("\n\n").next().unwrap_or_default();
        let last = last.strip_prefix("data: ").unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("the last event is no JSON: {error}: {text}"));
        assert!(value["error"]["message"].is_string(), "no message: {text}");
        assert!(value["error"]["type"].is_string(), "no type: {text}");
        value["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

fn with_host(mut request: Request<Body>) -> Request<Body> {
    let host = http::HeaderValue::from_static("penstock.test");
    request.headers_mut().entry("host").or_insert(host);
    request
}

fn with_authority(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().to_string();
    let host = request.headers_mut().remove("host");
    let host = host.map_or("penstock.test".to_owned(), |host| {
        host.to_str().unwrap().to_owned()
    });
    *request.uri_mut() = format!("http://{host}{path}").parse::<Uri>().unwrap();
    request
}

/// A GET.
pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(whole(Bytes::new())).unwrap()
}

/// A POST of JSON.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/json")
        .body(whole(body.into()))
        .unwrap()
}

/// A chat that is answered as a stream of tokens.
pub(crate) fn streamed_chat() -> Request<Body> {
    post("/v1/chat/completions", STREAMED_CHAT)
}

/// Its body.
pub(crate) const STREAMED_CHAT: &str =
    r#"{"model":"simulator-small","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;

/// A chat that is answered at once.
pub(crate) fn chat() -> Request<Body> {
    let body = r#"{"model":"simulator-small","messages":[{"role":"user","content":"Hello"}]}"#;
    post("/v1/chat/completions", body)
}

/// The same request with one more header.
pub(crate) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// A body of known length.
pub(crate) fn whole(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed()
}

/// A body of unknown length, in pieces of these sizes over and over.
pub(crate) fn pieces(body: &Bytes, sizes: &[usize]) -> Body {
    let mut frames = Vec::new();
    let mut rest = body.clone();
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = *sizes.next().unwrap();
        let piece = rest.split_to(size.min(rest.len()));
        frames.push(Ok(Frame::data(piece)));
    }
    BodyExt::boxed(StreamBody::new(futures::stream::iter(frames)))
}
