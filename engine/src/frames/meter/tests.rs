//! Frames in pieces of all sizes, and what of them is too much.

use super::*;

const BOUNDS: Bounds = Bounds {
    head: 64 << 10,
    fields: 100,
    resets: 10,
    control_frames: 20,
};

const PREFACE_BYTES: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What many of these frames come to, in pieces of this size.
fn in_pieces(frames: &[u8], size: usize) -> Result<(), Abuse> {
    let start = Instant::now();
    let mut meter = Meter::new(&BOUNDS, start);
    let bytes = [PREFACE_BYTES, frames].concat();
    bytes
        .chunks(size)
        .try_for_each(|piece| meter.receive(piece, || start))
}

/// The same, checked to be so however the bytes are cut.
fn verdict(frames: &[u8]) -> Result<(), Abuse> {
    let whole = in_pieces(frames, usize::MAX);
    for size in [1, 3, 9, 10, 100] {
        assert_eq!(in_pieces(frames, size), whole, "in pieces of {size}");
    }
    whole
}

fn many(frame: &[u8], times: usize) -> Vec<u8> {
    frame.repeat(times)
}

fn requests(count: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|n| each(2 * n + 1)).collect()
}

fn head(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x82; 10])
}

#[test]
fn control_frames_are_counted_by_kind() {
    let (ping, setting) = (
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]),
    );
    let (priority, window) = (
        frame(PRIORITY, 0, 3, &[0; 5]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
    );
    let unknown = frame(0x40, 0, 0, b"anything");
    let go_away = frame(7, 0, 0, &[0; 8]);
    for (frame, abuse) in [
        (ping, Abuse::Ping),
        (setting, Abuse::Settings),
        (priority, Abuse::Priority),
        (window, Abuse::WindowUpdate),
        (unknown, Abuse::Other),
        (go_away, Abuse::Other),
    ] {
        assert_eq!(verdict(&many(&frame, 20)), Ok(()), "{abuse}");
        assert_eq!(verdict(&many(&frame, 21)), Err(abuse));
        let paid = [requests(25, head), many(&frame, 45)].concat();
        let wanted = match abuse {
            Abuse::Settings => Err(abuse),
            _ => Ok(()),
        };
        assert_eq!(verdict(&paid), wanted, "{abuse} beside requests");
    }
    assert_eq!(verdict(&many(&frame(SETTINGS, 1, 0, b""), 100)), Ok(()));
}

