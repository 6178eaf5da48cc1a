//! Server-sent events (WHATWG HTML, section 9.2), as far as the cache must tell them
//! apart.

use memchr::memchr2;

/// The events of a stream as they were sent, each with the blank line that ends it. The
/// last may lack it.
pub(super) struct Events<'s> {
    rest: &'s [u8],
}

impl<'s> Events<'s> {
    pub(super) fn new(stream: &'s [u8]) -> Self {
        Self { rest: stream }
    }
}

impl<'s> Iterator for Events<'s> {
    type Item = &'s [u8];

    fn next(&mut self) -> Option<&'s [u8]> {
        let mut after = self.rest;
        while !after.is_empty() {
            let (line, next) = split_line(after);
            after = next;
            if line.is_empty() {
                break;
            }
        }
        let length = self.rest.len() - after.len();
        let (event, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        (!event.is_empty()).then_some(event)
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Event<'s> {
    /// Its type, if it names one.
    pub(super) name: Option<&'s [u8]>,
    /// Its data, if that is one line: the providers' always is.
    pub(super) data: Option<&'s [u8]>,
    /// Whether it has more than one line of data.
    pub(super) has_more: bool,
    /// Whether a blank line ends it. A client throws away one that lacks it.
    pub(super) is_whole: bool,
}

impl<'s> Event<'s> {
    pub(super) fn new(mut text: &'s [u8]) -> Self {
        let mut event = Self::default();
        while !text.is_empty() {
            let (line, rest) = split_line(text);
            text = rest;
            if line.is_empty() {
                event.is_whole = true;
            } else if let Some(value) = field(line, b"event") {
                event.name = Some(value);
            } else if let Some(value) = field(line, b"data") {
                event.has_more = event.data.replace(value).is_some();
            }
        }
        event
    }
}

/// The value of the line if it is of this field: what follows the colon and one space.
fn field<'s>(line: &'s [u8], name: &[u8]) -> Option<&'s [u8]> {
    let value = line.strip_prefix(name)?;
    match value {
        [] => Some(value),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

/// A line without its end, and what comes after. Lines end with CR LF, LF or CR.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr2(b'\n', b'\r', text).unwrap_or(text.len());
    let (line, rest) = text.split_at(end);
    let rest = match rest {
        [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
        [] => rest,
    };
    (line, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_at_blank_lines_of_every_kind() {
        let stream = b"data: a\n\nevent:b\r\ndata:c\r\n\r\n: ping\r\rdata: d";
        let events: Vec<_> = Events::new(stream).collect();
        let expected: [&[u8]; 4] = [
            b"data: a\n\n",
            b"event:b\r\ndata:c\r\n\r\n",
            b": ping\r\r",
            b"data: d",
        ];
        assert_eq!(events, expected);
        assert_eq!(Events::new(b"").count(), 0);
        assert_eq!(events.concat(), stream, "nothing is lost");
    }

    #[test]
    fn fields_are_read_as_a_browser_reads_them() {
        let event = Event::new(b"event: message_stop\ndata: {}\nid: 7\n\n");
        assert_eq!(event.name, Some(&b"message_stop"[..]));
        assert_eq!(event.data, Some(&b"{}"[..]));
        assert!(event.is_whole && !event.has_more);
        let event = Event::new(b"data:  two spaces");
        assert_eq!(
            event.data,
            Some(&b" two spaces"[..]),
            "one space is dropped"
        );
        assert!(!event.is_whole);
        assert!(Event::new(b"data: a\ndata: b\n\n").has_more);
        assert_eq!(Event::new(b"database: x\n\n").data, None);
        assert_eq!(Event::new(b"data\n\n").data, Some(&b""[..]));
        assert_eq!(Event::new(b": comment\n\n").data, None);
    }
}
