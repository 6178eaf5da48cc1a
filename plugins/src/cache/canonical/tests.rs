//! Which spellings share a form, and which texts have none.

use super::*;

/// The whole form, the outermost members in order.
fn form(text: &[u8]) -> Option<Vec<u8>> {
    let canonical = Canonical::new(text)?;
    let members = canonical
        .members()
        .map(|(key, value)| [key, b"=", value, b","].concat());
    Some(members.collect::<Vec<_>>().concat())
}

/// The form of a value.
fn value(text: &str) -> Option<Vec<u8>> {
    let text = format!(r#"{{"v":{text}}}"#);
    let canonical = Canonical::new(text.as_bytes())?;
    canonical.value("v").map(<[u8]>::to_vec)
}

#[test]
fn members_come_in_order_at_every_depth() {
    let written = br#" {"b":[ {"y":1 , "x":{"d":null,"c":true}} , 2 ] , "a":"1"} "#;
    let sorted = br#"{"a":"1","b":[{"x":{"c":true,"d":null},"y":1},2]}"#;
    assert_eq!(form(written), form(sorted));
    assert_eq!(
        form(sorted).unwrap(),
        br#"b=[{"y":1,"x":{"d":null,"c":true}},2],a="1","#,
    );
    assert_ne!(
        form(br#"{"a":[1,2]}"#),
        form(br#"{"a":[2,1]}"#),
        "elements have an order"
    );
    assert_eq!(form(b"{}").unwrap(), b"");
    let canonical = Canonical::new(written).unwrap();
    assert!(canonical.is_string("a", "1") && !canonical.is_string("a", "11"));
    assert!(
        canonical.value("y").is_none(),
        "only outermost members are found"
    );
}

#[test]
fn keys_that_are_prefixes_of_others_keep_their_place() {
    assert_eq!(
        form(br#"{"o":{"a":1,"ab":2,"":3,"b":4}}"#),
        form(br#"{"o":{"b":4,"ab":2,"":3,"a":1}}"#),
    );
}

#[test]
fn numbers_are_their_mathematical_value() {
    let same = [
        &["0", "-0", "0.0", "0e5", "-0.000e-7", "0E+9"][..],
        &["1", "1.0", "1e0", "10e-1", "0.1e1", "0.01E+2", "1.000"],
        &["-1", "-1.0", "-10e-1"],
        &["0.7", "7e-1", "0.70", "0.07e1", "70E-2"],
        &["1500", "15e2", "1.5e3", "1500.0"],
        &["12345678901234567890", "1.2345678901234567890e19"],
    ];
    let forms: Vec<_> = same
        .iter()
        .map(|spellings| {
            let first = value(spellings[0]).unwrap();
            for spelling in *spellings {
                assert_eq!(value(spelling).unwrap(), first, "{spelling}");
            }
            first
        })
        .collect();
    for (index, form) in forms.iter().enumerate() {
        assert!(!forms[..index].contains(form), "{}", same[index][0]);
    }
    assert_ne!(
        value("12345678901234567890"),
        value("12345678901234567891"),
        "floating point would take them for one"
    );
    assert_ne!(
        value("1e400"),
        value("1e401"),
        "both infinite in floating point"
    );
    assert_ne!(value("1"), value(r#""1""#), "a number is not its text");
    for (written, form) in [
        ("-12.50", "-12.5"),
        ("7e-2", "0.07"),
        ("15e2", "1500"),
        ("120e-1", "12"),
        ("18446744073709551615", "18446744073709551615"),
        ("1e19", "10000000000000000000"),
        ("1e20", "1e20"),
        ("100000000000000000000", "1e20"),
        ("0.0000000000000000001", "0.0000000000000000001"),
        ("1e-20", "1e-20"),
        ("12345678901234567890.5", "123456789012345678905e-1"),
        ("-1.50e+30", "-15e29"),
    ] {
        assert_eq!(value(written).unwrap(), form.as_bytes(), "{written}");
        assert_eq!(value(form).unwrap(), form.as_bytes(), "{form}");
    }
}

#[test]
fn strings_are_their_text() {
    let same = [
        (r#""A""#, r#""\u0041""#),
        (r#""é""#, r#""\u00e9""#),
        (r#""é""#, r#""\u00E9""#),
        (r#""😀""#, r#""\ud83d\ude00""#),
        (r#""/\"\\""#, r#""\/\u0022\u005C""#),
        (r#""\b\f\n\r\t""#, r#""\u0008\u000c\u000a\u000d\u0009""#),
    ];
    for (one, other) in same {
        assert_eq!(value(one).unwrap(), value(other).unwrap(), "{one} {other}");
    }
    assert_ne!(
        value(r#""é""#),
        value(r#""e\u0301""#),
        "not normalised: models tell them apart"
    );
    assert_ne!(value(r#""a\\u0041""#), value(r#""a\u0041""#));
    assert!(
        value(r#""\u0000""#).is_some(),
        "an escaped control character is text"
    );
}

#[test]
fn what_parsers_read_differently_has_no_form() {
    let texts: [&[u8]; 38] = [
        b"",
        b" ",
        b"[]",
        b"1",
        b"\"a\"",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"{},",
        b"{",
        b"}",
        br#"{"a":1,}"#,
        br#"{,"a":1}"#,
        br#"{"a" 1}"#,
        br#"{"a":1 "b":2}"#,
        br#"{"a":}"#,
        br#"{a:1}"#,
        br#"{"a":[1,]}"#,
        br#"{"a":[,1]}"#,
        br#"{"a":[1 2]}"#,
        br#"{"a":[1}"#,
        br#"{"a":{"b":1]}"#,
        br#"{"a":1,"a":1}"#,
        br#"{"a":1,"b":2,"a":3}"#,
        br#"{"x":{"b":1,"a":2,"\u0062":3}}"#,
        br#"{"a":"\ud800"}"#,
        br#"{"a":"\udc00\ud800"}"#,
        br#"{"a":"\ud800\u0041"}"#,
        br#"{"a":"\x"}"#,
        br#"{"a":"\u12"}"#,
        br#"{"a":"\u+123"}"#,
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"",
        br#"{"a":nul}"#,
        br#"{"a":NaN}"#,
        br#"{"a":True}"#,
        br#"{"a":/* */1}"#,
        br#"{'a':1}"#,
    ];
    for text in texts {
        assert!(form(text).is_none(), "{}", String::from_utf8_lossy(text));
    }
    for number in [
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "--1",
        "1e99999999999",
        "-a",
        "Infinity",
    ] {
        assert_eq!(value(number), None, "{number}");
    }
}

/// What one pass has written, another finds as it should be.
#[test]
fn what_is_in_its_form_is_left_where_it_is() {
    let text = r#" {"n":-0.5,"ab":["x\\ \"y\"\n",{"type":"t","text":"\t é"}],"c":"\\"} "#;
    let canonical = Canonical::new(text.as_bytes()).unwrap();
    assert!(matches!(canonical.form, Cow::Borrowed(_)));
    assert_eq!(canonical.value("n"), Some(&b"-0.5"[..]));
    for (one, form) in [
        (r#"[1,2.0]"#, "[1,2]"),
        (r#"["a\/b",1e2]"#, r#"["a/b",100]"#),
        (r#"{"b":1,"a": 2}"#, r#"{"b":1,"a":2}"#),
        (r#"{"a":1,"b":[ ]}"#, r#"{"b":[],"a":1}"#),
        (
            r#"{"a\u0062":1,"c":{"e":"\u00e9","f":null}}"#,
            r#"{"c":{"f":null,"e":"é"},"ab":1}"#,
        ),
    ] {
        assert_eq!(value(one).unwrap(), form.as_bytes(), "{one}");
        assert_eq!(value(form).unwrap(), form.as_bytes(), "{form}");
    }
}

#[test]
fn nesting_ends_where_the_scanner_of_the_body_ends_it() {
    let nested = |depth: usize| {
        let mut text = br#"{"a":"#.to_vec();
        text.extend(std::iter::repeat_n(b'[', depth - 1));
        text.extend(std::iter::repeat_n(b']', depth - 1));
        text.push(b'}');
        text
    };
    assert!(form(&nested(DEPTH_MAX)).is_some());
    assert!(form(&nested(DEPTH_MAX + 1)).is_none());
}

#[test]
fn what_is_deep_is_folded_alike_whatever_its_order() {
    let deep = |inner: &str| {
        let open = r#"{"k":"#.repeat(2 * FOLD_DEPTH);
        format!("{open}{inner}{}", "}".repeat(2 * FOLD_DEPTH))
    };
    let text = "x".repeat(100);
    let one = form(deep(&format!(r#"{{"a":"{text}","b":1}}"#)).as_bytes());
    let same = form(deep(&format!(r#"{{"b":1.0,"a":"{text}"}}"#)).as_bytes());
    let other = form(deep(&format!(r#"{{"a":"{text}","b":2}}"#)).as_bytes());
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert!(one.unwrap().len() < 100, "it was folded");
}

/// Each object's members stand in the opposite of their order, all the way down.
#[test]
fn disorder_at_every_depth_moves_no_byte_more_than_a_few_times() {
    let mut inner = "1".to_owned();
    for _ in 0..DEPTH_MAX - 2 {
        inner = format!(r#"{{"b":{inner},"a":"{}"}}"#, "x".repeat(50));
    }
    let text = format!(r#"{{"v":{inner}}}"#);
    let canonical = Canonical::new(text.as_bytes()).unwrap();
    assert!(
        canonical.form.len() < FOLD_DEPTH * 100,
        "what is written once more at each level is bounded: {}",
        canonical.form.len()
    );
}