#[test]
fn requests_that_are_taken_back_are_held_against_all() {
    let cancelled = |stream| [head(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    assert_eq!(verdict(&requests(20, cancelled)), Ok(()));
    assert_eq!(verdict(&requests(21, cancelled)), Err(Abuse::Resets));
    let some = |stream: u32| match stream % 4 {
        1 => cancelled(stream),
        _ => head(stream),
    };
    assert_eq!(verdict(&requests(2000, some)), Ok(()));
}

#[test]
fn frames_with_nothing_in_them_are_counted() {
    let opened = frame(HEADERS, END_HEADERS, 1, &[0x82; 10]);
    let with = |frame: &[u8], times| [opened.clone(), many(frame, times)].concat();
    let data = frame(DATA, 0, 1, b"");
    let padded = frame(DATA, PADDED, 1, &[3, 0, 0, 0]);
    for empty in [&data, &padded] {
        assert_eq!(verdict(&with(empty, 32)), Ok(()));
        assert_eq!(verdict(&with(empty, 33)), Err(Abuse::Empty));
    }
    let full = frame(DATA, PADDED, 1, &[3, b'x', 0, 0, 0]);
    assert_eq!(verdict(&with(&full, 1000)), Ok(()));
    let headers = requests(33, |stream| frame(HEADERS, 0, stream, b""));
    assert_eq!(verdict(&headers), Err(Abuse::Empty));
    let priority = requests(33, |stream| frame(HEADERS, HAS_PRIORITY, stream, &[0; 5]));
    assert_eq!(verdict(&priority), Err(Abuse::Empty));
}

#[test]
fn a_head_that_goes_on_and_on_ends() {
    let begin = frame(HEADERS, 0, 1, &[0x82; 10]);
    let more = frame(CONTINUATION, 0, 1, &[0x82]);
    let with = |frame: &[u8], times| [begin.clone(), many(frame, times)].concat();
    assert_eq!(verdict(&with(&more, 5)), Ok(()));
    assert_eq!(verdict(&with(&more, 6)), Err(Abuse::Continuation));
    // A literal whose value goes on through them all.
    let begin = frame(HEADERS, 0, 1, &[0x40, 1, b'a', 0x7f, 0xff, 0xff, 0x7f]);
    let large = frame(CONTINUATION, 0, 1, &[b'x'; 60_000]);
    let head = [begin, many(&large, 3)].concat();
    assert_eq!(verdict(&head), Err(Abuse::Continuation));
}

#[test]
fn fields_are_counted_across_frames_and_beside_padding() {
    let fields = |count: usize| vec![0xbe; count];
    let plain = |count| frame(HEADERS, END_HEADERS, 1, &fields(count));
    assert_eq!(verdict(&plain(200)), Ok(()));
    assert_eq!(verdict(&plain(201)), Err(Abuse::Fields));
    let beside = |count| {
        let padding = [0xbe; 200];
        let payload = [&[200, 0, 0, 0, 0, 9][..], &fields(count), &padding].concat();
        frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 1, &payload)
    };
    assert_eq!(verdict(&beside(200)), Ok(()));
    assert_eq!(verdict(&beside(201)), Err(Abuse::Fields));
    let cut = |count| {
        let begin = frame(HEADERS, 0, 1, &fields(150));
        [begin, frame(CONTINUATION, END_HEADERS, 1, &fields(count))].concat()
    };
    assert_eq!(verdict(&cut(50)), Ok(()));
    assert_eq!(verdict(&cut(51)), Err(Abuse::Fields));
    let two = [cut(50), frame(HEADERS, END_HEADERS, 3, &fields(200))].concat();
    assert_eq!(verdict(&two), Ok(()), "each head begins anew");
    let nonsense = frame(
        HEADERS,
        END_HEADERS | PADDED | HAS_PRIORITY,
        1,
        &[255, 0, 0],
    );
    assert_eq!(verdict(&nonsense), Ok(()), "the library refuses it");
}

#[test]
fn faults_that_the_proxy_tells_are_counted() {
    let start = Instant::now();
    let told = |code, times: usize, size: usize| {
        let mut meter = Meter::new(&BOUNDS, start);
        let bytes = many(&frame(RST_STREAM, 0, 1, &[0, 0, 0, code]), times);
        bytes
            .chunks(size)
            .try_for_each(|piece| meter.send(piece, || start))
    };
    for size in [1, 12, 13, 1000] {
        for code in [1, 3, 5, 6, 7] {
            assert_eq!(told(code, 10, size), Ok(()));
            assert_eq!(told(code, 11, size), Err(Abuse::StreamFaults), "{code}");
        }
        for code in [0, 2, 8, 11] {
            assert_eq!(told(code, 1000, size), Ok(()), "{code} is not the client's");
        }
    }
}

#[test]
fn answers_pay_for_windows_and_crumbs_do_not() {
    let start = Instant::now();
    let window = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
    for (len, wanted) in [(100, Ok(())), (1, Err(Abuse::WindowUpdate))] {
        let mut meter = Meter::new(&BOUNDS, start);
        assert_eq!(meter.receive(PREFACE_BYTES, || start), Ok(()));
        let crumb = frame(DATA, 0, 1, &vec![b'x'; len]);
        let verdict = (0..1000).try_for_each(|_| {
            meter.send(&crumb, || start)?;
            meter.receive(&window, || start)?;
            meter.receive(&window, || start)
        });
        assert_eq!(verdict, wanted, "answers in pieces of {len}");
    }
}
