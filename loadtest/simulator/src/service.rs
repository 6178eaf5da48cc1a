//! From a request to its answer: the route, and the fault that spoils it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::body::{Answer, Block, BreakOff, BrokenOff, Unread, Visit, collect};
use crate::fault::{Fault, Moment};
use crate::openai::embeddings;
use crate::openai::error::ApiError;
use crate::openai::models;
use crate::openai::request::{EmbeddingsRequest, TextRequest};
use crate::openai::script::{Manner, Script};
use crate::openai::stream::{OpenStream, TokenStream};
use crate::openai::text::{self, Writer};
use crate::plan::{Plan, SIMULATE};
use crate::random::body_hash;
use crate::server::Worker;
use crate::socket::Fuse;
use crate::stats::{Endpoint, Recorded};

/// The service of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    worker: Arc<Worker>,
    fuse: Fuse,
}

/// An answer that is there at once, or one that takes its time.
pub(crate) enum Handling {
    Ready(Option<Response<Answer>>),
    Later(Pin<Box<dyn Future<Output = Result<Response<Answer>, BrokenOff>> + Send>>),
}

const UPSTREAM_NAME: HeaderName = HeaderName::from_static("x-upstream-name");
const BODY_LENGTH: HeaderName = HeaderName::from_static("x-body-length");
const BODY_HASH: HeaderName = HeaderName::from_static("x-body-hash");
const REQUEST_FRAMING: HeaderName = HeaderName::from_static("x-request-framing");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The longest body of `/bytes/{n}` and `/chunked/{n}`.
const PATTERN_BYTES_MAX: u64 = 1 << 30;
/// How long a request's body is left unread where no time is given: behind an unread body the
/// client's leaving does not show.
const UNREAD_MAX: Duration = Duration::from_secs(600);

impl Connection {
    pub(crate) fn new(worker: Arc<Worker>, fuse: Fuse) -> Connection {
        Connection { worker, fuse }
    }

    async fn handle(
        self,
        request: Request<Incoming>,
        endpoint: Endpoint,
    ) -> Result<Response<Answer>, BrokenOff> {
        let (head, body) = request.into_parts();
        let plan = match Plan::new(&self.worker.shared, &head.headers) {
            Ok(plan) => plan,
            Err(error) => return Ok(self.refusal(&error)),
        };
        if let Some(outcome) = self.before_body(&head, plan.fault).await {
            return outcome;
        }
        let body = match collect(body, &self.worker).await {
            Ok(body) => body,
            Err(Unread::Lost) => return Err(BrokenOff),
            Err(Unread::TooLong) => {
                let bytes_max = self.worker.shared.settings.body_bytes_max;
                return Ok(self.refusal(&ApiError::too_long(bytes_max)));
            }
        };
        self.record(&head, &body);
        let visit = Visit::begin(Arc::clone(&self.worker));
        if let Some(outcome) = self.before_head(plan.fault).await {
            visit.end();
            return outcome;
        }
        let answer = match self.route(endpoint, &head, body, plan.manner).await {
            Ok(answer) => answer,
            Err(error) => self.refusal(&error),
        };
        if head.method == Method::HEAD {
            visit.end();
            return Ok(answer);
        }
        Ok(answer.map(|answer| accompany(self.spoil(answer, plan.fault), visit)))
    }

    /// Faults that leave the request's body unread.
    async fn before_body(
        &self,
        head: &Parts,
        fault: Option<Fault>,
    ) -> Option<Result<Response<Answer>, BrokenOff>> {
        match fault? {
            Fault::Refuse { unread: true } => {
                self.record(head, &Bytes::new());
                self.fuse.blow();
                Some(Err(BrokenOff))
            }
            Fault::Status {
                code,
                retry_after,
                unread: true,
            } => {
                self.record(head, &Bytes::new());
                Some(Ok(self.refusal(&ApiError::simulated(code, retry_after))))
            }
            Fault::Stall {
                at: Moment::Body,
                time,
            } => {
                tokio::time::sleep(time.unwrap_or(UNREAD_MAX)).await;
                None
            }
            _ => None,
        }
    }

    /// Faults that come instead of an answer's head, or before it.
    async fn before_head(
        &self,
        fault: Option<Fault>,
    ) -> Option<Result<Response<Answer>, BrokenOff>> {
        match fault? {
            Fault::Refuse { .. } => {
                self.fuse.blow();
                Some(Err(BrokenOff))
            }
            Fault::Status {
                code, retry_after, ..
            } => Some(Ok(self.refusal(&ApiError::simulated(code, retry_after)))),
            Fault::Stall {
                at: Moment::Head,
                time,
            } => {
                match time {
                    Some(time) => tokio::time::sleep(time).await,
                    // Dropped when the client leaves, for which hyper watches.
                    None => std::future::pending().await,
                }
                None
            }
            _ => None,
        }
    }

