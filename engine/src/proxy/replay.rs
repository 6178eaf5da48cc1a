//! A client's session whose body was read already, and can be read again.
//!
//! Pingora keeps 64 KiB of a request's body for a retry, and forwards a body that was
//! read early only from there. Prompts are larger. So while a request with a kept body is
//! sent upstream, this stands in for the client's session: it plays the kept pieces, from
//! the start at each attempt. The head of an answer that is [held](super::held) it keeps
//! back until something of the body is let through, and it ends an attempt whose answer
//! does not begin in time, or before that of the one [beside it](super::hedge). Where answers are [drained](crate::drains) it does not tell that
//! the client has gone before the answer is there in full. Everything else it passes
//! through. When it is dropped it leaves the client's session where [`restore`] finds it.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};
use penstock_plugins::preamble::Failure;
use penstock_plugins::{Outcome, media_type};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::custom::{CustomMessageWrite, server};
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use self::portion::{Portion, has_bytes, is_failure, take_failure};
use super::context::Context;
use super::{attempt, hedge, stalled};
use crate::drains::{Drained, Drains, Left};
use crate::edge::{Pace, Requests};
use crate::hedges::Hedged;
use crate::telemetry::Outcome as _;
use crate::transport::Outbound;

mod hold;
mod portion;
mod stuck;

pub(super) use hold::{Deadline, Hold};
pub(super) use stuck::watch;

/// Key in the access log of what became of an answer that was read on.
const NOTE: &str = "drained";

struct Replay {
    /// The client's session; taken only when this is dropped.
    client: Option<Box<ServerSession>>,
    hold: Hold,
    /// The head of an answer that is held.
    head: Option<Box<ResponseHeader>>,
    pieces: Arc<[Bytes]>,
    /// The next piece, and how much of it has been played.
    next: usize,
    played: usize,
    /// How answers are read on, if they are.
    drains: Option<Arc<Drains>>,
    /// The client has gone, and the answer is read on.
    gone: Option<Gone>,
    /// With a client that says how much it takes.
    pace: Option<Pace>,
    /// Where the answer comes from, which is told when the client has taken of it.
    outbound: Option<Arc<Outbound>>,
}

/// A client that has gone while its answer is read on.
struct Gone {
    left: Left,
    /// How it was missed.
    error: Option<Box<Error>>,
}

/// Whether such an answer is a stream of events.
fn is_stream(head: &ResponseHeader) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| media_type::essence_is(value, "text/event-stream"))
}

/// Most pieces in which a body is played to an attempt that must end in time. Pingora
/// queues four for an upstream, and looks at neither the time nor the client while the
/// queue is full, which it is for as long as an upstream does not read.
pub(super) const PIECES_MAX: usize = 3;

/// Waits until then, or for ever.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

/// Puts a replay of a body's pieces, which may be none, in the place of the client's session.
pub(super) fn install(session: &mut Session, ctx: &mut Context, pieces: Arc<[Bytes]>) {
    let hold = Hold::default();
    hold.play(pieces.clone());
    let stand_in = Box::new(ServerSession::new_custom(Box::new(())));
    let client = std::mem::replace(&mut session.downstream_session, stand_in);
    let replay = Replay {
        pace: stalled::pace(&client, ctx),
        client: Some(client),
        hold: hold.clone(),
        head: None,
        pieces,
        next: 0,
        played: 0,
        drains: ctx.generation.drains(ctx.route).cloned(),
        gone: None,
        outbound: None,
    };
    *session.downstream_session = ServerSession::new_custom(Box::new(replay));
    ctx.hold = Some(hold);
}

