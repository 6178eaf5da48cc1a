//! Which prompts open alike.

use bytes::Bytes;

use crate::facts::Facts;

const SYSTEM: &str =
    "You are a helpful assistant of the water works, who knows every pipe by name.";

fn key_within(body: &str, bytes: usize) -> Option<u64> {
    let facts = Facts::of(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"));
    let whole = [Bytes::copy_from_slice(body.as_bytes())];
    let key = facts.opening(&whole, facts.model(), bytes);
    for size in [1, 2, 7, 64] {
        let pieces: Vec<_> = body
            .as_bytes()
            .chunks(size)
            .map(Bytes::copy_from_slice)
            .collect();
        assert_eq!(
            facts.opening(&pieces, facts.model(), bytes),
            key,
            "{size}: {body}"
        );
    }
    key
}

/// Within a length that the system prompt reaches.
fn key(body: &str) -> Option<u64> {
    key_within(body, 64)
}

fn chat(system: &str, user: &str) -> String {
    format!(
        r#"{{"model":"m","messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{user}"}}]}}"#
    )
}

#[test]
fn a_common_opening_is_a_common_key() {
    let one = key(&chat(SYSTEM, "one"));
    assert!(one.is_some());
    assert_eq!(one, key(&chat(SYSTEM, "another")));
    assert_ne!(one, key(&chat(&SYSTEM.replace("water", "power"), "one")));
    assert_ne!(one, key(&chat(SYSTEM, "one").replace(r#":"m""#, r#":"n""#)));
    assert_ne!(key(&chat("Short.", "one")), key(&chat("Short.", "another")));
    assert_ne!(key(&chat("ab", "c")), key(&chat("a", "bc")));
}

#[test]
fn the_way_it_is_written_makes_no_difference() {
    let plain = chat("Größe\n\"😀\"", "one")
        .replace('\n', "\\n")
        .replace("\"😀\"", "\\\"😀\\\"");
    let wanted = key(&plain);
    let escaped = plain
        .replace('ö', "\\u00f6")
        .replace('😀', "\\ud83d\\uDE00");
    assert_eq!(key(&escaped), wanted);
    let spaced = plain
        .replace(":[", " :\n [ ")
        .replace("},{", "} ,\t{")
        .replace("\":\"", "\" : \"");
    assert_ne!(spaced, plain);
    assert_eq!(key(&spaced), wanted);
    for other in [
        r#"{"messages":[{"content":"Gr\u00f6\u00dfe\u000a\"😀\"","role":"system"},{"content":"one","role":"user"}],"stream":true,"model":"m"}"#,
        r#"{"temperature":1,"messages":[{"role":"system","content":[{"type":"text","text":"Größe\n\"😀\""}]},{"role":"user","content":[{"text":"one","type":"text"},{"type":"image_url","image_url":{"url":"data:x"}}]}],"model":"m"}"#,
    ] {
        assert_eq!(key(other), wanted, "{other}");
    }
}

#[test]
fn each_api_has_a_prompt() {
    let with = |fields: &str| key(&format!(r#"{{"model":"m",{fields}}}"#));
    for fields in [
        r#""prompt":"SYSTEM one""#,
        r#""prompt":["SYSTEM one","two"]"#,
        r#""input":"SYSTEM one""#,
        r#""input":[{"role":"user","content":[{"type":"input_text","text":"SYSTEM one"}]}]"#,
        r#""system":"SYSTEM one","messages":[{"role":"user","content":"one"}]"#,
        r#""messages":[{"role":"user","content":"one"}],"system":[{"type":"text","text":"SYSTEM one"}]"#,
        r#""instructions":"SYSTEM one","input":"one""#,
    ] {
        let of = |from: &str, to: &str| with(&fields.replace("SYSTEM", SYSTEM).replace(from, to));
        let one = of("", "");
        assert!(one.is_some(), "{fields}");
        assert_eq!(one, of("one", "other"), "{fields}");
        assert_ne!(one, of("water", "power"), "{fields}");
    }
    // What stands apart comes first, wherever it stands, and what follows counts if it is short.
    let (system, messages) = (r#""system":"Short.""#, r#""messages":[{"content":"one"}]"#);
    let one = with(&format!("{system},{messages}"));
    assert_eq!(one, with(&format!("{messages},{system}")));
    assert_ne!(
        one,
        with(&format!("{system},{}", messages.replace("one", "two")))
    );
    assert_ne!(
        one,
        with(&format!("{},{messages}", system.replace("Short", "Other")))
    );
}

#[test]
fn ids_of_tokens_are_a_prompt_too() {
    let of = |ids: &str| key_within(&format!(r#"{{"model":"m","prompt":[{ids}]}}"#), 8);
    assert!(of("1, 22, 333").is_some());
    assert_eq!(of("1,22,333"), of("1, 22,\n333"));
    assert_ne!(of("1,22,333"), of("12,2,333"));
    assert_eq!(
        of("1000,2000,3000"),
        of("1000,2000,4000"),
        "past the opening"
    );
}

#[test]
fn without_text_there_is_no_key() {
    for body in [
        "{}",
        r#"{"model":"m"}"#,
        r#"{"model":"m","messages":[]}"#,
        r#"{"model":"m","prompt":""}"#,
        r#"{"model":"m","messages":[{"role":"user","content":null}]}"#,
        r#"{"model":"m","messages":{"a":1}}"#,
    ] {
        assert_eq!(key(body), None, "{body}");
    }
}

#[test]
fn these_fields_may_stand_twice_and_in_any_spelling() {
    let one = key(r#"{"system":"a","prompt":"x"}"#);
    assert_eq!(one, key(r#"{"system":"a","prompt":"x","system":"b"}"#));
    assert_eq!(
        one,
        key(r#"{"System":"z","Instructions":1,"system":"a","prompt":"x"}"#)
    );
}
