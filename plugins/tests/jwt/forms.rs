//! Attacks on the form of a token, on its claims and on its signature.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use penstock_config::plugin::jwt::Algorithm;
use penstock_plugins::jwt::{Fault, TOKEN_BYTES_MAX};
use serde_json::json;

use crate::MAIN;
use crate::attacks::{Attacks, HEADER};
use crate::signer::{NOW, b64, claims};

pub(crate) fn encoding(attacks: &mut Attacks<'_>) {
    let good = attacks.signer.good(Algorithm::RS256, MAIN);
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!()
    };
    attacks.add("nothing", "", Fault::Parts);
    attacks.add("two dots", "..", Fault::Header);
    attacks.add("one part", header, Fault::Parts);
    attacks.add("two parts", format!("{header}.{payload}"), Fault::Parts);
    attacks.add("four parts", format!("{good}."), Fault::Parts);
    attacks.add(
        "a hundred thousand dots",
        ".".repeat(100_000),
        Fault::TooLong,
    );
    attacks.add(
        "sixteen thousand dots",
        ".".repeat(TOKEN_BYTES_MAX),
        Fault::Parts,
    );
    attacks.add("a megabyte", "a".repeat(1 << 20), Fault::TooLong);
    attacks.add(
        "a megabyte of payload",
        format!("{header}.{}.{signature}", "a".repeat(1 << 20)),
        Fault::TooLong,
    );
    attacks.add(
        "one byte too long",
        format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX + 1 - good.len())),
        Fault::TooLong,
    );
    for (name, token) in [
        ("padding", format!("{header}.{payload}.{signature}==")),
        (
            "padding in the payload",
            format!("{header}.{payload}=.{signature}"),
        ),
        ("a space", format!("{header}.{payload}. {signature}")),
        ("a line break", format!("{header}.{payload}.{signature}\n")),
        ("a zero byte", format!("{header}.{payload}.{signature}\0")),
        ("an accent", format!("{header}.{payload}é.{signature}")),
        (
            "a percent escape",
            format!("{header}.{payload}%3D.{signature}"),
        ),
        (
            "a lone last character",
            format!("{header}.{payload}.{signature}AAA"),
        ),
    ] {
        attacks.add(name, token, Fault::Encoding);
    }
    // 256 bytes end in a character of which four bits are unused: each of the other
    // fifteen spellings decodes to the same signature for a lax reader.
    for spelling in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars() {
        let (rest, last) = signature.split_at(signature.len() - 1);
        let canonical = "AQgw".contains(spelling);
        if !canonical {
            attacks.add(
                format!("trailing bits {spelling} for {last}"),
                format!("{header}.{payload}.{rest}{spelling}"),
                Fault::Encoding,
            );
        }
    }
    let odd = r#"{"alg":"RS256","kid":"RS256","x":"~~~????"}"#;
    for (name, text) in [
        ("standard", STANDARD.encode(odd)),
        ("unpadded", STANDARD_NO_PAD.encode(odd)),
        ("padded", URL_SAFE.encode(odd)),
    ] {
        attacks.add(
            format!("{name} base64"),
            format!("{text}.{payload}.{signature}"),
            Fault::Encoding,
        );
    }
}

