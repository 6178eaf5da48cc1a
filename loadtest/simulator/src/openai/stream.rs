//! An answer as server-sent events, each token at its own time and in a write of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::body::{BreakOff, BrokenOff, Visit};
use crate::openai::error::ApiError;
use crate::openai::script::Script;
use crate::openai::text::Writer;
use crate::server::Shared;

/// The events of one answer.
///
/// When a token is due counts from when the one before it was due, not from when it was written: a
/// slow moment does not make the rest late.
#[derive(Debug)]
pub(crate) struct TokenStream {
    script: Script,
    writer: Writer,
    include_usage: bool,
    next: Next,
    sent: u32,
    due: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    gate: Gate,
    broken_off: Option<BreakOff>,
    malformed_after: Option<u32>,
    visit: Option<Visit>,
    _open: OpenStream,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Opening,
    Token,
    Finish,
    Usage,
    Done,
    End,
}

/// What stands before the next event.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gate {
    /// Nothing: it leaves with the one before.
    Open,
    /// It is due at its time, and not before the one before it was handed to the socket.
    Due { yielded: bool },
}

impl TokenStream {
    pub(crate) fn new(
        script: Script,
        writer: Writer,
        include_usage: bool,
        open: OpenStream,
    ) -> TokenStream {
        TokenStream {
            due: Instant::now() + script.first,
            script,
            writer,
            include_usage,
            next: Next::Opening,
            sent: 0,
            timer: None,
            // Nothing is before the first: at no wait it may leave with the head.
            gate: Gate::Due { yielded: true },
            broken_off: None,
            malformed_after: None,
            visit: None,
            _open: open,
        }
    }

    pub(crate) fn accompany(&mut self, visit: Visit) {
        self.visit = Some(visit);
    }

    pub(crate) fn break_off(&mut self, mut how: BreakOff) {
        how.after = how.after.min(self.script.tokens);
        self.broken_off = Some(how);
    }

    pub(crate) fn malform(&mut self, after: u32) {
        self.malformed_after = Some(after.min(self.script.tokens));
    }

    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if let Some(how) = &mut self.broken_off
            && how.after == self.sent
        {
            if let Err(error) = ready!(how.poll(cx)) {
                self.end();
                return Poll::Ready(Some(Err(error)));
            }
            self.broken_off = None;
            self.due = self.due.max(Instant::now());
        }
        ready!(self.poll_gate(cx));
        if self.malformed_after == Some(self.sent) {
            self.malformed_after = None;
            return Poll::Ready(Some(Ok(self.writer.malformed())));
        }
        Poll::Ready(self.event().map(Ok))
    }

    fn event(&mut self) -> Option<Bytes> {
        match self.next {
            Next::Opening => {
                self.next = Next::Token;
                self.writer.opening().or_else(|| self.event())
            }
            Next::Token => {
                let event = self.writer.token(&mut self.script);
                self.sent += 1;
                if self.sent == self.script.tokens {
                    self.next = Next::Finish;
                } else {
                    self.due += self.script.gap();
                    self.gate = Gate::Due { yielded: false };
                }
                Some(event)
            }
            Next::Finish => {
                self.next = if self.include_usage {
                    Next::Usage
                } else {
                    Next::Done
                };
                Some(self.writer.finish(&self.script))
            }
            Next::Usage => {
                self.next = Next::Done;
                Some(self.writer.usage(self.sent))
            }
            Next::Done => {
                self.next = Next::End;
                Some(Bytes::from_static(b"data: [DONE]\n\n"))
            }
            Next::End => {
                self.end();
                None
            }
        }
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Gate::Due { yielded } = self.gate else {
            return Poll::Ready(());
        };
        if self.due > Instant::now() {
            self.gate = Gate::Due { yielded: true };
            let timer = match &mut self.timer {
                Some(timer) => {
                    if timer.deadline() != self.due {
                        timer.as_mut().reset(self.due);
                    }
                    timer
                }
                None => self
                    .timer
                    .insert(Box::pin(tokio::time::sleep_until(self.due))),
            };
            ready!(timer.as_mut().poll(cx));
        } else if !yielded {
            // hyper writes out what it has buffered when a body has nothing more to give.
            self.gate = Gate::Due { yielded: true };
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.gate = Gate::Open;
        Poll::Ready(())
    }

    fn end(&mut self) {
        if let Some(visit) = self.visit.take() {
            visit.end();
        }
    }
}

/// One of the streams that [`Settings::streams_max`](crate::Settings::streams_max) allows.
#[derive(Debug)]
pub(crate) struct OpenStream(Arc<Shared>);

impl OpenStream {
    pub(crate) fn open(shared: &Arc<Shared>) -> Result<OpenStream, ApiError> {
        let before = shared.streams_open.fetch_add(1, Ordering::AcqRel);
        let open = OpenStream(Arc::clone(shared));
        if before >= shared.settings.streams_max {
            Err(ApiError::overloaded())
        } else {
            Ok(open)
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams_open.fetch_sub(1, Ordering::AcqRel);
    }
}
