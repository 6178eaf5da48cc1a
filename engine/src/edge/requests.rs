//! The requests of an HTTP/1 connection, one at a time.
//!
//! Pingora is given a request's bytes when its head has been checked, and none beyond its
//! end: what the rules were applied to is what it parses, and where one request ends and
//! the next begins is decided once. The next one waits here until then.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::late::Late;
use super::pace::{Bound, Clock, Watch};
use crate::strict::{ChunkCheck, Fault, Framing, Head, HeadCheck, Limits, Rule};
use crate::transport::ask_the_stream;

/// Read at a time between requests. It lies on the stack, so that a connection owns no
/// memory while it waits.
const READ: usize = 4096;

/// Bytes beyond a request's end that are read while it is served. More wait in the socket.
const AHEAD_MAX: usize = 16 * 1024;

/// The part of a body, of those whose length is known, that is waited for before the request
/// is served.
const AWAITED_MAX: usize = 1024;

/// Bytes that are read away after a broken rule, so that its client reads the answer.
const DISCARDED_MAX: usize = 1 << 20;

/// Why a request is refused before any of it was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It broke this rule.
    Rule(Rule),
    /// It did not arrive in time.
    Late(Late),
}

/// A request that was refused before any of it was passed on.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub cause: Cause,
    /// The method, if it was one.
    pub method: String,
    /// The path of the target as far as it was read, without a query.
    pub path: String,
}

/// An HTTP/1 connection.
#[derive(Debug)]
pub struct Requests {
    stream: Stream,
    /// Read and not passed on.
    ahead: BytesMut,
    state: State,
    /// The client asked for another protocol and has no final answer.
    may_switch: bool,
    /// Who waits for the client to say more than its request.
    waiting: Option<Waker>,
    /// So many flushes are left to the one after them.
    flushes_skipped: AtomicUsize,
    /// How far a body may fall behind.
    bound: Bound,
    /// Bytes of the longest body that is not refused.
    body_max: u64,
    /// How far the present one has, if it had to be waited for.
    clock: Option<Box<Clock>>,
}

/// Where a connection is.
#[derive(Debug)]
enum State {
    /// At the end of a request, or before the first.
    Between,
    /// This much of a head is still to be passed on.
    Head(usize, Framing),
    Length(u64),
    Chunked(ChunkCheck),
    /// The client and the upstream have gone over to another protocol.
    Switched,
    /// The body broke a rule, and nobody was told.
    Broken(Rule),
    /// The body did not arrive in time, and nobody was told.
    Late,
    /// Somebody was. What the client still says is read away.
    Over {
        is_shut: bool,
        read: usize,
    },
}

impl Requests {
    /// The requests that arrive on a stream, whose bodies may fall behind so far. Those of over
    /// `body_max` bytes are refused by who serves them.
    pub fn new(stream: Stream, bound: Bound, body_max: u64) -> Self {
        Requests {
            stream,
            ahead: BytesMut::new(),
            state: State::Between,
            may_switch: false,
            waiting: None,
            flushes_skipped: AtomicUsize::new(0),
            bound,
            body_max,
            clock: None,
        }
    }

    /// Leaves the next flushes to the one after them, which has to follow at once: what is
    /// written until then goes out together.
    pub fn skip_flushes(&self, count: usize) {
        self.flushes_skipped.store(count, Ordering::Relaxed);
    }

    /// The present request is here to its end, of a body whose length is known.
    pub fn is_whole(&self) -> bool {
        match self.state {
            State::Between => true,
            State::Length(left) => self.ahead.len() as u64 >= left,
            _ => false,
        }
    }

