//! What holds of everything that reads bytes from the network or the configuration: a
//! function for each, which panics where it does not.
//!
//! The first byte of most inputs says how the rest is cut into pieces.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use penstock_plugins::facts::Facts;
use penstock_plugins::json::{DEPTH_MAX, Fault, ScanError, Scanner};
use penstock_plugins::role::BodyReader;
use penstock_plugins::usage::{Reader, Usage};
use penstock_plugins::{Arrival, Dialect, Exchange};
use serde_json::Value;

#[path = "targets/answer_head.rs"]
mod answer_head;
#[path = "targets/proxy_protocol.rs"]
mod proxy_protocol;

pub use answer_head::answer_head;
pub use proxy_protocol::proxy_protocol;

use crate::strict::{ChunkCheck, Escaped, Framing, Head, HeadCheck, Limits, Paths, Rule};

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names of their corpora.
pub const ALL: [Target; 8] = [
    ("head", head),
    ("chunks", chunks),
    ("answer_head", answer_head),
    ("proxy_protocol", proxy_protocol),
    ("path", path),
    ("events", events),
    ("json", json),
    ("configuration", configuration),
];

/// Bounds that inputs of a few hundred bytes reach.
const LIMITS: Limits = Limits {
    target: 64,
    head: 512,
    fields: 8,
};

/// Ends of the pieces that an input is cut into, the last one that of the whole.
fn cuts(seed: u8, len: usize) -> Vec<usize> {
    let step = match seed {
        0 => len,
        seed => usize::from(seed),
    };
    let mut ends: Vec<usize> = (1..)
        .map(|n: usize| n.saturating_mul(step.max(1)))
        .take_while(|end| *end < len)
        .collect();
    ends.push(len);
    ends
}

fn pieces(seed: u8, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    cuts(seed, bytes.len()).into_iter().map(move |end| {
        let piece = &bytes[from..end];
        from = end;
        piece
    })
}

/// The verdict on a head does not depend on the pieces that it arrives in, and what is
/// accepted `httparse` reads with the same method, target, end and framing.
pub fn head(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let whole = HeadCheck::default().check(&LIMITS, bytes);
    let mut check = HeadCheck::default();
    let mut cut = Ok(None);
    for end in cuts(seed, bytes.len()) {
        cut = check.check(&LIMITS, &bytes[..end]);
        if !matches!(cut, Ok(None)) {
            break;
        }
    }
    assert_eq!(cut, whole, "in pieces of {seed}");
    if let Ok(Some(head)) = whole {
        as_parsed(&head, bytes);
    }
}

fn as_parsed(head: &Head, bytes: &[u8]) {
    let text = &bytes[head.bytes.clone()];
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut fields);
    let end = parsed.parse(text).expect("what is accepted can be parsed");
    assert_eq!(end, httparse::Status::Complete(text.len()), "its end");
    let target = &bytes[head.target.clone()];
    assert_eq!(parsed.path.map(str::as_bytes), Some(target));
    assert!(head.target.contains(&head.path) || head.path == head.target.end);
    assert!(parsed.headers.len() <= LIMITS.fields);
    assert_eq!(head.options, parsed.method == Some("OPTIONS"));
    let of = |name: &str| {
        let fields = parsed.headers.iter();
        let named = fields.filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value).collect::<Vec<_>>()
    };
    assert!(of("host").len() <= 1, "two hosts");
    let length = of("content-length");
    let coding = of("transfer-encoding");
    match head.framing {
        Framing::Chunked => {
            assert!(length.is_empty(), "two framings");
            assert_eq!(coding.len(), 1);
            assert!(coding[0].trim_ascii().eq_ignore_ascii_case(b"chunked"));
        }
        Framing::Length(len) => {
            assert!(coding.is_empty(), "two framings");
            let said = length
                .first()
                .map_or("0", |value| std::str::from_utf8(value).unwrap().trim());
            assert!(length.len() <= 1);
            assert_eq!(said.parse(), Ok(len));
        }
    }
}

/// Where a chunked body ends does not depend on the pieces that it arrives in, and a
/// decoder that knows no more than RFC 9112 section 7.1 finds the same end.
pub fn chunks(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let whole = ended(std::iter::once(bytes));
    assert_eq!(ended(pieces(seed, bytes)), whole, "in pieces of {seed}");
    if let Ok((end, true)) = whole {
        assert_eq!(decoded_end(bytes), Some(end), "the end");
    }
}

/// How many bytes belong to a body, and whether it is whole.
fn ended<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Result<(usize, bool), Rule> {
    let mut check = ChunkCheck::default();
    let mut taken = 0;
    for piece in pieces {
        let here = check.check(piece)?;
        taken += here;
        assert!(here == piece.len() || check.is_done(), "bytes are left");
        if check.is_done() {
            break;
        }
    }
    Ok((taken, check.is_done()))
}

fn decoded_end(bytes: &[u8]) -> Option<usize> {
    let line = |from: usize| {
        let rest = bytes.get(from..)?;
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        Some((&rest[..end], from + end + 2))
    };
    let mut at = 0;
    loop {
        let (size, after) = line(at)?;
        let digits = size
            .split(|byte| matches!(byte, b';' | b' ' | b'\t'))
            .next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = after;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?;
        (bytes.get(at..at + 2)? == b"\r\n").then_some(())?;
        at += 2;
    }
    loop {
        let (trailer, after) = line(at)?;
        at = after;
        if trailer.is_empty() {
            return Some(at);
        }
    }
}

