//! What is found in the bodies that SDKs send, and in those made to deceive.

use super::*;
use crate::edit::BodyEdits;
use crate::json::Fault;

fn facts(body: &str) -> Facts {
    Facts::of(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn fault(body: &str) -> Fault {
    let error = Facts::of(body.as_bytes()).expect_err(body);
    error.fault
}

fn with_usage(body: &'static str) -> Option<String> {
    let mut edits = BodyEdits::default();
    edits.add(facts(body).ask_for_usage()?);
    let edited = edits.apply(&[Bytes::from_static(body.as_bytes())]);
    Some(String::from_utf8(edited.concat()).unwrap())
}

#[test]
fn a_chat_completion() {
    let facts = facts(
        r#"{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},
            {"role":"user","content":[{"type":"text","text":"Hi"}]}],"tools":[{"type":"function",
            "function":{"name":"f","parameters":{}}}],"stream":true,"n":2,"max_tokens":null,
            "max_completion_tokens":100,"stream_options":{"include_usage":true}}"#,
    );
    assert_eq!(facts.model(), Some("gpt-4o"));
    assert!(facts.is_object && facts.stream && facts.include_usage);
    assert_eq!((facts.max_tokens, facts.n), (Some(100), Some(2)));
    assert_eq!((facts.messages, facts.tools, facts.inputs), (2, 1, 0));
    assert_eq!(facts.depth, 5);
    let text = "rolesystemcontentBe brief.roleusercontenttypetexttextHi";
    let tools = "typefunctionfunctionnamefparameters";
    assert_eq!(facts.text_bytes as usize, text.len() + tools.len());
    assert_eq!(facts.ask_for_usage(), None);
}

