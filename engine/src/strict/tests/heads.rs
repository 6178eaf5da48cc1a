//! Heads: what they say, and what is refused in them.

use super::super::{Framing, Head, HeadCheck, Limits, Rule};
use super::{Random, splits};

const LIMITS: Limits = Limits {
    target: 100,
    head: 1000,
    fields: 20,
};

fn check(bytes: &[u8], ends: &[usize]) -> Result<Option<Head>, Rule> {
    let mut check = HeadCheck::default();
    for &end in ends {
        if let Some(head) = check.check(&LIMITS, &bytes[..end])? {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

fn whole(bytes: &[u8]) -> Result<Option<Head>, Rule> {
    check(bytes, &[bytes.len()])
}

fn head(text: &str) -> Head {
    let head = whole(text.as_bytes());
    let head = head.unwrap_or_else(|rule| panic!("{text:?} breaks {rule}"));
    head.unwrap_or_else(|| panic!("{text:?} has no end"))
}

fn with(fields: &str) -> String {
    format!("POST /v1 HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_head_says_what_follows() {
    assert_eq!(head(&with("")).framing, Framing::Length(0));
    assert_eq!(
        head(&with("content-length: 0\r\n")).framing,
        Framing::Length(0)
    );
    let spaces = head(&with("Content-Length:  22220  \r\n"));
    assert_eq!(spaces.framing, Framing::Length(22220));
    let largest = head(&with("Content-Length: 999999999999999999\r\n"));
    assert_eq!(largest.framing, Framing::Length(999_999_999_999_999_999));
    assert_eq!(
        head(&with("transfer-encoding: Chunked\r\n")).framing,
        Framing::Chunked
    );
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    assert!(head(&with(upgrade)).upgrade);
    assert!(!head(&with("")).upgrade);
    assert!(!head("GET / HTTP/1.0\r\nupgrade: x\r\n\r\n").upgrade);
}

#[test]
fn a_head_ends_where_it_ends() {
    let text = with("a: b\r\n");
    let more = format!("\r\n{text}rest");
    let found = head(&more);
    assert_eq!(&more[found.bytes.clone()], text);
    assert_eq!(&more[found.target.clone()], "/v1");
    assert_eq!(found.path, found.target.start);
    assert_eq!(whole(&text.as_bytes()[..text.len() - 1]), Ok(None));
}

#[test]
fn what_is_odd_and_clear_passes() {
    for text in [
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a HTTP/1.1\r\nHost: A:80\r\n\r\n",
        "GET HTTPS://a:443/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://[::1]:8080/ HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET /?a[]={b}|c\\d<e>\"f`^ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a-b._~!$&'()*+,;=:@%20[0] HTTP/1.1\r\nHost: a\r\n\r\n",
        "VERSION-CONTROL / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:a\r\nMy_Custom-Header.!#$%&'*+^_`|~0: \t a \t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nx:\r\nConnection: close, x-a,\r\n\r\n",
    ] {
        assert!(matches!(whole(text.as_bytes()), Ok(Some(_))), "{text:?}");
    }
    let obs_text = b"GET / HTTP/1.1\r\nHost: a\r\nx: \x85\xa0\xff\r\n\r\n";
    assert!(matches!(whole(obs_text), Ok(Some(_))));
}

#[test]
fn a_request_line_that_can_be_read_in_two_ways_is_refused() {
    for (line, rule) in [
        ("GET / HTTP/1.1\n", Rule::LineEnding),
        ("GET / HTTP/1.1\r\r\n", Rule::LineEnding),
        ("\nGET / HTTP/1.1\r\n", Rule::LineEnding),
        ("\r\n\r\nGET / HTTP/1.1\r\n", Rule::RequestLine),
        (" GET / HTTP/1.1\r\n", Rule::Method),
        ("   \r\n", Rule::Method),
        ("get / HTTP/1.1\r\n", Rule::Method),
        ("G=\":<>(e),[T];?\" / HTTP/1.1\r\n", Rule::Method),
        ("\0 / HTTP/1.1\r\n", Rule::Method),
        ("\x16\x03\x01\x02", Rule::Method),
        ("GET\t/ HTTP/1.1\r\n", Rule::RequestLine),
        ("GET  / HTTP/1.1\r\n", Rule::RequestLine),
        ("GET /  HTTP/1.1\r\n", Rule::RequestLine),
        ("GET / HTTP/1.1 \r\n", Rule::RequestLine),
        ("GET / HTTP/1.1 HTTP/1.1\r\n", Rule::RequestLine),
        ("GET HTTP/1.1\r\n", Rule::RequestLine),
        ("GET /\r\n", Rule::RequestLine),
        ("GET / \r\n", Rule::RequestLine),
        ("GET / http/1.1\r\n", Rule::RequestLine),
        ("GET / HTTP/1.10\r\n", Rule::RequestLine),
        ("GET / HTTX/1.1\r\n", Rule::Protocol),
        ("INVALID CONNECTION PREFACE\r\n", Rule::Protocol),
        ("GET / HTTP/\r\r1.1\r\n", Rule::LineEnding),
        ("GET / HTTP/1.2\r\n", Rule::Version),
        ("GET / HTTP/0.9\r\n", Rule::Version),
        ("PRI * HTTP/2.0\r\n", Rule::Version),
        ("GET /a b HTTP/1.1\r\n", Rule::RequestLine),
        ("GET /a\tHTTP/1.1\r\n", Rule::RequestLine),
        ("GET /a#b HTTP/1.1\r\n", Rule::Target),
        ("GET /a?b#c HTTP/1.1\r\n", Rule::Target),
        ("GET /a\\b HTTP/1.1\r\n", Rule::Target),
        ("GET /a\"b HTTP/1.1\r\n", Rule::Target),
        ("GET /\u{e9} HTTP/1.1\r\n", Rule::Target),
        ("GET /\x01 HTTP/1.1\r\n", Rule::Target),
        ("GET /\x7f HTTP/1.1\r\n", Rule::Target),
    ] {
        let text = format!("{line}Host: a\r\n\r\n");
        assert_eq!(whole(text.as_bytes()), Err(rule), "{line:?}");
    }
}

#[test]
fn a_target_has_one_of_the_known_forms() {
    for (line, rule) in [
        ("GET ! HTTP/1.1", Rule::Target),
        ("GET * HTTP/1.1", Rule::Target),
        ("GET a:80 HTTP/1.1", Rule::Target),
        ("GET ?a HTTP/1.1", Rule::Target),
        ("GET ftp://a/ HTTP/1.1", Rule::Target),
        ("GET http:/a HTTP/1.1", Rule::Target),
        ("GET http:///a HTTP/1.1", Rule::Target),
        ("GET http://u@a/ HTTP/1.1", Rule::Target),
        ("GET http://b/ HTTP/1.1", Rule::Authority),
        ("GET http://a:81/ HTTP/1.1", Rule::Authority),
        ("GET https://a:80/ HTTP/1.1", Rule::Authority),
        ("CONNECT a:443 HTTP/1.1", Rule::MethodUnsupported),
        ("TRACE / HTTP/1.1", Rule::MethodUnsupported),
    ] {
        let text = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(whole(text.as_bytes()), Err(rule), "{line:?}");
    }
    let head = head("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head.path, "GET http://a".len());
}

#[test]
fn a_field_that_can_be_read_in_two_ways_is_refused() {
    for (fields, rule) in [
        (" a: b\r\n", Rule::Folding),
        ("a: b\r\n c\r\n", Rule::Folding),
        ("a: b\r\n\tc\r\n", Rule::Folding),
        ("a : b\r\n", Rule::FieldSpace),
        ("a\t: b\r\n", Rule::FieldSpace),
        (": b\r\n", Rule::FieldName),
        ("a\r\n", Rule::FieldName),
        ("a(b: c\r\n", Rule::FieldName),
        ("\x01a: b\r\n", Rule::FieldName),
        ("X-T\u{eb}st: b\r\n", Rule::FieldName),
        ("a: b\n", Rule::LineEnding),
        ("a: b\rc\r\n", Rule::LineEnding),
        ("a\rb: c\r\n", Rule::LineEnding),
        ("a:\n\n", Rule::LineEnding),
        ("\rZGET /evil: b\r\n", Rule::LineEnding),
        ("a: b\0\r\n", Rule::FieldValue),
        ("a: \x07\r\n", Rule::FieldValue),
        ("a: \x7f\r\n", Rule::FieldValue),
        ("Host: a\r\n", Rule::Host),
        ("Transfer_Encoding: chunked\r\n", Rule::FieldName),
        ("content_length: 5\r\n", Rule::FieldName),
        ("Connection: Host\r\n", Rule::Connection),
        ("Connection: close, Content-Length\r\n", Rule::Connection),
        ("Connection: \"close\"\r\n", Rule::Connection),
        ("Upgrade: websocket\r\n", Rule::Upgrade),
        ("Upgrade: websocket\r\nConnection: close\r\n", Rule::Upgrade),
    ] {
        assert_eq!(whole(with(fields).as_bytes()), Err(rule), "{fields:?}");
    }
    for text in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n"] {
        assert_eq!(whole(text.as_bytes()), Err(Rule::Host), "{text:?}");
    }
}

#[test]
fn framing_is_plain_or_refused() {
    for length in [
        "",
        "abc",
        "+5",
        "-5",
        "005",
        "00",
        "0x5",
        "0o5",
        "1 0",
        "5, 5",
        "5,10",
        "5\t",
        "\t5",
        "5.0",
        "99999999999999999999",
        "5\u{a0}",
        "1_0",
        "5;",
        "\"5\"",
    ] {
        let text = with(&format!("Content-Length: {length}\r\n"));
        assert_eq!(
            whole(text.as_bytes()),
            Err(Rule::ContentLength),
            "{length:?}"
        );
    }
    let twice = with("Content-Length: 5\r\ncontent-length: 5\r\n");
    assert_eq!(whole(twice.as_bytes()), Err(Rule::ContentLength));
    for coding in [
        "",
        "gzip",
        "identity",
        "xchunked",
        "chunked, chunked",
        "gzip, chunked",
        "chunked,",
        "chunked;q=1",
        "\"chunked\"",
        "\tchunked",
        "chunked\u{a0}",
        "chunke",
        "chunked gzip",
    ] {
        let text = with(&format!("Transfer-Encoding: {coding}\r\n"));
        assert_eq!(
            whole(text.as_bytes()),
            Err(Rule::TransferEncoding),
            "{coding:?}"
        );
    }
    let twice = with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n");
    assert_eq!(whole(twice.as_bytes()), Err(Rule::TransferEncoding));
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(whole(old.as_bytes()), Err(Rule::TransferEncoding));
    for both in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        assert_eq!(whole(with(both).as_bytes()), Err(Rule::Framing), "{both:?}");
    }
}

#[test]
fn heads_are_bounded() {
    let long = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(len - 1));
    assert!(matches!(whole(long(100).as_bytes()), Ok(Some(_))));
    for len in [101, 102, 5000] {
        assert_eq!(whole(long(len).as_bytes()), Err(Rule::TargetLength));
    }
    let unended = format!("GET /?{}", "a".repeat(100));
    assert_eq!(whole(unended.as_bytes()), Err(Rule::TargetLength));
    assert_eq!(whole("A".repeat(33).as_bytes()), Err(Rule::Method));
    let many = with(&"a: b\r\n".repeat(20));
    assert_eq!(whole(many.as_bytes()), Err(Rule::FieldCount));
    let filled = |len: usize| {
        let empty = with("a: \r\n").len();
        with(&format!("a: {}\r\n", "b".repeat(len - empty)))
    };
    assert!(matches!(whole(filled(1000).as_bytes()), Ok(Some(_))));
    assert_eq!(whole(filled(1001).as_bytes()), Err(Rule::HeadLength));
    assert_eq!(
        whole(&filled(1001).as_bytes()[..1000]),
        Err(Rule::HeadLength)
    );
    assert_eq!(whole(&filled(1001).as_bytes()[..999]), Ok(None));
}

const PIECES: &[&str] = &[
    "GET ",
    "POST ",
    "/",
    "/a?b",
    "http://a/",
    " ",
    "  ",
    "\t",
    "HTTP/1.1",
    "HTTP/1.0",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "Host: a\r\n",
    "Host: b\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 05\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Upgrade: x\r\n",
    ": ",
    "a",
    "\u{e9}",
    "Connection: upgrade\r\n",
    "\r\n\r\n",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

#[test]
fn pieces_change_no_verdict() {
    let mut random = Random(0x5eed_0003);
    for round in 0..60_000 {
        let mut text = String::new();
        if round % 2 == 0 {
            text.push_str("POST /v1 HTTP/1.1\r\nHost: a\r\n");
        }
        for _ in 0..random.below(16) {
            text.push_str(random.pick(PIECES));
        }
        text.push_str("\r\n\r\n");
        let bytes = text.as_bytes();
        let wanted = whole(bytes);
        let ends = splits(&mut random, bytes.len());
        assert_eq!(check(bytes, &ends), wanted, "{text:?} up to {ends:?}");
        let single: Vec<usize> = (0..=bytes.len()).collect();
        assert_eq!(check(bytes, &single), wanted, "{text:?} byte by byte");
    }
}