/// Puts the client's own session back, if a replay stands in for it.
pub(super) fn restore(session: &mut Session, ctx: &mut Context) {
    hedge::conclude(ctx);
    let Some(hold) = ctx.hold.take() else { return };
    // Dropping the replay is what leaves the session in the hold.
    *session.downstream_session = ServerSession::new_custom(Box::new(()));
    let (client, drained) = hold.left();
    if let Some(client) = client {
        session.downstream_session = client;
    }
    if let Some(drained) = drained {
        ctx.outcome = Some(Outcome::ClientGone);
        ctx.exchange.note(NOTE, drained.as_str());
        if let Some(drains) = ctx.generation.drains(ctx.route) {
            drains.count(drained);
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.hold.leave(self.client.take());
    }
}

impl Replay {
    // The client's session is there from `install` until the drop, and nothing runs in
    // between that could see it gone.
    #[expect(clippy::expect_used)]
    fn client(&self) -> &ServerSession {
        self.client.as_ref().expect("taken only by drop")
    }

    #[expect(clippy::expect_used)]
    fn client_mut(&mut self) -> &mut ServerSession {
        self.client.as_mut().expect("taken only by drop")
    }

    /// Takes chunks from the head of an answer to a client that knows none (RFC 9112
    /// section 6.1): closing ends its body. Pingora asks for chunks after our filters where
    /// an HTTP/2 upstream tells no length, whatever the client's version.
    fn downgrade(&mut self, head: &mut ResponseHeader) {
        let client = self.client_mut();
        if client.req_header().version < Version::HTTP_11
            && head.remove_header(&TRANSFER_ENCODING).is_some()
        {
            client.set_keepalive(None);
        }
    }

    /// What of these tasks the client may see now.
    fn let_through(&mut self, tasks: Vec<HttpTask>) -> Result<Vec<HttpTask>> {
        let mut through = Vec::with_capacity(tasks.len() + 1);
        for task in tasks {
            match task {
                HttpTask::Header(head, false)
                    if !head.status.is_informational() && self.hold.keeps_head() =>
                {
                    self.head = Some(head);
                }
                HttpTask::Header(head, true) if self.hold.keeps_head() && is_stream(&head) => {
                    return Err(attempt::unwelcome(Failure::Ended.as_str()));
                }
                HttpTask::Body(piece, false)
                    if self.head.is_some() && piece.as_ref().is_none_or(Bytes::is_empty) => {}
                HttpTask::Failed(error) if self.head.is_some() => return Err(error),
                HttpTask::Trailer(_) | HttpTask::Done if self.head.is_some() => {
                    return Err(attempt::unwelcome(Failure::Ended.as_str()));
                }
                task => {
                    let head = self.head.take();
                    through.extend(head.map(|head| HttpTask::Header(head, false)));
                    through.push(task);
                }
            }
        }
        Ok(through)
    }

    /// Has head, body and end of an answer in chunks leave together as far as they are all
    /// here: Pingora flushes each.
    fn gather(&self, tasks: &[HttpTask]) {
        let Some(client) = self.client().as_http1() else {
            return;
        };
        let head = tasks.iter().find_map(|task| match task {
            HttpTask::Header(head, false) if head.status == StatusCode::OK => Some(&**head),
            _ => None,
        });
        let written = head.or(client.response_written());
        // Only then is a piece of body surely followed by a flush, and the end by another.
        let is_chunked = written.is_some_and(|head| head.headers.contains_key(TRANSFER_ENCODING));
        if !is_chunked || !tasks.iter().any(has_bytes) {
            return;
        }
        let ends = tasks.iter().any(HttpTask::is_end);
        if let Some(requests) = client.stream().as_any().downcast_ref::<Requests>() {
            requests.skip_flushes(usize::from(head.is_some()) + usize::from(ends));
        }
    }

    /// The client has gone.
    ///
    /// # Errors
    /// The answer is not read on, and the attempt ends.
    fn leave(&mut self, error: Box<Error>) -> Result<()> {
        let error = error.into_down();
        let Some(drains) = &self.drains else {
            return Err(error);
        };
        let Some(left) = drains.begin(Instant::now()) else {
            drains.count(Drained::NoPlace);
            return Err(error);
        };
        self.hold.leave_hedge(Hedged::Cancelled);
        // Until it is known to have ended otherwise.
        self.hold.drained(Drained::Failed);
        self.head = None;
        if let Some(outbound) = self.outbound.take() {
            outbound.begin(false);
        }
        self.gone = Some(Gone {
            left,
            error: Some(error),
        });
        Ok(())
    }

    /// Nothing more is read of the answer: the attempt ends with how the client was missed.
    fn end(&mut self, drained: Drained) -> Box<Error> {
        self.hold.drained(drained);
        let error = self.gone.as_mut().and_then(|gone| gone.error.take());
        error.unwrap_or_else(|| {
            Error::explain(ErrorType::ConnectionClosed, "the client has gone").into_down()
        })
    }

    /// Reads on though nobody listens.
    ///
    /// # Errors
    /// Always at the end, so that the client's connection is closed as if its request had
    /// ended when it left.
    fn swallow(&mut self, portion: &Portion) -> Result<bool> {
        let taken = match &mut self.gone {
            Some(gone) => gone.left.take(portion.bytes, Instant::now()),
            None => Ok(()),
        };
        match taken {
            Err(bound) => Err(self.end(bound)),
            Ok(()) if portion.is_last => Err(self.end(Drained::Whole)),
            Ok(()) => Ok(false),
        }
    }

    /// Gives the client what there is of the answer.
    async fn give(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let given = self.give_in_time(tasks).await;
        if let Some(outbound) = &self.outbound {
            outbound.taken();
        }
        given
    }

    async fn give_in_time(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let Some(mut pace) = self.pace.take() else {
            return self.client_mut().response_duplex_vec(tasks).await;
        };
        let bytes = Portion::of(&tasks).bytes;
        stalled::give(&mut pace, self.client_mut());
        let written = self.client_mut().response_duplex_vec(tasks).await;
        stalled::taken(&mut pace, bytes);
        self.pace = Some(pace);
        written
    }

    /// Waits until the attempt is over for the client's part: it has gone, the answer has not
    /// begun in time, or another one has begun.
    async fn over(&mut self) -> Box<Error> {
        let hold = self.hold.clone();
        hold.taken();
        let client = self.client_mut();
        let mut leaving = pin!(async {
            // What a client sends past its body is the next request, and waits for its turn.
            match client.read_body_or_idle(true).await {
                Ok(_) => pending().await,
                Err(error) => error,
            }
        });
        loop {
            let deadline = hold.deadline();
            tokio::select! {
                biased;
                error = &mut leaving => return error,
                () = hold.outrun() => return attempt::outrun(),
                () = until(deadline) => if let Some(error) = hold.ends() {
                    return error;
                },
            }
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.pieces.get(self.next)?;
        let end = piece
            .len()
            .min(self.played.saturating_add(self.hold.give()));
        let part = piece.slice(self.played..end);
        self.played = end;
        if end == piece.len() {
            self.played = 0;
            self.next += 1;
        }
        Some(part)
    }
}

#[async_trait]
impl server::Session for Replay {
    fn req_header(&self) -> &RequestHeader {
        self.client().req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.client_mut().req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        Ok(self.next_piece())
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.client_mut().drain_request_body().await
    }

    async fn write_response_header(
        &mut self,
        mut head: Box<ResponseHeader>,
        _end: bool,
    ) -> Result<()> {
        self.downgrade(&mut head);
        self.client_mut().write_response_header(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        server::Session::write_response_header(self, Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.client_mut().write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.client_mut().write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, mut tasks: Vec<HttpTask>) -> Result<bool> {
        let is_head = self.client().req_header().method == Method::HEAD;
        let mut whole = tasks.len();
        for (place, task) in tasks.iter_mut().enumerate() {
            let HttpTask::Header(head, end) = task else {
                continue;
            };
            self.downgrade(head);
            if is_head && !head.status.is_informational() {
                // Some HTTP/2 servers send a body all the same (hyper does), which is an
                // error of the stream: the answer is whole before it.
                *end = true;
                whole = place + 1;
            }
        }
        tasks.truncate(whole);
        if self.gone.is_some() {
            return match take_failure(&mut tasks) {
                Some(error) => Err(error),
                None => self.swallow(&Portion::of(&tasks)),
            };
        }
        let tasks = match self.head.is_some() || self.hold.keeps_head() {
            true => self.let_through(tasks)?,
            false => tasks,
        };
        if tasks.is_empty() {
            return Ok(false);
        }
        // An upstream that has failed as well leaves nothing to read.
        let drains = self.drains.is_some() && !tasks.iter().any(is_failure);
        let portion = drains.then(|| Portion::of(&tasks));
        self.gather(&tasks);
        match (self.give(tasks).await, portion) {
            (Err(error), Some(portion)) => {
                self.leave(error)?;
                self.swallow(&portion)
            }
            (written, _) => written,
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.client_mut().set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.client().get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.client_mut().set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.client().get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.client_mut().set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.client().get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.client().request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.client().response_written()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.client_mut().shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        self.next >= self.pieces.len()
    }

    async fn finish(&mut self) -> Result<()> {
        self.client_mut().finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        self.pieces.is_empty()
    }

    /// The next piece, or when there is none the wait for the client to close.
    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if !no_body_expected && let Some(piece) = self.next_piece() {
            return Ok(Some(piece));
        }
        if self.gone.is_none() {
            let error = self.over().await;
            if attempt::is_ours(&error) {
                return Err(error);
            }
            self.leave(error)?;
        }
        if let Some(gone) = &self.gone {
            tokio::time::sleep_until(gone.left.until.into()).await;
        }
        Err(self.end(Drained::TimedOut))
    }

    fn body_bytes_sent(&self) -> usize {
        self.client().body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.client().body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.client().digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.client_mut().digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.client().client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.client().server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.client().to_h1_raw()
    }

    /// Pingora calls this once at the beginning of each attempt, before it reads: the
    /// body plays from the start again.
    fn enable_retry_buffering(&mut self) {
        self.head = None;
        self.pieces = self.hold.pieces();
        self.outbound = self.hold.outbound();
        self.next = match self.hold.is_sent() {
            true => self.pieces.len(),
            false => 0,
        };
        self.played = 0;
    }

    fn retry_buffer_truncated(&self) -> bool {
        false
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn futures::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>>
    {
        Some(Box::new(futures::stream::empty()))
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn futures::Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    /// Pingora demands one where the answer is [handed over](crate::handover), and would wait
    /// for messages where it is not.
    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        if self.hold.is_sent() {
            return Some(Box::new(()));
        }
        self.hold.doorman()
    }

    fn restore_custom_message_writer(
        &mut self,
        _writer: Box<dyn CustomMessageWrite>,
    ) -> Result<()> {
        Ok(())
    }
}
