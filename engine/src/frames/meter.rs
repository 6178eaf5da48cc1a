//! Counts the frames of one connection.

use std::time::Instant;

use super::abuse::Abuse;
use super::budget::Budget;
use super::fields::Fields;
use super::reader::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, Head, PADDED, PING,
    PRIORITY, Part, RST_STREAM, Reader, SETTINGS, WINDOW_UPDATE,
};

/// Length of what a client sends first (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// Bytes that priorities take up before the fields of a head (RFC 9113 section 6.2).
const PRIORITIES: u32 = 5;

/// What a frame carries at least that counts as useful. Less is what a client gets that grants
/// a byte at a time.
const USEFUL: u32 = 16;

/// Length of the frames that heads are cut into (RFC 9113 section 4.2).
const FRAME: u64 = 16 * 1024;

/// Heads that are too long are answered up to so many times their limits, and end the
/// connection beyond that.
const TOLERATED: u64 = 2;

/// Faults of streams that an endpoint tells the other one (RFC 9113 section 7).
const FAULTS: [u8; 5] = [
    1, // PROTOCOL_ERROR
    3, // FLOW_CONTROL_ERROR
    5, // STREAM_CLOSED
    6, // FRAME_SIZE_ERROR
    7, // REFUSED_STREAM
];

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a head that is served.
    pub head: u64,
    /// Fields of a head that is served.
    pub fields: u16,
    /// Requests that a client may take back in ten seconds beside half of those it makes.
    pub resets: u32,
    /// Control frames of each kind that a client may send in ten seconds beside those that
    /// useful ones bring with them.
    pub control_frames: u32,
}

/// Counts the frames of one connection.
#[derive(Debug)]
pub struct Meter {
    /// Of the preface, not read yet.
    preface: usize,
    received: Received,
    sent: Sent,
    budget: Budget,
}

#[derive(Debug)]
struct Received {
    reader: Reader,
    frame: Head,
    /// Before what the frame carries, not read yet.
    before: u32,
    /// What it carries, not read yet.
    left: u32,
    last_stream: u32,
    block: Block,
    bounds: Limits,
}

/// The head that is being received.
#[derive(Debug, Default)]
struct Block {
    fields: Fields,
    bytes: u32,
    frames: u32,
}

/// What a head may have before it ends the connection.
#[derive(Debug)]
struct Limits {
    fields: u32,
    bytes: u32,
    frames: u32,
}

#[derive(Debug, Default)]
struct Sent {
    reader: Reader,
    frame: Head,
}

impl Meter {
    /// Of a connection that has just begun.
    pub fn new(bounds: &Bounds, now: Instant) -> Self {
        let clamped = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Meter {
            preface: PREFACE,
            received: Received {
                reader: Reader::default(),
                frame: Head::default(),
                before: 0,
                left: 0,
                last_stream: 0,
                block: Block::default(),
                bounds: Limits {
                    fields: clamped(TOLERATED * u64::from(bounds.fields)),
                    bytes: clamped(TOLERATED * bounds.head),
                    // A quarter for frames that are not full, as the library has it, which
                    // would end the connection with the next one.
                    frames: clamped((bounds.head / FRAME * 5 / 4).max(5)),
                },
            },
            sent: Sent::default(),
            budget: Budget::new(bounds.resets, bounds.control_frames, now),
        }
    }

    /// Looks at the next bytes from the client.
    ///
    /// # Errors
    /// The first thing that there is too much of.
    pub fn receive(&mut self, bytes: &[u8], now: impl Fn() -> Instant + Copy) -> Result<(), Abuse> {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        let mut bytes = bytes.get(preface..).unwrap_or_default();
        while let Some(part) = self.received.reader.next(&mut bytes) {
            match part {
                Part::Head(head) => self.received.begin(head, &mut self.budget, now)?,
                Part::Payload(payload) => self.received.go_on(payload, &mut self.budget, now)?,
            }
        }
        Ok(())
    }

