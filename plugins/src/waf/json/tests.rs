//! Which texts of a body are shown, and what happens to a body that is none.

use super::*;

/// What is shown of a body: `key=text`, with `?` before keys that are shown themselves.
fn shown(body: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let read = each(body.as_bytes(), |text| {
        let part = |bytes| std::str::from_utf8(bytes).unwrap().to_owned();
        seen.push(match text.target {
            Target::JsonKey => format!("?{}.{}", part(text.key), part(text.text)),
            Target::JsonMedia => format!("@{}", part(text.text)),
            Target::JsonLink => format!("{}->{}", part(text.key), part(text.text)),
            _ => format!("{}.{}={}", part(text.top), part(text.key), part(text.text)),
        });
        true
    });
    assert_eq!(read, Ok(()), "{body}");
    seen
}

#[test]
fn prompts_are_not_shown_and_other_fields_are() {
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"P"},
        {"role":"user","name":"n","content":[{"type":"text","text":"P"}]},
        {"role":"assistant","content":null,"reasoning_content":"P","tool_calls":[{"id":"c",
            "type":"function","function":{"name":"f","arguments":"P"}}]},
        {"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"P"}]}],
        "tools":[{"type":"function","function":{"name":"f","description":"P",
            "parameters":{"properties":{"P":{"enum":["P"]}}}}}],
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"P":"P"}}},
        "stop":["P"],"user":"u","metadata":{"k":"v"},"seed":1,"options":{"stop":"P","o":true}}"#;
    let seen = shown(chat);
    assert!(
        seen.iter().all(|text| !text.contains('P')),
        "a prompt is shown: {seen:?}"
    );
    for wanted in [
        ".model=m",
        "messages.role=user",
        "messages.name=n",
        "messages.id=c",
        "messages.tool_call_id=c",
        "tools.name=f",
        "response_format.name=s",
        ".user=u",
        "metadata.k=v",
        "?metadata.k",
        "?.options",
        "?options.o",
    ] {
        assert!(
            seen.iter().any(|text| text == wanted),
            "{wanted} is missing: {seen:?}"
        );
    }
}

#[test]
fn other_apis_have_prompts_too() {
    for body in [
        r#"{"model":"m","system":"P","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"P"}},{"type":"tool_use","id":"t","name":"n","input":{"name":"P","url":"P"}},{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"P"}]},{"type":"thinking","thinking":"P","signature":"P"}]}],"tools":[{"name":"n","description":"P","input_schema":{"P":1}}],"stop_sequences":["P"]}"#,
        r#"{"model":"m","input":[{"type":"function_call_output","call_id":"c","output":"P"},{"role":"user","content":"P"}],"instructions":"P","text":{"format":{"type":"json_schema","name":"x","schema":{"P":1}}}}"#,
        r#"{"model":"m","input":["P","P"]}"#,
        r#"{"model":"m","prompt":"P","suffix":"P","logit_bias":{"P":1},"guided_regex":"P"}"#,
        r#"{"requests":[{"custom_id":"c","params":{"messages":[{"role":"user","content":"P"}],"system":"P"}}]}"#,
        r#"{"contents":[{"role":"user","parts":[{"text":"P"},{"inline_data":{"mime_type":"m","data":"P"}}]}],"generationConfig":{"stopSequences":["P"]}}"#,
        r#"{"query":"P","documents":["P",{"text":"P"}],"filters":{"P":{"P":1}},"x":"y"}"#,
    ] {
        let seen = shown(body);
        assert!(
            seen.iter().all(|text| !text.contains('P')),
            "{seen:?} of {body}"
        );
        assert!(!seen.is_empty(), "{body}");
    }
}