    async fn route(
        &self,
        endpoint: Endpoint,
        head: &Parts,
        body: Bytes,
        manner: Manner,
    ) -> Result<Response<Answer>, ApiError> {
        let path = head.uri.path();
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        match endpoint {
            Endpoint::Chat if head.method == Method::POST => {
                self.text(TextRequest::chat(&body)?, &body, manner).await
            }
            Endpoint::Completions if head.method == Method::POST => {
                self.text(TextRequest::completions(&body)?, &body, manner)
                    .await
            }
            Endpoint::Embeddings if head.method == Method::POST => {
                self.embeddings(&EmbeddingsRequest::read(&body)?, &body, manner)
                    .await
            }
            Endpoint::Echo => Ok(self.echo(head, body)),
            Endpoint::Models if reads => {
                let json = match path.strip_prefix("/v1/models/") {
                    Some(id) => models::one(&self.worker.shared.settings, id)?,
                    None => self.worker.shared.models.clone(),
                };
                Ok(self.response(StatusCode::OK, JSON, Answer::Whole(json)))
            }
            Endpoint::Plain if reads => Ok(self.plain()),
            Endpoint::Bytes if reads => self.pattern(path.strip_prefix("/bytes/"), true),
            Endpoint::Chunked if reads => self.pattern(path.strip_prefix("/chunked/"), false),
            Endpoint::Unknown => Err(ApiError::unknown_url(&head.method, path)),
            _ => Err(ApiError::wrong_method(&head.method, path)),
        }
    }

    async fn text(
        &self,
        request: TextRequest<'_>,
        body: &[u8],
        manner: Manner,
    ) -> Result<Response<Answer>, ApiError> {
        let settings = &self.worker.shared.settings;
        self.check_model(&request.model)?;
        let mut script = Script::new(settings.seed, body, manner, request.tokens_max);
        let created = settings.created.unwrap_or_else(text::now);
        if !request.stream {
            wait(script.duration()).await;
            let json = text::whole(&request, &mut script, created);
            return Ok(self.response(StatusCode::OK, JSON, Answer::Whole(json)));
        }
        let open = OpenStream::open(&self.worker.shared)?;
        let writer = Writer::new(&request, &script, created);
        let stream = TokenStream::new(script, writer, request.include_usage, open);
        let mut response = self.response(StatusCode::OK, EVENTS, Answer::Tokens(Box::new(stream)));
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(response)
    }

    async fn embeddings(
        &self,
        request: &EmbeddingsRequest<'_>,
        body: &[u8],
        manner: Manner,
    ) -> Result<Response<Answer>, ApiError> {
        let settings = &self.worker.shared.settings;
        self.check_model(&request.model)?;
        wait(Script::new(settings.seed, body, manner, None).first).await;
        let json = embeddings::answer(request, settings.seed);
        Ok(self.response(StatusCode::OK, JSON, Answer::Whole(json)))
    }

    fn check_model(&self, model: &str) -> Result<(), ApiError> {
        let settings = &self.worker.shared.settings;
        if settings.strict_models && !settings.models.iter().any(|known| known == model) {
            return Err(ApiError::model_not_found(model));
        }
        Ok(())
    }

    fn echo(&self, head: &Parts, body: Bytes) -> Response<Answer> {
        let framing = if head.headers.contains_key(TRANSFER_ENCODING) {
            "chunked"
        } else if head.headers.contains_key(CONTENT_LENGTH) {
            "content-length"
        } else {
            "none"
        };
        let content_type = head.headers.get(CONTENT_TYPE).cloned().unwrap_or(OCTETS);
        let (length, hash) = (body.len(), format!("{:016x}", body_hash(&body)));
        let mut response = self.response(StatusCode::OK, content_type, Answer::Whole(body));
        let headers = response.headers_mut();
        headers.insert(BODY_LENGTH, HeaderValue::from(length));
        // Hexadecimal digits are a valid value.
        headers.insert(
            BODY_HASH,
            HeaderValue::try_from(hash).unwrap_or(HeaderValue::from_static("")),
        );
        headers.insert(REQUEST_FRAMING, HeaderValue::from_static(framing));
        response
    }