#[test]
fn completions_and_embeddings() {
    let one = facts(r#"{"prompt":"Once","best_of":3,"n":2}"#);
    assert_eq!((one.inputs, one.text_bytes, one.n), (0, 4, Some(3)));
    let many = facts(r#"{"input":["a","bc"]}"#);
    assert_eq!((many.inputs, many.messages, many.text_bytes), (2, 0, 3));
    let ids = facts(r#"{"prompt":[[1,22],[3]]}"#);
    assert_eq!((ids.inputs, ids.token_ids, ids.text_bytes), (2, 3, 0));
    let ids = facts(r#"{"input":[1,-2,3.0]}"#);
    assert_eq!((ids.inputs, ids.token_ids), (0, 3));
    assert_eq!(facts(r#"{"seed":[1,2]}"#).token_ids, 0);
}

#[test]
fn responses_and_messages() {
    let response = facts(
        r#"{"input":[{"role":"user","content":"Hi"}],"instructions":"Go","max_output_tokens":7}"#,
    );
    assert_eq!((response.messages, response.max_tokens), (1, Some(7)));
    assert_eq!(response.text_bytes, 19);
    let message = facts(
        r#"{"system":"Be","messages":[{"role":"user","content":"Hi"}],"max_tokens":1024,"tools":[]}"#,
    );
    assert_eq!((message.messages, message.tools), (1, 0));
    assert_eq!((message.max_tokens, message.text_bytes), (Some(1024), 19));
    assert!(!message.stream);
}

#[test]
fn text_is_counted_without_its_escapes() {
    assert_eq!(facts(r#"{"a":"\n\"\\x"}"#).text_bytes, 4);
    assert_eq!(facts(r#"{"a":"\u4e2d\u6587"}"#).text_bytes, 6);
    assert_eq!(facts(r#"{"a":"中文"}"#).text_bytes, 6);
    assert_eq!(facts(r#"{"model":"gpt","a":{"key":1}}"#).text_bytes, 3);
}

#[test]
fn a_number_is_the_whole_number_that_is_not_below_it() {
    for (number, wanted) in [
        ("0", Some(0)),
        ("4096", Some(4096)),
        ("100.0", Some(100)),
        ("99.2", Some(100)),
        ("1e9", Some(1_000_000_000)),
        ("1E400", Some(u64::MAX)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("-1", None),
        ("-1e300", None),
        ("-0", Some(0)),
        ("null", None),
    ] {
        let body = format!(r#"{{"max_tokens":{number} }}"#);
        assert_eq!(facts(&body).max_tokens, wanted, "{number}");
    }
    let largest = facts(r#"{"max_tokens":5,"max_completion_tokens":9,"max_output_tokens":7}"#);
    assert_eq!(largest.max_tokens, Some(9));
    let wanted = Fault::Mistyped("n", "a number");
    let long = format!("1.{}", "0".repeat(64));
    for number in [
        "\"5\"", "true", "[5]", "{}", "1x", "nul", "--1", "1e", &long,
    ] {
        assert_eq!(fault(&format!(r#"{{"n":{number}}}"#)), wanted, "{number}");
    }
}

#[test]
fn a_field_that_two_parsers_may_read_differently_is_refused() {
    for (body, wanted) in [
        (
            r#"{"max_tokens":1,"max_tokens":9000}"#,
            Fault::Duplicate("max_tokens"),
        ),
        (
            r#"{"max_tokens":1,"max\u005ftokens":9000}"#,
            Fault::Duplicate("max_tokens"),
        ),
        (
            r#"{"messages":[],"messages":[1]}"#,
            Fault::Duplicate("messages"),
        ),
        (r#"{"Max_Tokens":1}"#, Fault::Misspelled("max_tokens")),
        (r#"{"max_to\u212aens":1}"#, Fault::Misspelled("max_tokens")),
        (r#"{"max_toKens":1}"#, Fault::Misspelled("max_tokens")),
        (r#"{"ſtream":true}"#, Fault::Misspelled("stream")),
        (r#"{"N":5}"#, Fault::Misspelled("n")),
        (
            r#"{"stream":"true"}"#,
            Fault::Mistyped("stream", "true or false"),
        ),
        (
            r#"{"stream":1}"#,
            Fault::Mistyped("stream", "true or false"),
        ),
        (
            r#"{"stream":truer}"#,
            Fault::Mistyped("stream", "true or false"),
        ),
        (
            r#"{"stream_options":[]}"#,
            Fault::Mistyped("stream_options", "an object"),
        ),
        (
            r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#,
            Fault::Duplicate("include_usage"),
        ),
        (
            r#"{"stream_options":{"Include_usage":true}}"#,
            Fault::Misspelled("include_usage"),
        ),
    ] {
        assert_eq!(fault(body), wanted, "{body}");
    }
    let elsewhere = r#"{"metadata":{"n":1,"n":2,"Stream":1,"include_usage":0,"model":5}}"#;
    assert!(facts(elsewhere).is_object, "only the fields in their place");
    let others = r#"{"include_usage":1,"temperature":1,"temperature":2}"#;
    assert!(facts(others).is_object, "nothing acts on these");
}

#[test]
fn the_usage_is_asked_for_where_the_client_did_not() {
    for (body, wanted) in [
        ("{}", r#"{"stream_options":{"include_usage":true}}"#),
        (
            r#" { "stream":true}"#,
            r#" {"stream_options":{"include_usage":true}, "stream":true}"#,
        ),
        (
            r#"{"stream_options" : null}"#,
            r#"{"stream_options" : {"include_usage":true}}"#,
        ),
        (
            r#"{"stream_options":{ },"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true },"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"a":[{}]},"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true,"a":[{}]},"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage": false },"n":1}"#,
            r#"{"stream_options":{"include_usage": true },"n":1}"#,
        ),
        (
            r#"{"stream_options":{"a":1,"include_usage":null}}"#,
            r#"{"stream_options":{"a":1,"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(with_usage(body).as_deref(), Some(wanted), "{body}");
    }
    assert_eq!(
        with_usage(r#"{"stream_options":{"include_usage":true}}"#),
        None
    );
    assert_eq!(Facts::default().ask_for_usage(), None);
}
