//! An answer that says in two ways how long it is, found in the bytes of its head.
//!
//! A parser that goes by the chunks takes the length out, as it must (RFC 9112 section 6.3),
//! and nobody behind it sees that there was one. But whoever wrote both may go by the length:
//! what is left of it then would be the next answer of the connection. So such a head is
//! looked for before it is parsed.

use memchr::memchr;

use super::answer::AnswerFault;
use super::bytes::is_token;

/// What is kept of a line: the longest name that is looked for and what ends it. It is enough
/// of a status line too.
const KEPT: usize = b"transfer-encoding:".len();

/// Which line the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// One with a status, or an empty one before it.
    #[default]
    Status,
    /// A field of a head that only says that there will be an answer.
    Early,
    /// A field of the answer's own head.
    Field,
    /// None: what follows is no head.
    Over,
}

/// Reads the heads of one answer as their bytes arrive, and nothing behind them.
#[derive(Clone, Debug, Default)]
pub struct AnswerHead {
    line: Line,
    /// What the present line begins with.
    begins: [u8; KEPT],
    kept: usize,
    length: bool,
    coding: bool,
}

impl AnswerHead {
    /// Looks at the next bytes of an answer.
    ///
    /// # Errors
    /// One of its heads has a length beside a coding.
    pub fn check(&mut self, mut bytes: &[u8]) -> Result<(), AnswerFault> {
        while self.line != Line::Over {
            let end = memchr(b'\n', bytes);
            self.keep(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
            let Some(end) = end else { break };
            self.end_line();
            if self.length && self.coding {
                return Err(AnswerFault::Framing);
            }
            bytes = bytes.get(end + 1..).unwrap_or_default();
        }
        Ok(())
    }

    fn keep(&mut self, line: &[u8]) {
        let room = self.begins.get_mut(self.kept..).unwrap_or_default();
        for (room, byte) in room.iter_mut().zip(line) {
            *room = *byte;
            self.kept += 1;
        }
    }

    fn end_line(&mut self) {
        let line = self.begins.get(..self.kept).unwrap_or_default();
        self.kept = 0;
        let is_empty = matches!(line, b"" | b"\r");
        self.line = match self.line {
            Line::Status if is_empty => Line::Status,
            Line::Status if is_early(line) => Line::Early,
            Line::Status => Line::Field,
            Line::Early if is_empty => {
                *self = AnswerHead::default();
                return;
            }
            _ if is_empty => Line::Over,
            same => {
                let name = line.split(|&byte| !is_token(byte)).next();
                let is = |wanted: &[u8]| name.is_some_and(|name| name.eq_ignore_ascii_case(wanted));
                self.length |= is(b"content-length");
                self.coding |= is(b"transfer-encoding");
                same
            }
        };
    }
}

/// Whether another head follows the one with this status line. After a 101 none does.
fn is_early(status_line: &[u8]) -> bool {
    let status = status_line.get(b"HTTP/1.1 ".len()..b"HTTP/1.1 100".len());
    status.is_some_and(|status| status.starts_with(b"1") && status != b"101")
}
