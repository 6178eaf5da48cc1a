//! Finds frames in bytes that arrive in pieces (RFC 9113 section 4.1).

use Part::{Head as HeadPart, Payload};

/// Length of a frame's head.
const HEAD: usize = 9;

/// Types of frames (RFC 9113 section 6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// Flags of frames.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const HAS_PRIORITY: u8 = 0x20;

/// The head of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) len: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl From<[u8; HEAD]> for Head {
    fn from([a, b, c, kind, flags, d, e, f, g]: [u8; HEAD]) -> Self {
        Head {
            len: u32::from_be_bytes([0, a, b, c]),
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff,
        }
    }
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'b> {
    Head(Head),
    /// A piece of the payload of the frame whose head came last.
    Payload(&'b [u8]),
}

/// Where it is between the frames.
#[derive(Debug, Default)]
pub(super) struct Reader {
    head: [u8; HEAD],
    have: usize,
    /// Of the present frame's payload.
    left: u32,
}

impl Reader {
    /// Takes the next part from the front of the bytes; none if more of them are needed.
    pub(super) fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Option<Part<'b>> {
        if self.left > 0 {
            let here = bytes.len().min(usize::try_from(self.left).ok()?);
            let (payload, rest) = bytes.split_at_checked(here)?;
            *bytes = rest;
            self.left -= u32::try_from(here).ok()?;
            return (here > 0).then_some(Payload(payload));
        }
        let head = match bytes.split_first_chunk() {
            Some((head, rest)) if self.have == 0 => {
                *bytes = rest;
                *head
            }
            _ => self.gather(bytes)?,
        };
        let head = Head::from(head);
        self.left = head.len;
        Some(HeadPart(head))
    }

    /// Whether the last frame has been taken to its end.
    pub(super) fn is_between(&self) -> bool {
        self.left == 0
    }

    /// A head in several pieces.
    #[cold]
    fn gather(&mut self, bytes: &mut &[u8]) -> Option<[u8; HEAD]> {
        let here = bytes.len().min(HEAD - self.have);
        let (piece, rest) = bytes.split_at_checked(here)?;
        let room = self.head.get_mut(self.have..self.have + here)?;
        room.copy_from_slice(piece);
        *bytes = rest;
        self.have += here;
        if self.have < HEAD {
            return None;
        }
        self.have = 0;
        Some(self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend((stream | 1 << 31).to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let mut bytes = frame(PING, 0, 0, b"12345678");
        bytes.extend(frame(SETTINGS, 1, 0, b""));
        bytes.extend(frame(DATA, END_STREAM, 7, &[b'x'; 70_000]));
        bytes.extend(frame(HEADERS, END_HEADERS, 9, b"abc"));
        for size in [1, 2, 8, 9, 10, 17, 1000, bytes.len()] {
            let mut reader = Reader::default();
            let mut seen = Vec::new();
            for mut piece in bytes.chunks(size) {
                while let Some(part) = reader.next(&mut piece) {
                    match part {
                        HeadPart(head) => seen.push((head, 0)),
                        Payload(bytes) => seen.last_mut().unwrap().1 += bytes.len(),
                    }
                }
                assert!(piece.is_empty(), "all is taken in pieces of {size}");
            }
            let head = |kind, flags, stream, len| Head {
                len,
                kind,
                flags,
                stream,
            };
            let wanted = [
                (head(PING, 0, 0, 8), 8),
                (head(SETTINGS, 1, 0, 0), 0),
                (head(DATA, END_STREAM, 7, 70_000), 70_000),
                (head(HEADERS, END_HEADERS, 9, 3), 3),
            ];
            assert_eq!(seen, wanted, "in pieces of {size}");
        }
    }
}