#[test]
fn addresses_amid_prompts_are_shown_as_such() {
    let body = r#"{"messages":[{"content":[{"image_url":{"url":"http://a","detail":"d"}},
        {"image_url":"http://b"},{"image_url":{"url":"data:image/png;base64,AAAA"}},
        {"source":{"type":"url","url":"http://c"}}]}],"tools":[{"server_url":"http://d"}],
        "image":"http://e","callback_url":"http://f","metadata":{"redirect_uri":"g","x_url":"h"}}"#;
    let seen = shown(body);
    for wanted in [
        "@http://a",
        "@http://b",
        "@http://c",
        "@http://d",
        "@http://e",
        "callback_url->http://f",
        "metadata.redirect_uri=g",
        "x_url->h",
    ] {
        assert!(
            seen.iter().any(|text| text == wanted),
            "{wanted} is missing: {seen:?}"
        );
    }
    assert!(!seen.iter().any(|text| text.contains("data:")), "{seen:?}");
    let long = format!(r#"{{"image":"http://a/{}"}}"#, "x".repeat(100_000));
    assert_eq!(
        shown(&long)[0].len(),
        ADDRESS_BYTES_MAX + 1,
        "and of a long one its beginning"
    );
}

#[test]
fn a_key_in_disguise_is_no_known_one() {
    assert_eq!(
        shown(r#"{"m\u0065ssages":"x"}"#),
        [r"?.m\u0065ssages", r".m\u0065ssages=x"]
    );
    assert_eq!(shown(r#"{"Messages":"x"}"#)[1], ".Messages=x");
}

#[test]
fn several_values_are_read_one_after_another() {
    assert_eq!(
        shown("{\"a\":\"1\"}\n{\"b\":\"2\"} [\"3\"]"),
        ["?.a", ".a=1", "?.b", ".b=2", ".=3"]
    );
    assert_eq!(
        shown("\u{feff}{\"a\":\"1\"}"),
        ["?.a", ".a=1"],
        "a byte order mark is skipped"
    );
    assert_eq!(shown("{} [] [{},[]] null"), Vec::<String>::new());
}

#[test]
fn a_lenient_parsers_json_is_read_too() {
    assert_eq!(
        shown(r#"{"a":NaN,"b":-Infinity,"c":"x",}"#),
        ["?.a", "?.b", "?.c", ".c=x"]
    );
}

#[test]
fn what_is_no_json_is_told() {
    for (body, at) in [
        (r#"{"a":"b""#, 8),
        (r#"{"a" "b"}"#, 5),
        (r#"{"a":"b"]"#, 8),
        (r#"{a:1}"#, 1),
        ("{\"a\":'b'}", 5),
        ("{\"a\":1;}", 6),
        ("\"open", 5),
        ("\"open\\", 6),
        ("]", 0),
        ("{\0\"\0", 1),
        ("{} trailing; x", 11),
    ] {
        assert_eq!(
            each(body.as_bytes(), |_| true),
            Err(Malformed { at }),
            "{body:?}"
        );
    }
    let deep = "[".repeat(DEPTH_MAX + 1);
    assert_eq!(
        each(deep.as_bytes(), |_| true),
        Err(Malformed { at: DEPTH_MAX })
    );
}

#[test]
fn enough_is_enough() {
    let mut seen = 0;
    let read = each(br#"{"user":"a","x":"b","y"#, |_| {
        seen += 1;
        false
    });
    assert_eq!((read, seen), (Ok(()), 1), "the fault behind is not reached");
}

#[test]
fn names_are_joined_and_cut() {
    assert_eq!(Name::new(b"a", b"b").as_bytes(), b"a.b");
    assert_eq!(Name::new(b"", b"b").as_bytes(), b"b");
    let long = [b'x'; 1000];
    assert_eq!(Name::new(&long, &long).as_bytes().len(), NAME_BYTES_MAX);
}

/// Whatever serde_json reads is read, and every text is shown that is not in a prompt;
/// whatever else arrives does no harm.
#[test]
fn documents_from_a_seed() {
    let parts = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"user\"",
        "\"messages\"",
        "\"\\u0041\\\"\"",
        "1",
        "true",
        "\"",
        "\\",
        " ",
        "\u{e9}",
    ];
    let mut random = 7_u64;
    let mut whole = 0;
    for _ in 0..50_000 {
        let mut text = String::new();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        for _ in 0..random >> 60 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text += parts[(random >> 33) as usize % parts.len()];
        }
        let mut bytes = 0;
        let read = each(text.as_bytes(), |shown| {
            bytes += shown.text.len();
            true
        });
        assert!(bytes <= text.len(), "{text}: no byte is shown twice");
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            whole += 1;
            assert_eq!(read, Ok(()), "{text}");
        }
    }
    assert!(whole > 100, "{whole} documents are too few");
}