/// A path has one spelling: to normalise it twice changes nothing more, and it has no dot
/// segment, and no more separators than it had when each escape of one counts for one.
pub fn path(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let Ok(path) = std::str::from_utf8(bytes) else {
        return;
    };
    let paths = Paths {
        merge_slashes: seed & 1 == 0,
        escaped: match seed >> 1 & 3 {
            0 => Escaped::Refuse,
            1 => Escaped::Unescape,
            2 => Escaped::Keep,
            _ => Escaped::KeepIfSame,
        },
    };
    let Ok(normal) = paths.normalise(path) else {
        return;
    };
    assert_eq!(
        paths.normalise(&normal).as_deref(),
        Ok(&*normal),
        "{path:?}"
    );
    if !path.starts_with('/') {
        assert_eq!(normal, path, "what is no path stays");
        return;
    }
    assert!(normal.starts_with('/'), "{path:?} became {normal:?}");
    let is_dots = |segment: &str| matches!(segment, "." | "..") || segment.starts_with("..;");
    assert!(
        !normal.split('/').any(is_dots),
        "{path:?} became {normal:?}"
    );
    if paths.merge_slashes {
        assert!(!normal.contains("//"), "{path:?} became {normal:?}");
    }
    let lower = path.to_ascii_lowercase();
    let escaped = lower.matches("%2f").count() + lower.matches("%5c").count();
    let separators = |text: &str| text.matches('/').count();
    let most = match paths.escaped {
        Escaped::Unescape => separators(path) + escaped,
        Escaped::Refuse | Escaped::Keep | Escaped::KeepIfSame => separators(path),
    };
    // What ends with a dot segment ends with a slash, which it may not have had.
    assert!(
        separators(&normal) <= most + 1,
        "{path:?} became {normal:?}"
    );
    if paths.escaped == Escaped::Refuse {
        assert_eq!(escaped, 0, "{path:?} became {normal:?}");
    }
    if paths.escaped == Escaped::KeepIfSame {
        let other = Paths {
            escaped: Escaped::Unescape,
            ..paths
        };
        let other = other.normalise(&normal).expect("nothing leaves the root");
        let reading = paths.readings(&normal).next();
        assert_eq!(reading.as_deref().unwrap_or(&normal), other, "{normal:?}");
    }
}

/// What a stream says of its usage does not depend on the pieces that it arrives in, and
/// what its client gets does not either, nor is anything added to it.
pub fn events(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    for (kind, strip) in [
        ("text/event-stream", false),
        ("text/event-stream", true),
        ("application/json", false),
    ] {
        let whole = read(kind, strip, std::iter::once(bytes));
        let cut = read(kind, strip, pieces(seed, bytes));
        assert_eq!(cut, whole, "in pieces of {seed}");
        match strip {
            true => assert!(whole.1.len() <= bytes.len(), "something was added"),
            false => assert_eq!(whole.1, bytes, "something was changed"),
        }
    }
}

fn read<'b>(
    kind: &'static str,
    strip: bool,
    pieces: impl Iterator<Item = &'b [u8]>,
) -> (Option<Usage>, Vec<u8>) {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let mut reader = Reader::new(&headers, strip).expect("it is read");
    let mut exchange = Exchange::new(Arrival {
        id: 0,
        client: None,
        generation: 1,
        at: std::time::Duration::ZERO,
        dialect: Dialect::OpenAi,
    });
    let mut out = Vec::new();
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        out.extend_from_slice(&reader.chunk(&mut exchange, piece, false));
    }
    out.extend_from_slice(&reader.chunk(&mut exchange, Bytes::new(), true));
    (exchange.usage().copied(), out)
}

/// The verdict on a body does not depend on the pieces that it arrives in. An object that
/// `serde_json` reads is accepted unless it breaks a rule of ours, and what was found in it
/// is there.
pub fn json(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let whole = Facts::of(bytes);
    let mut scanner = Scanner::new();
    // A fault is repeated by what comes after it.
    let pushed: Result<(), ScanError> =
        pieces(seed, bytes).try_for_each(|piece| scanner.push(piece));
    let cut = scanner.finish();
    if let Err(fault) = pushed {
        assert_eq!(cut, Err(fault), "a fault stays");
    }
    assert_eq!(cut, whole, "in pieces of {seed}");
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let Value::Object(object) = value else {
        assert!(whole.is_err(), "no object was taken for one");
        return;
    };
    match whole {
        Ok(facts) => {
            let of = |name: &str| object.get(name).unwrap_or(&Value::Null);
            assert!(facts.is_object);
            assert!(facts.depth <= DEPTH_MAX);
            assert_eq!(facts.model(), of("model").as_str());
            assert_eq!(facts.stream, *of("stream") == Value::Bool(true));
            let count = |name: &str| of(name).as_array().map_or(0, Vec::len) as u64;
            assert_eq!(facts.tools, count("tools") + count("functions"));
        }
        Err(ScanError { fault, at }) => {
            assert!(at <= bytes.len());
            let is_ours = matches!(
                fault,
                Fault::Duplicate(_)
                    | Fault::Misspelled(_)
                    | Fault::Mistyped(..)
                    | Fault::ModelTooLong
                    | Fault::TooDeep
            );
            assert!(is_ours, "valid JSON was refused: {fault:?} at {at}");
        }
    }
}

/// No configuration makes its parser panic, and each mistake is located within the text.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Err(report) = penstock_config::parse(text) else {
        return;
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let breaks = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = breaks.split('\n').collect();
    for mistake in report.mistakes() {
        assert!(mistake.line >= 1 && mistake.column >= 1, "{mistake:?}");
        let line = lines.get(mistake.line - 1);
        let line = line.unwrap_or_else(|| panic!("in no line: {mistake:?}"));
        assert!(mistake.column <= line.chars().count() + 1, "{mistake:?}");
    }
    assert!(!report.mistakes().is_empty(), "refused without a reason");
    assert!(!report.render("fuzzed", text).is_empty());
}
