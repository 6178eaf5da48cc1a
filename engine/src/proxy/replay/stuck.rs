//! An end for requests whose body an HTTP/2 upstream stops taking.
//!
//! While Pingora writes a piece of a body over HTTP/2 it looks at nothing else, and an
//! upstream that opens no window keeps it there until the write timeout. After that it
//! waits for an answer alone, for as long as the read timeout, and never asks the replay
//! again. But at that point it does pass on messages that are injected for a client of a
//! custom protocol. So until the body is taken a bell is rung that way when the time is
//! over, and who answers it is ours: it ends the attempt.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Hold;
use crate::proxy::context::Context;

/// Bytes of a body that are written at once, after which other things are looked at.
const PIECE_BYTES_MAX: usize = 64 * 1024;

/// Between the first sign that a body is not taken and the second: Pingora has asked for
/// the next piece by then if the last one was taken.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// How the body of an attempt is being taken.
pub(super) struct Watch {
    /// How long the upstream may take for a piece.
    write: Duration,
    piece_bytes_max: usize,
    /// Pieces that were given, and when the last one was.
    given: u64,
    at: Instant,
    /// The bell was rung, and is not answered.
    rung: bool,
    /// When it was last answered, and how many pieces had been given.
    answered: Option<(Instant, u64)>,
    bell: Option<Bell>,
}

/// Rings until it is dropped.
struct Bell {
    /// Pingora goes on until nobody can ring any more.
    _rope: mpsc::Sender<Bytes>,
    ringer: AbortHandle,
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ringer.abort();
    }
}

/// What who rings does next.
enum Turn {
    Wait(Instant),
    Ring,
}

/// Answers the bell, in the place of a client's messages.
struct Doorman(Hold);

impl Hold {
    /// The attempt that begins may be over HTTP/2, or is if it `must` be; its upstream may
    /// take so long for a piece of the body.
    pub(in crate::proxy) fn watch(&self, write: Duration, must: bool) {
        let piece_bytes_max = if must { PIECE_BYTES_MAX } else { usize::MAX };
        self.0.lock().watch = Some(Watch {
            write,
            piece_bytes_max,
            given: 0,
            at: Instant::now(),
            rung: false,
            answered: None,
            bell: None,
        });
    }

    /// A piece is given: how long it may be.
    pub(super) fn give(&self) -> usize {
        match &mut self.0.lock().watch {
            Some(watch) => {
                watch.given += 1;
                watch.at = Instant::now();
                watch.piece_bytes_max
            }
            None => usize::MAX,
        }
    }

    /// The body has been taken, or what becomes of it does not matter any more.
    pub(super) fn taken(&self) {
        self.0.lock().watch = None;
    }

    /// Who is to answer the bell, if one is to be rung.
    pub(super) fn doorman(&self) -> Option<Box<dyn CustomMessageWrite>> {
        let is_watched = self.0.lock().watch.is_some();
        is_watched.then(|| Box::new(Doorman(self.clone())) as Box<dyn CustomMessageWrite>)
    }

    /// What is to be done about the bell, while there is one.
    fn ring(&self) -> Option<Turn> {
        let deadline = self.deadline();
        let now = Instant::now();
        let mut state = self.0.lock();
        let watch = state.watch.as_mut()?;
        if watch.rung {
            return Some(Turn::Wait(now + SECOND_LOOK));
        }
        let due = match watch.answered {
            Some((at, given)) if given == watch.given => at + SECOND_LOOK,
            _ => watch.at + watch.write,
        };
        let due = deadline.map_or(due, |deadline| due.min(deadline));
        watch.rung = due <= now;
        Some(match watch.rung {
            true => Turn::Ring,
            false => Turn::Wait(due),
        })
    }

    /// # Errors
    /// The attempt is over.
    fn answer(&self) -> Result<()> {
        let now = Instant::now();
        if self.deadline().is_some_and(|at| at <= now)
            && let Some(error) = self.ends()
        {
            return Err(error);
        }
        let mut state = self.0.lock();
        let Some(watch) = &mut state.watch else {
            return Ok(());
        };
        watch.rung = false;
        if now < watch.at + watch.write {
            return Ok(());
        }
        let before = watch.answered.replace((now, watch.given));
        match before {
            Some((_, given)) if given == watch.given => Err(stuck()),
            _ => Ok(()),
        }
    }
}

/// A body begins to be sent, for which a bell can be rung.
pub(in crate::proxy) fn watch(ctx: &Context, rope: mpsc::Sender<Bytes>) {
    let Some(hold) = &ctx.hold else { return };
    let ringer = ring(hold.clone(), rope.downgrade());
    let mut state = hold.0.lock();
    if let Some(watch) = &mut state.watch {
        // What came before was the time for a connection.
        watch.at = Instant::now();
        watch.bell = Some(Bell {
            _rope: rope,
            ringer: tokio::spawn(ringer).abort_handle(),
        });
    }
}

/// Rings at each time at which the attempt may be over, until its body is taken.
async fn ring(hold: Hold, rope: mpsc::WeakSender<Bytes>) {
    while let Some(turn) = hold.ring() {
        match turn {
            Turn::Wait(until) => tokio::time::sleep_until(until.into()).await,
            Turn::Ring => {
                let Some(rope) = rope.upgrade() else { return };
                // It is not rung twice before it is answered, so that there is room, if
                // anybody listens.
                if rope.try_send(Bytes::new()).is_err() {
                    return;
                }
            }
        }
    }
}

fn stuck() -> Box<Error> {
    let why = "the upstream has stopped taking the request's body";
    let (etype, source) = (ErrorType::WriteTimedout, ErrorSource::Upstream);
    Error::create(etype, source, Some(why.into()), None)
}

#[async_trait]
impl CustomMessageWrite for Doorman {
    fn set_write_timeout(&mut self, _timeout: Option<Duration>) {}

    async fn write_custom_message(&mut self, _bell: Bytes) -> Result<()> {
        self.0.answer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }
}
