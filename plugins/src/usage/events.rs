//! The events of a stream of server-sent events, found as it streams past.
//!
//! Lines end in CRLF, LF or CR, an event in an empty line; `data:` lines of one event
//! belong together, and what is left of a line after `data:` and one space is read
//! (WHATWG HTML, section 9.2.6). Other fields and comments do not matter here.

use std::ops::Range;

use memchr::memchr2;

use super::scan::{Found, Scan};

/// A byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a stream in pieces and says where its events end.
#[derive(Debug)]
pub(super) struct Events {
    line: Line,
    /// The last byte was a CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Bytes of this event so far.
    length: usize,
    /// The data of this event.
    scan: Scan,
    data: Data,
    /// How much of a byte order mark, which may stand before the first line, was read;
    /// its length when that is behind.
    mark: usize,
}

/// Where the reader is in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data:` were read; at none, the line has only begun.
    Name(usize),
    /// After `data:`, where one space is skipped.
    Space,
    /// In data.
    Data,
    /// In anything else.
    Other,
}

/// How much data an event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Data {
    None,
    /// One line, and where its data begins in the event.
    Line(usize),
    /// Several lines.
    Lines,
}

/// An event that has ended.
#[derive(Debug)]
pub(super) struct Event {
    /// What its data was found to have; none if it has no data.
    pub(super) found: Option<Found>,
    /// The member `"usage":null` in the event, in bytes of the event.
    pub(super) null: Option<Range<usize>>,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            line: Line::Name(0),
            after_cr: false,
            length: 0,
            scan: Scan::new(),
            data: Data::None,
            mark: 0,
        }
    }

    /// Whether an LF at the beginning of the next piece belongs to the event before.
    pub(super) fn is_after_cr(&self) -> bool {
        self.after_cr
    }

    /// Reads to the end of an event or of the piece. How many bytes were read, and the
    /// event if one ended.
    pub(super) fn next(&mut self, piece: &[u8]) -> (usize, Option<Event>) {
        let mut read = 0;
        while let Some(rest) = piece.get(read..).filter(|rest| !rest.is_empty()) {
            let (step, ended) = self.step(rest);
            read += step;
            if ended {
                // An LF at hand ends the same line.
                if self.after_cr && piece.get(read) == Some(&b'\n') {
                    self.after_cr = false;
                    read += 1;
                }
                return (read, Some(self.end()));
            }
        }
        (read, None)
    }

    /// The event that the end of the stream leaves unfinished.
    pub(super) fn finish(&mut self) -> Event {
        self.end()
    }

    fn end(&mut self) -> Event {
        let found = std::mem::replace(&mut self.scan, Scan::new()).into_found();
        let null = match (self.data, &found.null) {
            (Data::Line(at), Some(null)) => Some(at + null.start..at + null.end),
            _ => None,
        };
        let has_data = self.data != Data::None;
        (self.length, self.data) = (0, Data::None);
        Event {
            found: has_data.then_some(found),
            null,
        }
    }

    /// Reads on in what is not empty. How many bytes, and whether an event ended.
    fn step(&mut self, rest: &[u8]) -> (usize, bool) {
        let Some(byte) = rest.first().copied() else {
            return (0, false);
        };
        if MARK.get(self.mark) == Some(&byte) {
            self.mark += 1;
            self.length += 1;
            return (1, false);
        }
        self.mark = MARK.len();
        if std::mem::take(&mut self.after_cr) && byte == b'\n' {
            // Of the line before; at the end of an event it belongs to that.
            self.length += usize::from(self.length > 0);
            return (1, false);
        }
        if matches!(byte, b'\r' | b'\n') {
            self.after_cr = byte == b'\r';
            let empty = self.line == Line::Name(0);
            self.line = Line::Name(0);
            self.length += 1;
            return (1, empty);
        }
        let read = match self.line {
            Line::Name(read) => {
                self.line = match (b"data:".get(read), read) {
                    (Some(wanted), 4) if *wanted == byte => Line::Space,
                    (Some(wanted), _) if *wanted == byte => Line::Name(read + 1),
                    _ => Line::Other,
                };
                1
            }
            Line::Space => {
                let space = usize::from(byte == b' ');
                self.begin_data(self.length + space);
                space
            }
            Line::Data => {
                let data = line_of(rest);
                self.scan.push(data);
                data.len()
            }
            Line::Other => line_of(rest).len(),
        };
        self.length += read;
        (read, false)
    }

    fn begin_data(&mut self, at: usize) {
        self.line = Line::Data;
        self.data = match self.data {
            Data::None => Data::Line(at),
            Data::Line(_) | Data::Lines => {
                self.scan.push(b"\n");
                Data::Lines
            }
        };
    }
}

/// What comes before the end of the line.
fn line_of(rest: &[u8]) -> &[u8] {
    let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}
