//! What each layer hides, and that looking under it costs no more than its length.

use super::*;

fn readings(text: &[u8], encoding: Encoding) -> Vec<(Views, Vec<u8>)> {
    let mut readings = Vec::new();
    each(text, encoding, |view, text| {
        readings.push((view, text.to_vec()));
        true
    });
    readings
}

/// The last reading, as text.
fn innermost(text: &str) -> String {
    let readings = readings(text.as_bytes(), Encoding::Plain);
    String::from_utf8_lossy(&readings.last().unwrap().1).into_owned()
}

#[test]
fn an_ordinary_text_is_looked_at_once() {
    for text in [
        "gpt-4o-mini",
        "org/model:latest",
        "anna@example.com",
        "用户",
        "Köln; 5 > 3",
    ] {
        assert_eq!(
            readings(text.as_bytes(), Encoding::Plain).len(),
            1,
            "{text}"
        );
    }
}

#[test]
fn encodings_come_off_in_layers() {
    for (encoded, plain) in [
        ("%27", "'"),
        ("%2527", "'"),
        ("%252527", "'"),
        ("%u003cscript%U003E", "<script>"),
        ("\\u0027 \\x3c \\u{3e}", "' < >"),
        (r#"a\"b\/c\nd"#, "a\"b/c\nd"),
        ("&lt;b&gt;&#39;&#x2f;&colon;&Tab;", "<b>'/:\t"),
        ("%26lt%3bb", "<b"),
        ("＜ｓｃｒｉｐｔ＞", "<script>"),
        ("%c0%ae%c0%ae%c0%af", "../"),
        ("%e0%80%ae", "."),
        ("%f0%80%80%af", "/"),
        ("caf%C3%A9", "café"),
    ] {
        assert_eq!(innermost(encoded), plain, "{encoded}");
    }
}

#[test]
fn what_is_no_encoding_stays() {
    for text in [
        "100% sure",
        "%zz%",
        "a&b;c",
        "&unknown;",
        "\\q\\u12",
        "%u12",
        "&#x;",
        "\\u{}",
        "&#99999999;",
    ] {
        let readings = readings(text.as_bytes(), Encoding::Plain);
        assert!(
            readings.iter().all(|(view, _)| *view != Views::DECODED),
            "{text}: {readings:?}"
        );
    }
}

#[test]
fn a_plus_is_a_space_in_a_query_alone() {
    let decoded = |encoding| readings(b"1+or+1%2B1", encoding)[1].1.clone();
    assert_eq!(decoded(Encoding::Query), b"1 or 1+1");
    assert_eq!(decoded(Encoding::Plain), b"1+or+1+1");
}

#[test]
fn what_a_language_passes_over_is_folded() {
    for (text, folded) in [
        ("UN/**/ION", "UN ION"),
        ("a/* b */c", "a c"),
        ("/*!50000UNION*/", " UNION "),
        ("a/*b", "a b"),
        ("c''a\"\"t", "cat"),
        ("w\\hoami", "whoami"),
        ("who^ami", "whoami"),
        ("cat${IFS}/x", "cat /x"),
        ("cat$IFS$9/x", "cat /x"),
        ("wh$@oami", "whoami"),
        ("a\u{a0}b\u{b}c\0d", "a b cd"),
    ] {
        assert_eq!(innermost(text), folded, "{text}");
    }
}

#[test]
fn no_reading_is_longer_than_the_text() {
    // Each layer reads its text once and makes it no longer, so that the size bounds
    // the steps. The texts are what would be read again and again if anything were.
    let parts = [
        "/*", "*/", "%25", "%", "&#", "&lt;", "\\u", "\\u0025", "''", "${IFS}", "\u{ff1c}",
        "%c0%af", "a", "\0",
    ];
    let mut random = 1_u64;
    for round in 0..2_000 {
        let mut text = String::new();
        for _ in 0..round % 97 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text += parts[(random >> 33) as usize % parts.len()];
        }
        let readings = readings(text.as_bytes(), Encoding::Query);
        assert!(readings.len() <= 3, "{text:?}");
        for (_, reading) in readings {
            assert!(reading.len() <= text.len(), "{text:?} as {reading:?}");
        }
    }
}

#[test]
fn it_ends_when_enough_was_seen() {
    let mut seen = 0;
    each(b"%27/**/", Encoding::Plain, |_, _| {
        seen += 1;
        false
    });
    assert_eq!(seen, 1);
}
