//! Takes out of a stream what is in it only because the proxy asked for its usage.
//!
//! With `stream_options.include_usage` an OpenAI stream has one more event, whose
//! `choices` are empty and which states the usage, and every other event has a member
//! `"usage":null` (OpenAI, "Create chat completion", `stream_options`). A client that
//! did not ask for them does not get to see them: what it gets is, byte for byte, what
//! it would have got.

use bytes::Bytes;

use super::events::{Event, Events};

/// Most bytes of an unfinished event that are held back. Nothing is taken out of a
/// longer one: what is looked for has a few hundred.
const HELD_BYTES_MAX: usize = 256 << 10;

/// What is held back of a stream.
#[derive(Debug, Default)]
pub(super) struct Strip {
    /// The beginning of an event whose end has not come.
    held: Vec<u8>,
    /// The event at hand is too long to be held back, and goes on as it is.
    passing: bool,
    /// The event before was taken out.
    dropped: bool,
}

/// What the client gets of one piece.
struct Output {
    piece: Bytes,
    /// What has been put together.
    new: Vec<u8>,
    /// From here on the piece goes on as it is.
    kept_from: usize,
}

impl Strip {
    /// Takes the next piece of a stream, and gives what the client gets. Each event that
    /// ends in it is shown to `see`.
    pub(super) fn chunk(
        &mut self,
        events: &mut Events,
        piece: Bytes,
        mut see: impl FnMut(&Event),
    ) -> Bytes {
        let mut output = Output {
            piece: piece.clone(),
            new: Vec::new(),
            kept_from: 0,
        };
        let mut begin = 0;
        if events.is_after_cr() && self.held.is_empty() && piece.first() == Some(&b'\n') {
            // Read on its own, so that the event after it begins where it begins.
            begin = events.next(piece.get(..1).unwrap_or_default()).0;
            if self.dropped && !self.passing {
                output.kept_from = begin;
            }
        }
        loop {
            let (read, event) = events.next(piece.get(begin..).unwrap_or_default());
            let end = begin + read;
            let Some(event) = event else { break };
            see(&event);
            self.event(&event, begin, end, &mut output);
            begin = end;
        }
        if begin < piece.len() && !self.passing {
            output.keep_to(begin);
            output.kept_from = piece.len();
            self.held
                .extend_from_slice(piece.get(begin..).unwrap_or_default());
            if self.held.len() > HELD_BYTES_MAX {
                self.passing = true;
                output.new.append(&mut self.held);
            }
        }
        output.finish()
    }

    /// What is left at the end of the stream.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    /// Lets an event through, in whole or in part, whose end lies from `begin` to `end`
    /// in the piece and whose beginning may be held back.
    fn event(&mut self, event: &Event, begin: usize, end: usize, output: &mut Output) {
        let only_usage = event
            .found
            .as_ref()
            .is_some_and(|found| found.at_top && found.no_choices);
        self.dropped = only_usage && !self.passing;
        let as_it_is = !only_usage && event.null.is_none();
        if std::mem::take(&mut self.passing) || as_it_is && self.held.is_empty() {
            return;
        }
        output.keep_to(begin);
        output.kept_from = end;
        let whole = match self.held.is_empty() {
            true => output.piece.get(begin..end).unwrap_or_default(),
            false => {
                let rest = output.piece.get(begin..end).unwrap_or_default();
                self.held.extend_from_slice(rest);
                &self.held
            }
        };
        if !self.dropped {
            let cut = event.null.clone().unwrap_or(0..0);
            let before = whole.get(..cut.start).unwrap_or_default();
            let after = whole.get(cut.end..).unwrap_or_default();
            output.new.extend_from_slice(before);
            output.new.extend_from_slice(after);
        }
        self.held.clear();
    }
}

impl Output {
    /// Keeps what has not been decided on yet, up to `end`.
    fn keep_to(&mut self, end: usize) {
        let kept = self.piece.get(self.kept_from..end).unwrap_or_default();
        self.new.extend_from_slice(kept);
    }

    fn finish(mut self) -> Bytes {
        if self.new.is_empty() {
            return self.piece.slice(self.kept_from.min(self.piece.len())..);
        }
        self.keep_to(self.piece.len());
        self.new.into()
    }
}
