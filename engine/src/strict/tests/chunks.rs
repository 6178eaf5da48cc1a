//! Chunks: where a body ends, and what is refused in it.

use super::super::{ChunkCheck, Rule};
use super::{Random, splits};

/// How many bytes belong to the body, if it ends; read in pieces up to these ends.
fn check(bytes: &[u8], ends: &[usize]) -> Result<Option<usize>, Rule> {
    let mut check = ChunkCheck::default();
    let mut from = 0;
    for &end in ends {
        from += check.check(&bytes[from..end.max(from)])?;
        if check.is_done() {
            return Ok(Some(from));
        }
        assert_eq!(from, end.max(from), "all is taken before the end");
    }
    Ok(None)
}

fn whole(bytes: &[u8]) -> Result<Option<usize>, Rule> {
    check(bytes, &[bytes.len()])
}

#[test]
fn a_body_ends_after_its_last_chunk() {
    for body in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "A\r\nhelloworld\r\n00a\r\nhelloworld\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;b=c\r\n\r\n",
        "5;a=b;c=\"d; \\\"\"\r\nhello\r\n0\r\n\r\n",
        "0\r\nx-checksum: a b\tc\x7e\r\ny:\r\n\r\n",
    ] {
        let mut bytes = body.as_bytes().to_vec();
        assert_eq!(whole(&bytes), Ok(Some(body.len())), "{body:?}");
        bytes.extend(b"GET / HTTP/1.1\r\n");
        assert_eq!(whole(&bytes), Ok(Some(body.len())), "{body:?} and another");
        assert_eq!(whole(&bytes[..body.len() - 1]), Ok(None), "{body:?} cut");
    }
}

#[test]
fn a_chunk_that_can_be_read_in_two_ways_is_refused() {
    for (body, rule) in [
        ("\r\n", Rule::ChunkSize),
        ("0x5\r\nhello\r\n", Rule::ChunkSize),
        ("+5\r\n", Rule::ChunkSize),
        ("-5\r\n", Rule::ChunkSize),
        (" 5\r\n", Rule::ChunkSize),
        ("5 \r\n", Rule::ChunkSize),
        ("5\t;a\r\n", Rule::ChunkSize),
        ("0_2e\r\n\r\n", Rule::ChunkSize),
        ("5\n", Rule::ChunkSize),
        ("5\r\r", Rule::ChunkSize),
        ("ffffffffffffffff\r\n", Rule::ChunkSize),
        ("5;\r\nhello", Rule::ChunkExtension),
        ("5;\nhello", Rule::ChunkExtension),
        ("5;a=\r\n", Rule::ChunkExtension),
        ("5;a\n", Rule::ChunkExtension),
        ("5;a\rX", Rule::ChunkSize),
        ("5; a\r\n", Rule::ChunkExtension),
        ("5;a =b\r\n", Rule::ChunkExtension),
        ("5;\0ext\r\n", Rule::ChunkExtension),
        ("5;a=\"b\n", Rule::ChunkExtension),
        ("5;a=\"b\"c\r\n", Rule::ChunkExtension),
        ("5\r\nhello0\r\n", Rule::ChunkEnd),
        ("5\r\nhello!!\r\n", Rule::ChunkEnd),
        ("5\r\nhello\n0\r\n", Rule::ChunkEnd),
        ("5\r\nhello\r\r", Rule::ChunkEnd),
        ("0\r\n\n", Rule::Trailer),
        ("0\r\n\rX", Rule::Trailer),
        ("0\r\nno colon\r\n", Rule::Trailer),
        ("0\r\na : b\r\n", Rule::Trailer),
        ("0\r\n: b\r\n", Rule::Trailer),
        ("0\r\na: b\r\n c\r\n", Rule::Trailer),
        ("0\r\na: b\n", Rule::Trailer),
        ("0\r\na: \x01\r\n", Rule::Trailer),
        ("0\r\nContent-Length: 5\r\n", Rule::Trailer),
        ("0\r\ntransfer-encoding: chunked\r\n", Rule::Trailer),
        ("0\r\nHost: b\r\n", Rule::Trailer),
        ("0\r\nAuthorization: b\r\n", Rule::Trailer),
    ] {
        assert_eq!(whole(body.as_bytes()), Err(rule), "{body:?}");
    }
}

#[test]
fn what_is_ignored_is_bounded() {
    let long = format!("5;{}", "a".repeat(64 << 10));
    assert_eq!(whole(long.as_bytes()), Err(Rule::ChunkExtension));
    let many = "1;abc\r\nx\r\n".repeat(10_000);
    assert_eq!(whole(many.as_bytes()), Err(Rule::ChunkExtension));
    let trailers = format!("0\r\n{}", "a: b\r\n".repeat(10_000));
    assert_eq!(whole(trailers.as_bytes()), Err(Rule::Trailer));
}

const PIECES: &[&str] = &[
    "5",
    "0",
    "a",
    "\r\n",
    "\r\n",
    "hello\r\n",
    "0\r\n\r\n",
    ";",
    "x=y",
    "=",
    "\"",
    "\\",
    " ",
    "\n",
    "\r",
    "\0",
    "x: y\r\n",
    "host: a\r\n",
    "0x",
    "-",
];

#[test]
fn pieces_change_no_verdict() {
    let mut random = Random(0x5eed_0002);
    for _ in 0..100_000 {
        let mut body = String::from("5\r\nhello\r\n");
        for _ in 0..random.below(8) {
            body.push_str(random.pick(PIECES));
        }
        body.push_str("0\r\n\r\n");
        let bytes = body.as_bytes();
        let ends = splits(&mut random, bytes.len());
        assert_eq!(check(bytes, &ends), whole(bytes), "{body:?} up to {ends:?}");
        let single: Vec<usize> = (0..=bytes.len()).collect();
        assert_eq!(check(bytes, &single), whole(bytes), "{body:?} byte by byte");
    }
}
