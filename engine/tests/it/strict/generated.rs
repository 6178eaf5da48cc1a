//! Requests with mistakes in them, the same at each run.

use penstock::strict::{ChunkCheck, Framing, HeadCheck, Limits, Rule};

/// What the rules say of bytes that may be a request.
pub(super) enum Verdict {
    Good,
    Waiting,
    Bad(Rule),
}

impl Verdict {
    pub(super) fn is_good(&self) -> bool {
        matches!(self, Verdict::Good)
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Verdict::Waiting)
    }

    pub(super) fn status(&self) -> &str {
        match self {
            Verdict::Bad(rule) => match rule.status().as_u16() {
                414 => "414",
                431 => "431",
                405 => "405",
                505 => "505",
                _ => "400",
            },
            _ => "200",
        }
    }
}

const LIMITS: Limits = Limits {
    target: 8 << 10,
    head: 64 << 10,
    fields: 128,
};

/// Judges the first request of these bytes.
pub(super) fn verdict(bytes: &[u8]) -> Verdict {
    let head = match HeadCheck::default().check(&LIMITS, bytes) {
        Ok(Some(head)) => head,
        Ok(None) => return Verdict::Waiting,
        Err(rule) => return Verdict::Bad(rule),
    };
    let body = &bytes[head.bytes.end..];
    match head.framing {
        Framing::Length(len) if (body.len() as u64) < len => Verdict::Waiting,
        Framing::Length(_) => Verdict::Good,
        Framing::Chunked => {
            let mut chunks = ChunkCheck::default();
            match chunks.check(body) {
                Ok(_) if chunks.is_done() => Verdict::Good,
                Ok(_) => Verdict::Waiting,
                Err(rule) => Verdict::Bad(rule),
            }
        }
    }
}

const SEEDS: [&str; 4] = [
    "GET /v1/models?a=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "POST /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    "POST /v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST http://a/v1/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 44\r\n\r\nGET /inner HTTP/1.1\r\nHost: a\r\nx: yyyyyy\r\n\r\n!",
];

const PIECES: [&[u8]; 24] = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"5",
    b"x",
    b"\x80",
    b"\x7f",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: b\r\n",
    b"X: y\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"Upgrade: websocket\r\n",
    b"\xa0",
];

/// So many requests, each followed by a bad one that only a server would see which takes the
/// end of the first for elsewhere.
pub(super) fn requests(count: usize) -> Vec<Vec<u8>> {
    let mut state = 0x5eed_0004_u64;
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mut all = Vec::new();
    for _ in 0..count {
        let mut bytes = SEEDS[below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..1 + below(2) {
            let at = below(bytes.len());
            match below(4) {
                0 => drop(bytes.remove(at)),
                1 => bytes[at] = PIECES[below(14)][0],
                2 => {
                    let piece = PIECES[below(PIECES.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
                _ => {
                    // At the beginning of a line, where a field makes most sense.
                    let at = bytes[at..].windows(2).position(|two| two == b"\r\n");
                    let at = at.map_or(bytes.len(), |found| found + 2).min(bytes.len());
                    let piece = PIECES[14 + below(10)];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        bytes.extend(b"GET /smuggled HTTP/1.1\nHost: a\n\n");
        all.push(bytes);
    }
    all
}