    /// Looks at the next bytes to the client.
    ///
    /// # Errors
    /// The client has brought about too many faults of streams.
    pub fn send(
        &mut self,
        mut bytes: &[u8],
        now: impl Fn() -> Instant + Copy,
    ) -> Result<(), Abuse> {
        while let Some(part) = self.sent.reader.next(&mut bytes) {
            match part {
                Part::Head(head) => {
                    self.sent.frame = head;
                    if head.kind == HEADERS || head.kind == DATA && head.len >= USEFUL {
                        self.budget.earn();
                    }
                }
                Part::Payload(payload) => {
                    let is_reset = self.sent.frame.kind == RST_STREAM;
                    if is_reset && self.sent.reader.is_between() {
                        // The codes fit into the last of their four bytes.
                        let code = payload.last().copied().unwrap_or_default();
                        if FAULTS.contains(&code) {
                            self.budget.spend(Abuse::StreamFaults, now)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl Received {
    fn begin(
        &mut self,
        head: Head,
        budget: &mut Budget,
        now: impl Fn() -> Instant,
    ) -> Result<(), Abuse> {
        self.frame = head;
        let is_padded = head.has(PADDED) && matches!(head.kind, DATA | HEADERS);
        self.before = u32::from(is_padded);
        self.left = head.len;
        match head.kind {
            DATA if is_padded => {}
            DATA => self.carry_data(head.len, budget, now)?,
            HEADERS => {
                if head.has(HAS_PRIORITY) {
                    self.before += PRIORITIES;
                }
                if head.stream > self.last_stream {
                    self.last_stream = head.stream;
                    budget.open();
                }
                self.block = Block::default();
                self.carry_block(budget, now)?;
            }
            CONTINUATION => {
                self.block.frames += 1;
                if self.block.frames > self.bounds.frames {
                    return Err(Abuse::Continuation);
                }
                self.carry_block(budget, now)?;
            }
            RST_STREAM => budget.spend(Abuse::Resets, now)?,
            // An acknowledgement that nobody asked for is a fault that the library finds.
            SETTINGS if head.has(END_STREAM) => {}
            SETTINGS => budget.spend(Abuse::Settings, now)?,
            PING => budget.spend(Abuse::Ping, now)?,
            PRIORITY => budget.spend(Abuse::Priority, now)?,
            WINDOW_UPDATE => budget.spend(Abuse::WindowUpdate, now)?,
            _ => budget.spend(Abuse::Other, now)?,
        }
        Ok(())
    }

    fn carry_data(
        &self,
        len: u32,
        budget: &mut Budget,
        now: impl Fn() -> Instant,
    ) -> Result<(), Abuse> {
        if len > 0 {
            budget.earn();
        } else if !self.frame.has(END_STREAM) {
            budget.spend(Abuse::Empty, now)?;
        }
        Ok(())
    }

    fn carry_block(&mut self, budget: &mut Budget, now: impl Fn() -> Instant) -> Result<(), Abuse> {
        if self.frame.len <= self.before && !self.frame.has(END_HEADERS) {
            budget.spend(Abuse::Empty, now)?;
        }
        self.block.bytes = self.block.bytes.saturating_add(self.frame.len);
        match self.block.bytes > self.bounds.bytes {
            true => Err(Abuse::Continuation),
            false => Ok(()),
        }
    }

    fn go_on(
        &mut self,
        mut payload: &[u8],
        budget: &mut Budget,
        now: impl Fn() -> Instant,
    ) -> Result<(), Abuse> {
        if !matches!(self.frame.kind, DATA | HEADERS | CONTINUATION) {
            return Ok(());
        }
        while self.before > 0
            && let Some((&byte, rest)) = payload.split_first()
        {
            payload = rest;
            let is_padding = self.left == self.frame.len && self.frame.has(PADDED);
            self.before -= 1;
            self.left = self.left.saturating_sub(1);
            if is_padding {
                // Padding that is longer than the frame is a fault that the library finds.
                self.left = self.left.saturating_sub(u32::from(byte));
                if self.frame.kind == DATA {
                    self.carry_data(self.left, budget, &now)?;
                }
            }
        }
        if self.frame.kind == DATA {
            return Ok(());
        }
        let here = usize::try_from(self.left).unwrap_or(usize::MAX);
        let here = here.min(payload.len());
        self.left -= u32::try_from(here).unwrap_or(u32::MAX);
        let fields = payload.get(..here).unwrap_or_default();
        match self.block.fields.count(fields) > self.bounds.fields {
            true => Err(Abuse::Fields),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