    fn pattern(&self, length: Option<&str>, sized: bool) -> Result<Response<Answer>, ApiError> {
        let length = length.and_then(|length| length.parse().ok());
        let length: u64 = length.ok_or_else(|| ApiError::unsupported("n", "must be a number."))?;
        if length > PATTERN_BYTES_MAX {
            return Err(ApiError::out_of_range(
                "n",
                "a value of at most 1073741824",
                length,
            ));
        }
        let block = Answer::Block(Box::new(Block::pattern(length, sized)));
        Ok(self.response(StatusCode::OK, OCTETS, block))
    }

    fn plain(&self) -> Response<Answer> {
        self.response(
            StatusCode::OK,
            PLAIN,
            Answer::Whole(Bytes::from_static(b"ok")),
        )
    }

    fn refusal(&self, error: &ApiError) -> Response<Answer> {
        let mut response = self.response(error.status, JSON, Answer::Whole(error.body().into()));
        if let Some(seconds) = error.retry_after {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn response(
        &self,
        status: StatusCode,
        content_type: HeaderValue,
        answer: Answer,
    ) -> Response<Answer> {
        let mut response = Response::new(answer);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(UPSTREAM_NAME, self.worker.shared.settings.name.clone());
        response
    }

    /// Faults in the middle of an answer.
    fn spoil(&self, answer: Answer, fault: Option<Fault>) -> Answer {
        let how = match fault {
            Some(Fault::Reset { after }) => BreakOff::reset(after, self.fuse.clone()),
            Some(Fault::Cut { after }) => BreakOff::cut(after),
            Some(Fault::Stall {
                at: Moment::Token(after),
                time,
            }) => BreakOff::stall(after, time),
            Some(Fault::Malformed { after }) => return malform(answer, after),
            _ => return answer,
        };
        match answer {
            Answer::Tokens(mut tokens) => {
                tokens.break_off(how);
                Answer::Tokens(tokens)
            }
            Answer::Block(mut block) => {
                block.break_off(how);
                Answer::Block(block)
            }
            Answer::Whole(bytes) => {
                let mut block = Block::known(bytes);
                block.break_off(how);
                Answer::Block(Box::new(block))
            }
        }
    }

    fn record(&self, head: &Parts, body: &Bytes) {
        if !self.worker.shared.recorder.is_on() {
            return;
        }
        self.worker.shared.recorder.keep(Recorded {
            method: head.method.clone(),
            path_and_query: head
                .uri
                .path_and_query()
                .map_or("*", |path| path.as_str())
                .to_owned(),
            version: head.version,
            headers: head.headers.clone(),
            body: body.clone(),
        });
    }

    /// Whether a request for `/plain` may be answered without a look at anything else.
    fn is_plain(&self, endpoint: Endpoint, request: &Request<Incoming>) -> bool {
        let shared = &self.worker.shared;
        endpoint == Endpoint::Plain
            && request.method() == Method::GET
            && !request.headers().contains_key(SIMULATE)
            && shared.settings.faults.is_empty()
            && !shared.recorder.is_on()
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Answer>;
    type Error = BrokenOff;
    type Future = Handling;

    fn call(&self, request: Request<Incoming>) -> Handling {
        let endpoint = Endpoint::of(request.uri().path());
        self.worker.counters.request(endpoint);
        if self.is_plain(endpoint, &request) {
            return Handling::Ready(Some(self.plain()));
        }
        Handling::Later(Box::pin(self.clone().handle(request, endpoint)))
    }
}

impl Future for Handling {
    type Output = Result<Response<Answer>, BrokenOff>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Handling::Ready(response) => Poll::Ready(response.take().ok_or(BrokenOff)),
            Handling::Later(future) => future.as_mut().poll(cx),
        }
    }
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// From here on the body's own end decides whether its client waited for it. hyper takes a body that
/// is there as a whole at once, and does not ask for one that has nothing to say.
fn accompany(mut answer: Answer, visit: Visit) -> Answer {
    match &mut answer {
        Answer::Whole(_) => visit.end(),
        Answer::Block(block) if block.is_empty() => visit.end(),
        Answer::Block(block) => block.accompany(visit),
        Answer::Tokens(tokens) => tokens.accompany(visit),
    }
    answer
}

fn malform(answer: Answer, after: u32) -> Answer {
    match answer {
        Answer::Tokens(mut tokens) => {
            tokens.malform(after);
            Answer::Tokens(tokens)
        }
        Answer::Whole(bytes) => Answer::Whole(bytes.slice(..bytes.len() / 2)),
        // Not JSON in the first place.
        block @ Answer::Block(_) => block,
    }
}
