//! What the scanner finds, and what it refuses.

mod differential;

use super::*;
use crate::edit::BodyEdits;
use crate::facts::Facts;

pub(super) type Scan = Result<Facts, ScanError>;

pub(super) fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Scan {
    let mut scanner = Scanner::new();
    for piece in pieces {
        scanner.push(piece)?;
    }
    scanner.finish()
}

fn whole(text: &str) -> Scan {
    scan([text.as_bytes()])
}

fn model(text: &str) -> Option<String> {
    let facts = whole(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    facts.model().map(str::to_owned)
}

fn fault(text: impl AsRef<[u8]>) -> (Fault, usize) {
    let text = text.as_ref();
    let error = scan([text]).expect_err(&String::from_utf8_lossy(text));
    (error.fault, error.at)
}

#[test]
fn the_field_is_found_wherever_it_stands() {
    assert_eq!(model(r#"{"model":"m"}"#).as_deref(), Some("m"));
    assert_eq!(
        model(r#"{"stream":true,"model":"m"}"#).as_deref(),
        Some("m")
    );
    assert_eq!(model(r#"{"model":"","n":-1.5e+3}"#).as_deref(), Some(""));
    assert_eq!(
        model("\t{ \"model\"\r\n:\n\"m\" , \"a\":[ ] } \n").as_deref(),
        Some("m")
    );
    assert_eq!(model(r#"{"mod\u0065l":"m"}"#).as_deref(), Some("m"));
}

#[test]
fn a_body_without_the_field_has_none() {
    for text in [
        "{}",
        r#"{"a":[{"model":"nested"},{"b":{"model":1,"model":2}}]}"#,
        r#"{"mode":"m","models":["m"],"model ":"m","\model":0}"#
            .replace(r"\m", r"\n")
            .as_str(),
        r#"{"a":"\"model\":\"m\"","b":"\\"}"#,
    ] {
        assert_eq!(model(text), None, "{text}");
    }
}

#[test]
fn the_value_comes_without_its_escapes() {
    let text = r#"{"model":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000é😀"}"#;
    let value = "a\"\\/\u{8}\u{c}\n\r\té😀\0é😀";
    assert_eq!(model(text).as_deref(), Some(value));
    let field = whole(text).unwrap().model.unwrap();
    assert_eq!((field.start(), field.end()), (9, text.len() - 1));
}

#[test]
fn what_is_not_an_object_is_refused() {
    for text in [
        "[]",
        "\"model\"",
        "1",
        "null",
        "  [",
        "\u{feff}{}",
        "{",
        "x",
    ] {
        let expected = match text {
            "{" => Fault::Truncated,
            _ => Fault::NotAnObject,
        };
        assert_eq!(fault(text).0, expected, "{text}");
    }
    assert_eq!(fault(""), (Fault::Truncated, 0));
    assert_eq!(fault(" \n"), (Fault::Truncated, 2));
}

#[test]
fn broken_structure_is_refused_where_it_breaks() {
    for (text, at) in [
        (r#"{"a" 1}"#, 5),
        (r#"{"a":1 2}"#, 7),
        (r#"{"a":1,}"#, 7),
        ("{,}", 1),
        (r#"{"a":[1,]}"#, 8),
        (r#"{"a":[,1]}"#, 6),
        (r#"{"a":[1}"#, 7),
        (r#"{"a":{"b":1]"#, 11),
        (r#"{"a":}"#, 5),
        ("{a:1}", 1),
        ("{'a':1}", 1),
        (r#"{"a":NaN}"#, 5),
        (r#"{"a":1/**/}"#, 6),
        (r#"{"a"::1}"#, 5),
        (r#"{"a":"b""c"}"#, 8),
        ("{\"a\":\u{a0}1}", 5),
    ] {
        assert_eq!(fault(text), (Fault::Unexpected, at), "{text}");
    }
    assert_eq!(fault("{} x"), (Fault::Trailing, 3));
    assert_eq!(fault(r#"{"a":1}{"model":"m"}"#), (Fault::Trailing, 7));
}

#[test]
fn unknown_escapes_are_refused_in_every_string() {
    for text in [
        r#"{"a":"\x"}"#,
        r#"{"a":["\u00g0"]}"#,
        r#"{"\'":1}"#,
        r#"{"a":{"\uD8":1}}"#,
        r#"{"model":"\a"}"#,
    ] {
        assert_eq!(fault(text).0, Fault::Escape, "{text}");
    }
}

#[test]
fn a_body_that_two_parsers_may_read_differently_is_refused() {
    let second = r#"{"model":"a","model":"b"}"#;
    assert_eq!(fault(second), (Fault::Duplicate("model"), 19));
    let same = r#"{"model":"a","n":1,"model":"a"}"#;
    assert_eq!(fault(same).0, Fault::Duplicate("model"));
    let escaped = r#"{"model":"a","\u006dod\u0065l":"b"}"#;
    assert_eq!(fault(escaped).0, Fault::Duplicate("model"));
    for cased in [
        r#"{"Model":"a"}"#,
        r#"{"model":"a","MODEL":"b"}"#,
        r#"{"mod\u0045l":1}"#,
    ] {
        assert_eq!(fault(cased).0, Fault::Misspelled("model"), "{cased}");
    }
}

#[test]
fn a_model_that_is_not_a_name_is_refused() {
    for value in ["1", "null", "true", "[\"m\"]", "{\"a\":\"m\"}", " -1"] {
        let text = format!("{{\"model\":{value}}}");
        assert_eq!(
            fault(&text).0,
            Fault::Mistyped("model", "a string"),
            "{text}"
        );
    }
    for value in [
        &br"\ud83d"[..],
        br"\ude00",
        br"\ud83dx",
        br"\ud83d\n",
        br"\ud83d\ud83d\ude00",
        b"a\nb",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\xbd",
    ] {
        let text = [b"{\"model\":\"", value, b"\"}"].concat();
        assert_eq!(fault(&text).0, Fault::ModelNotText, "{value:?}");
    }
    let longest = "m".repeat(MODEL_BYTES_MAX);
    assert_eq!(
        model(&format!("{{\"model\":\"{longest}\"}}")).as_ref(),
        Some(&longest)
    );
    let longer = format!("{{\"model\":\"{longest}m\"}}");
    assert_eq!(fault(&longer).0, Fault::ModelTooLong);
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| {
        let inner = depth - 1;
        format!(
            "{{\"a\":{}1{},\"model\":\"m\"}}",
            "[".repeat(inner),
            "]".repeat(inner)
        )
    };
    assert_eq!(model(&nested(DEPTH_MAX)).as_deref(), Some("m"));
    assert_eq!(
        fault(nested(DEPTH_MAX + 1)),
        (Fault::TooDeep, 5 + DEPTH_MAX - 1)
    );
    let objects = "{\"a\":".repeat(DEPTH_MAX) + "1" + &"}".repeat(DEPTH_MAX);
    assert_eq!(model(&objects), None);
    let mixed = "{\"a\":[".repeat(DEPTH_MAX / 2) + &"]}".repeat(DEPTH_MAX / 2);
    assert_eq!(model(&mixed), None);
}

#[test]
fn every_beginning_of_a_body_is_truncated() {
    let text = r#"{"a":["\u0041\n",{"b":-1.5}],"model":"\ud83d\ude00","z":null}"#;
    assert!(whole(text).unwrap().model().is_some());
    for end in 0..text.len() {
        assert_eq!(
            fault(&text[..end]),
            (Fault::Truncated, end),
            "{}",
            &text[..end]
        );
    }
}

#[test]
fn a_scanner_that_failed_stays_failed() {
    let mut scanner = Scanner::new();
    let error = scanner.push(b"{]").unwrap_err();
    assert_eq!(scanner.push(b"{}"), Err(error));
    assert_eq!(scanner.finish(), Err(error));
}

#[test]
fn only_the_field_is_replaced() {
    let body = Bytes::from_static(br#"{ "a":"model", "model" : "gpt\u002d4" ,"b":[1]}"#);
    let renamed = |name| {
        let mut edits = BodyEdits::default();
        edits.add(Facts::of(&body).unwrap().rename_model(name).unwrap());
        edits.apply(std::slice::from_ref(&body)).concat()
    };
    let edited = renamed("llama");
    assert_eq!(edited, br#"{ "a":"model", "model" : "llama" ,"b":[1]}"#);

    let odd = "q\"\\/\u{1}\n\u{7f}é😀";
    let edited = renamed(odd);
    assert_eq!(Facts::of(&edited).unwrap().model(), Some(odd));
    let parsed: serde_json::Value = serde_json::from_slice(&edited).unwrap();
    assert_eq!(parsed["model"], odd);
    assert_eq!(Facts::of(b"{}").unwrap().rename_model("m"), None);
}