    /// The stream itself.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Something of the next request is here.
    pub fn has_begun(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Waits for a head and checks it: then the request can be read from here, up to its
    /// end. Of a head that has not arrived in full when the time is over, what there is of it
    /// is refused.
    ///
    /// # Errors
    /// What reading met, that nothing came, or that the last request was not read to its end.
    pub async fn next(
        &mut self,
        limits: &Limits,
        time: Duration,
    ) -> io::Result<Result<(), Refused>> {
        if !matches!(self.state, State::Between) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut check = HeadCheck::default();
        // One timer for the whole head, which is not set as long as nobody has to wait.
        let refused = match pingora_timeout::timeout(time, self.head(limits, &mut check)).await {
            Ok(Ok(Ok(head))) => match self.awaits(self.awaited(&head)).await? {
                true => {
                    self.begin(&head);
                    return Ok(Ok(()));
                }
                false => Cause::Late(Late::Body),
            },
            Ok(Ok(Err(rule))) => Cause::Rule(rule),
            Ok(Err(error)) => return Err(error),
            Err(_) if self.has_begun() => Cause::Late(Late::Head),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        Ok(Err(describe(refused, &check, &self.ahead)))
    }

    /// How much of a request is to be there before it is served.
    fn awaited(&self, head: &Head) -> usize {
        let body = match head.framing {
            // It is refused whatever comes of it.
            Framing::Length(body) if body > self.body_max => 0,
            // Who waits for leave to send a body (RFC 9110 section 10.1.1) sends none before.
            Framing::Length(body) if !head.expects => {
                usize::try_from(body).map_or(AWAITED_MAX, |body| body.min(AWAITED_MAX))
            }
            Framing::Length(_) | Framing::Chunked => 0,
        };
        head.bytes.end + body
    }

    /// Waits until so much of the request is there. False if the client is too slow.
    ///
    /// A request costs ten times as much memory once it is served, so that the beginning of
    /// a body, which as a rule comes with the head, is waited for before that.
    async fn awaits(&mut self, bytes: usize) -> io::Result<bool> {
        if self.ahead.len() >= bytes {
            return Ok(true);
        }
        let mut watch = Box::new(Watch::new(self.bound));
        while self.ahead.len() < bytes {
            let before = self.ahead.len();
            let read = async {
                let read = self.read_ahead().await;
                read.map(|()| self.ahead.len() - before)
            };
            let moved = |read: &io::Result<usize>| *read.as_ref().unwrap_or(&0);
            match watch.bounded(read, moved).await {
                Some(read) => read?,
                None => return Ok(false),
            };
        }
        Ok(true)
    }

    /// Reads a head to its end, or to the first rule that it breaks.
    async fn head(
        &mut self,
        limits: &Limits,
        check: &mut HeadCheck,
    ) -> io::Result<Result<Head, Rule>> {
        loop {
            match check.check(limits, &self.ahead) {
                Ok(Some(head)) => return Ok(Ok(head)),
                Ok(None) => self.read_ahead().await?,
                Err(rule) => return Ok(Err(rule)),
            }
        }
    }

    /// Reads what there is.
    ///
    /// # Errors
    /// What reading met, or `UnexpectedEof` at the end.
    pub async fn read_ahead(&mut self) -> io::Result<()> {
        let read = std::future::poll_fn(|cx| self.poll_ahead::<READ>(cx)).await?;
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn poll_ahead<const N: usize>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; N];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        self.ahead.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    fn begin(&mut self, head: &Head) {
        let len = if head.path == head.target.start {
            self.ahead.advance(head.bytes.start);
            head.bytes.len()
        } else {
            self.make_origin_form(head)
        };
        self.may_switch = head.upgrade;
        self.waiting = None;
        self.clock = None;
        self.state = State::Head(len, head.framing);
    }

    /// Takes scheme and authority out of the target: `Host` says the same, and an upstream
    /// that believes one of them more reads the same as we do. Gives the head's new length.
    fn make_origin_form(&mut self, head: &Head) -> usize {
        let rest = self.ahead.split_off(head.path);
        let missing = match rest.first() {
            Some(b'/') => "",
            // RFC 9112 section 3.2.4.
            Some(b' ') if head.options => "*",
            _ => "/",
        };
        self.ahead.truncate(head.target.start);
        self.ahead.advance(head.bytes.start);
        self.ahead.extend_from_slice(missing.as_bytes());
        self.ahead.extend_from_slice(&rest);
        head.bytes.len() - (head.path - head.target.start) + missing.len()
    }

    /// Passes on what was read ahead of the present part of the request.
    fn pass(&mut self, buf: &mut ReadBuf<'_>) -> Result<(), Rule> {
        let here = self.ahead.len().min(buf.remaining());
        let bytes = self.ahead.get(..here).unwrap_or_default();
        let passed = match &mut self.state {
            State::Head(left, _) => here.min(*left),
            State::Length(left) => here.min(usize::try_from(*left).unwrap_or(usize::MAX)),
            State::Chunked(chunks) => chunks.check(bytes)?,
            State::Switched => here,
            State::Between | State::Broken(_) | State::Late | State::Over { .. } => 0,
        };
        buf.put_slice(bytes.get(..passed).unwrap_or_default());
        self.ahead.advance(passed);
        if self.ahead.is_empty() {
            // An idle connection keeps no memory for what it has long read.
            self.ahead = BytesMut::new();
        }
        self.count(passed);
        Ok(())
    }

    /// So many bytes of the present part were passed on. What was checked in chunks counts
    /// itself.
    fn count(&mut self, passed: usize) {
        self.advance(passed);
        if matches!(self.state, State::Between) {
            self.clock = None;
        }
    }

    fn advance(&mut self, passed: usize) {
        match &mut self.state {
            State::Head(left, framing) => {
                *left -= passed.min(*left);
                if *left == 0 {
                    self.state = match *framing {
                        Framing::Length(0) => State::Between,
                        Framing::Length(len) => State::Length(len),
                        Framing::Chunked => State::Chunked(ChunkCheck::default()),
                    };
                }
            }
            State::Length(left) => {
                *left = left.saturating_sub(passed as u64);
                if *left == 0 {
                    self.state = State::Between;
                }
            }
            State::Chunked(chunks) if chunks.is_done() => self.state = State::Between,
            State::Chunked(_) | State::Between | State::Switched => {}
            State::Broken(_) | State::Late | State::Over { .. } => {}
        }
    }

    /// What the client says is read away until it closes. It has been told why, and that
    /// nothing more comes.
    pub fn give_up(&mut self) {
        self.ahead = BytesMut::new();
        self.state = State::Over {
            is_shut: true,
            read: 0,
        };
    }

    fn break_off(&mut self, state: State) {
        self.ahead = BytesMut::new();
        self.clock = None;
        self.state = state;
    }

    /// Reads on in a body.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match &self.state {
            State::Length(left) => {
                let left = *left;
                ready!(Pin::new(&mut (&mut self.stream).take(left)).poll_read(cx, buf))?;
                self.count(buf.filled().len() - before);
                Poll::Ready(Ok(()))
            }
            _ => self.poll_chunks(cx, buf),
        }
    }