pub(crate) fn json_oddities(attacks: &mut Attacks<'_>) {
    for (name, header) in [
        (
            "alg twice, the bad one last",
            r#"{"alg":"RS256","kid":"RS256","alg":"none"}"#,
        ),
        (
            "alg twice, the bad one first",
            r#"{"alg":"none","kid":"RS256","alg":"RS256"}"#,
        ),
        (
            "alg twice, one escaped",
            r#"{"alg":"RS256","kid":"RS256","\u0061lg":"none"}"#,
        ),
        (
            "kid twice",
            r#"{"alg":"RS256","kid":"RS256","kid":"RS256"}"#,
        ),
        (
            "an unknown member twice",
            r#"{"alg":"RS256","kid":"RS256","x":1,"x":2}"#,
        ),
        (
            "a member twice further in",
            r#"{"alg":"RS256","kid":"RS256","x":[{"a":1,"a":2}]}"#,
        ),
        ("a list", r#"["RS256"]"#),
        ("a text", r#""RS256""#),
        ("nothing", ""),
        ("two objects", r#"{"alg":"RS256","kid":"RS256"}{}"#),
        ("a comment", r#"{"alg":"RS256","kid":"RS256"/**/}"#),
        ("a trailing comma", r#"{"alg":"RS256","kid":"RS256",}"#),
        ("single quotes", "{'alg':'RS256','kid':'RS256'}"),
        (
            "a byte order mark",
            "\u{feff}{\"alg\":\"RS256\",\"kid\":\"RS256\"}",
        ),
        (
            "half a surrogate pair",
            r#"{"alg":"RS256","kid":"RS256","x":"\ud800"}"#,
        ),
    ] {
        attacks.header(&format!("header: {name}"), header, Fault::Header);
    }
    let deep = format!(
        r#"{{"alg":"RS256","x":{}{}}}"#,
        "[".repeat(4000),
        "]".repeat(4000)
    );
    attacks.header("header: four thousand brackets", &deep, Fault::Header);
    let signer = attacks.signer;
    let raw = |payload: &[u8]| {
        let signed = format!("{}.{}", b64(HEADER), b64(payload));
        format!(
            "{signed}.{}",
            b64(signer.sign(Algorithm::RS256, signed.as_bytes()))
        )
    };
    let good = claims(MAIN, json!({}));
    let with = |member: &str| format!("{},{member}}}", good.trim_end_matches('}'));
    for (name, text) in [
        ("exp twice", with(r#""exp":9999999999"#)),
        ("sub twice", with(r#""sub":"admin""#)),
        ("iss twice", with(r#""iss":"https://many.example/""#)),
        ("aud twice, one escaped", with(r#""\u0061ud":"penstock""#)),
        (
            "a member twice further in",
            with(r#""org":{"id":1,"id":2}"#),
        ),
        ("a text", "\"claims\"".to_owned()),
        ("null", "null".to_owned()),
        ("a list", format!("[{good}]")),
        ("two objects", format!("{good}{good}")),
        ("a token in the token", signer.good(Algorithm::RS256, MAIN)),
        ("a number beyond all", with(r#""x":1e999"#)),
        ("NaN", with(r#""x":NaN"#)),
        (
            "deep",
            with(&format!(r#""x":{}{}"#, "[".repeat(3000), "]".repeat(3000))),
        ),
    ] {
        attacks.claims(&format!("claims: {name}"), &text, Fault::Claims);
    }
    attacks.add(
        "claims: not UTF-8",
        raw(b"{\"iss\":\"\xff\xfe\"}"),
        Fault::Claims,
    );
    attacks.add("claims: nothing", raw(b""), Fault::Claims);
}

pub(crate) fn dates(attacks: &mut Attacks<'_>) {
    for (name, changes, fault) in [
        ("exp missing", json!({ "exp": null }), Fault::Date),
        (
            "exp a text",
            json!({ "exp": (NOW + 600).to_string() }),
            Fault::Date,
        ),
        ("exp an empty text", json!({ "exp": "" }), Fault::Date),
        ("exp true", json!({ "exp": true }), Fault::Date),
        ("exp a list", json!({ "exp": [NOW + 600] }), Fault::Date),
        ("exp an object", json!({ "exp": {} }), Fault::Date),
        ("exp negative", json!({ "exp": -1 }), Fault::Date),
        ("exp a little negative", json!({ "exp": -0.5 }), Fault::Date),
        (
            "exp in milliseconds",
            json!({ "exp": (NOW + 600) * 1000 }),
            Fault::Date,
        ),
        ("exp u64::MAX", json!({ "exp": u64::MAX }), Fault::Date),
        ("exp i64::MIN", json!({ "exp": i64::MIN }), Fault::Date),
        ("exp 1e300", json!({ "exp": 1e300 }), Fault::Date),
        ("exp zero", json!({ "exp": 0 }), Fault::Expired),
        (
            "exp a float in the past",
            json!({ "exp": NOW as f64 - 60.5 }),
            Fault::Expired,
        ),
        ("exp just over", json!({ "exp": NOW - 60 }), Fault::Expired),
        (
            "nbf in the future",
            json!({ "nbf": NOW + 61 }),
            Fault::Premature,
        ),
        ("nbf a text", json!({ "nbf": "0" }), Fault::Date),
        ("nbf negative", json!({ "nbf": -1 }), Fault::Date),
        (
            "iat in the future",
            json!({ "iat": NOW + 3600 }),
            Fault::Premature,
        ),
        ("iat a text", json!({ "iat": "now" }), Fault::Date),
    ] {
        attacks.claims(name, &claims(MAIN, changes), fault);
    }
    // serde_json writes no null for us: `claims` takes it for "without".
    let null = claims(MAIN, json!({})).replace(&format!("\"exp\":{}", NOW + 600), "\"exp\":null");
    attacks.claims("exp null", &null, Fault::Date);
    let huge = null.replace("\"exp\":null", &format!("\"exp\":{}", "9".repeat(400)));
    attacks.claims("exp of four hundred digits", &huge, Fault::Claims);
}

pub(crate) fn who(attacks: &mut Attacks<'_>) {
    for (name, changes, fault) in [
        ("iss missing", json!({ "iss": null }), Fault::Issuer),
        (
            "iss of a stranger",
            json!({ "iss": "https://attacker.example/" }),
            Fault::Issuer,
        ),
        (
            "iss without its slash",
            json!({ "iss": "https://main.example" }),
            Fault::Issuer,
        ),
        (
            "iss in capitals",
            json!({ "iss": "HTTPS://MAIN.EXAMPLE/" }),
            Fault::Issuer,
        ),
        ("iss a list", json!({ "iss": [MAIN] }), Fault::Issuer),
        (
            "iss with more behind",
            json!({ "iss": format!("{MAIN}\0") }),
            Fault::Issuer,
        ),
        ("aud missing", json!({ "aud": null }), Fault::Audience),
        (
            "aud of someone else",
            json!({ "aud": "other" }),
            Fault::Audience,
        ),
        (
            "aud that begins alike",
            json!({ "aud": "penstock2" }),
            Fault::Audience,
        ),
        (
            "aud with spaces",
            json!({ "aud": "penstock other" }),
            Fault::Audience,
        ),
        ("aud empty", json!({ "aud": [] }), Fault::Audience),
        (
            "aud nested",
            json!({ "aud": [["penstock"]] }),
            Fault::Audience,
        ),
        (
            "aud with a number",
            json!({ "aud": ["penstock", 1] }),
            Fault::Audience,
        ),
        (
            "aud an object",
            json!({ "aud": { "penstock": true } }),
            Fault::Audience,
        ),
        ("aud true", json!({ "aud": true }), Fault::Audience),
        ("sub missing", json!({ "sub": null }), Fault::Identity),
        ("sub empty", json!({ "sub": "" }), Fault::Identity),
        (
            "sub an object",
            json!({ "sub": { "a": 1 } }),
            Fault::Identity,
        ),
        (
            "sub with a line break",
            json!({ "sub": "alice\r\nx-admin: 1" }),
            Fault::Identity,
        ),
        (
            "sub too long",
            json!({ "sub": "a".repeat(513) }),
            Fault::Identity,
        ),
    ] {
        attacks.claims(name, &claims(MAIN, changes), fault);
    }
}

pub(crate) fn signatures(attacks: &mut Attacks<'_>) {
    let signer = attacks.signer;
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        let good = signer.good(algorithm, MAIN);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let length = signer.sign(algorithm, b"").len();
        for (name, bytes) in [
            ("none", vec![]),
            ("one byte", vec![0]),
            ("zeros", vec![0; length]),
            ("ones", vec![0xff; length]),
            ("too short", vec![1; length - 1]),
            ("too long", vec![1; length + 1]),
            (
                "of something else",
                signer.sign(algorithm, b"something else"),
            ),
        ] {
            let token = format!("{signed}.{}", b64(bytes));
            attacks.add(
                format!("{algorithm}, signature: {name}"),
                token,
                Fault::Signature,
            );
        }
        let swapped = signed.replace(
            &b64(claims(MAIN, json!({}))),
            &b64(claims(MAIN, json!({ "sub": "admin" }))),
        );
        attacks.add(
            format!("{algorithm}, other claims"),
            format!("{swapped}.{signature}"),
            Fault::Signature,
        );
    }
    // r or s of zero, and s of the group's order: the forgery of CVE-2022-21449.
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let good = signer.good(Algorithm::ES256, MAIN);
    let (signed, _) = good.rsplit_once('.').unwrap();
    for (name, r, s) in [
        ("r 0", [0; 32], [1; 32]),
        ("s 0", [1; 32], [0; 32]),
        ("r the order", order, [1; 32]),
        ("s the order", [1; 32], order),
        ("both the order", order, order),
    ] {
        let token = format!("{signed}.{}", b64([r, s].concat()));
        attacks.add(format!("ES256, {name}"), token, Fault::Signature);
    }
    // The DER form of a signature belongs to X.509 and not to tokens.
    let mut der = vec![0x30, 0x44, 0x02, 0x20];
    der.extend([1; 32]);
    der.extend([0x02, 0x20]);
    der.extend([1; 32]);
    attacks.add(
        "ES256, in DER",
        format!("{signed}.{}", b64(der)),
        Fault::Signature,
    );
}