    /// The same, for as long as the client keeps up.
    fn poll_in_time(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.poll_body(cx, buf);
        if polled.is_ready() {
            if let Some(clock) = &mut self.clock {
                clock.moved((buf.filled().len() - before) as u64);
                clock.stop();
            }
            return polled;
        }
        let bound = self.bound;
        let clock = self.clock.get_or_insert_with(|| Clock::new(bound).into());
        ready!(clock.poll_end(cx));
        self.break_off(State::Late);
        self.poll_broken(cx)
    }

    /// Reads chunks into their reader's memory, and takes back what follows them.
    fn poll_chunks(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let State::Chunked(chunks) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        let fresh = buf.filled().get(before..).unwrap_or_default();
        match chunks.check(fresh) {
            Ok(taken) => {
                let surplus = fresh.get(taken..).unwrap_or_default();
                self.ahead.extend_from_slice(surplus);
                buf.set_filled(before + taken);
                self.count(taken);
                Poll::Ready(Ok(()))
            }
            Err(rule) => {
                buf.set_filled(before);
                self.break_off(State::Broken(rule));
                self.poll_broken(cx)
            }
        }
    }

    /// After the end of a request, nothing but the client's leaving is told.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD_MAX {
            match self.poll_ahead::<1024>(cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if self.may_switch {
            self.waiting = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Tells what was wrong once. Whoever reads on has answered: nothing more comes from here,
    /// and the client's closing is waited for, so that ours does not destroy the answer on its
    /// way.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fault = match self.state {
            State::Broken(rule) => Some(io::Error::new(io::ErrorKind::InvalidData, Fault(rule))),
            State::Late => Some(Late::Body.into()),
            _ => None,
        };
        if let Some(fault) = fault {
            self.state = State::Over {
                is_shut: false,
                read: 0,
            };
            return Poll::Ready(Err(fault));
        }
        while let State::Over { is_shut, read } = &mut self.state {
            if !*is_shut {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                *is_shut = true;
            }
            let mut room = [const { MaybeUninit::uninit() }; READ];
            let mut bytes = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut bytes))?;
            *read += bytes.filled().len();
            if bytes.filled().is_empty() || *read > DISCARDED_MAX {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at the beginning of an answer to a client that asked for another protocol.
    /// Only a 101 changes what its bytes mean (RFC 9110 section 7.8): until then they are
    /// a request to be checked.
    fn look_at_answer(&mut self, bytes: &[u8]) {
        if !self.may_switch {
            return;
        }
        let is_switch = bytes.starts_with(b"HTTP/1.1 101");
        self.may_switch = bytes.starts_with(b"HTTP/1.1 1") && !is_switch;
        if is_switch {
            self.state = State::Switched;
            if let Some(waiting) = self.waiting.take() {
                waiting.wake();
            }
        }
    }
}

fn describe(cause: Cause, check: &HeadCheck, bytes: &[u8]) -> Refused {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let target = check.target(bytes);
    let path = target.split(|&byte| byte == b'?').next();
    Refused {
        cause,
        method: text(check.method_name(bytes)),
        path: text(path.unwrap_or_default()),
    }
}

impl AsyncRead for Requests {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        while !this.ahead.is_empty() && buf.remaining() > 0 {
            let passed = buf.filled().len();
            if let Err(rule) = this.pass(buf) {
                this.break_off(State::Broken(rule));
            }
            if buf.filled().len() == passed {
                break;
            }
        }
        if buf.filled().len() > before || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match &this.state {
            State::Between | State::Head(..) => this.poll_end(cx),
            State::Length(_) | State::Chunked(_) => this.poll_in_time(cx, buf),
            State::Switched => Pin::new(&mut this.stream).poll_read(cx, buf),
            State::Broken(_) | State::Late | State::Over { .. } => this.poll_broken(cx),
        }
    }
}

impl AsyncWrite for Requests {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look_at_answer(bytes);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = slices.iter().find(|slice| !slice.is_empty()) {
            self.look_at_answer(first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let skipped = self.flushes_skipped.get_mut();
        if *skipped > 0 {
            *skipped -= 1;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

ask_the_stream!(Requests);
