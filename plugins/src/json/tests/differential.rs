//! The scanner against `serde_json`, on documents made from a seed.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::{Fault, Scan, scan};
use crate::edit::BodyEdits;
use crate::facts::Facts;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The members of an object in order, duplicates included.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Fields that may be there once, and only in this spelling. Of the rest of the known
/// ones the documents here have none.
const KNOWN: [&str; 6] = [
    "model",
    "messages",
    "stream",
    "n",
    "prompt",
    "stream_options",
];

/// What the scanner must say of an object that `serde_json` accepts: the members of
/// interest by name.
fn expected(members: &[(String, Value)]) -> Result<HashMap<&str, &Value>, Fault> {
    let mut found = HashMap::new();
    for (key, value) in members {
        let Some(name) = KNOWN.iter().find(|name| key.eq_ignore_ascii_case(name)) else {
            continue;
        };
        if key != name {
            return Err(Fault::Misspelled(name));
        }
        if found.insert(*name, value).is_some() {
            return Err(Fault::Duplicate(name));
        }
        let wanted = match (*name, value) {
            ("messages" | "prompt", _) | ("model", Value::String(_)) => continue,
            ("model", _) => "a string",
            (_, Value::Null) | ("stream", Value::Bool(_)) | ("n", Value::Number(_)) => continue,
            ("stream_options", Value::Object(_)) => continue,
            ("stream", _) => "true or false",
            ("n", _) => "a number",
            _ => "an object",
        };
        return Err(Fault::Mistyped(name, wanted));
    }
    Ok(found)
}

fn compare(text: &[u8], scanned: &Scan) {
    let Ok(Members(members)) = serde_json::from_slice(text) else {
        return;
    };
    let shown = String::from_utf8_lossy(text);
    match (expected(&members), scanned) {
        (Ok(found), Ok(facts)) => {
            let value = |name| found.get(name).copied().unwrap_or(&Value::Null);
            assert_eq!(facts.model(), value("model").as_str(), "{shown}");
            if let Some(field) = &facts.model {
                let token: String = serde_json::from_slice(&text[field.start()..field.end()])
                    .expect("the range must be the token's");
                assert_eq!(token, field.value(), "{shown}");
            }
            assert_eq!(
                facts.stream,
                value("stream") == &Value::Bool(true),
                "{shown}"
            );
            let n = value("n").as_f64().filter(|n| *n >= 0.0);
            assert_eq!(facts.n, n.map(|n| n.ceil() as u64), "{shown}");
            let length = |name| value(name).as_array().map_or(0, Vec::len);
            assert_eq!(facts.messages, length("messages") as u64, "{shown}");
            assert_eq!(facts.depth, depth(text), "{shown}");
            let ids = numbers(value("prompt"));
            let ids = ids - usize::from(value("prompt").is_number());
            // `serde_json` drops all but the last of equal keys further in.
            assert!(facts.token_ids >= ids as u64, "{shown}");
            check_usage(text, facts);
        }
        (Err(fault), Err(error)) => assert_eq!(error.fault, fault, "{shown}"),
        (wanted, got) => panic!("{shown}: {wanted:?} expected, not {got:?}"),
    }
}

/// Asking for the usage must leave a document that asks for it, and the rest as it was.
fn check_usage(text: &[u8], facts: &Facts) {
    let mut edits = BodyEdits::default();
    let Some(edit) = facts.ask_for_usage() else {
        assert!(facts.include_usage);
        return;
    };
    edits.add(edit);
    let edited = edits.apply(&[Bytes::copy_from_slice(text)]).concat();
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
    let shown = String::from_utf8_lossy(&edited);
    let mut edited = read(&edited).unwrap_or_else(|| panic!("{shown} is no JSON"));
    assert_eq!(edited["stream_options"]["include_usage"], true, "{shown}");
    let mut before = read(text).unwrap();
    for value in [&mut before, &mut edited] {
        value["stream_options"]["include_usage"] = Value::Null;
    }
    assert_eq!(before, edited, "{shown}");
}

/// The deepest nesting of brackets outside strings.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn numbers(value: &Value) -> usize {
    match value {
        Value::Number(_) => 1,
        Value::Array(list) => list.iter().map(numbers).sum(),
        Value::Object(map) => map.values().map(numbers).sum(),
        _ => 0,
    }
}

fn space(random: &mut Random, json: &mut String) {
    for _ in 0..random.one(&[0, 0, 0, 1, 2]) {
        json.push(random.one(&[' ', '\t', '\n', '\r']));
    }
}

/// Writes `text`, each character in one of the ways that JSON has for it.
fn string(random: &mut Random, json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        let short = match c {
            '"' | '\\' | '/' => Some(c),
            '\n' => Some('n'),
            '\t' => Some('t'),
            '\u{8}' => Some('b'),
            _ => None,
        };
        match (random.below(6), short) {
            (1..=4, Some(short)) => json.extend(['\\', short]),
            (0, _) | (_, Some(_)) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    match random.below(2) {
                        0 => json.push_str(&format!("\\u{unit:04x}")),
                        _ => json.push_str(&format!("\\u{unit:04X}")),
                    }
                }
            }
            _ => json.push(c),
        }
    }
    json.push('"');
}

fn text(random: &mut Random) -> String {
    let length = random.one(&[0, 1, 3, 8, 20]);
    let alphabet = [
        'a', 'm', '"', '\\', '/', '\n', '\t', '\u{8}', 'é', '😀', '{', '}', ',', ':',
    ];
    (0..length).map(|_| random.one(&alphabet)).collect()
}

fn key(random: &mut Random) -> String {
    let keys = [
        "messages",
        "model",
        "model",
        "Model",
        "mode",
        "modell",
        "",
        "role",
        "moDel",
        "streaM",
        "n",
        "prompt",
        "stream_options",
        "include_usage",
    ];
    match random.below(4) {
        0 => text(random),
        // Mostly keys that leave the object acceptable.
        1 | 2 => random
            .one(&["messages", "role", "model", "prompt", "a", "n"])
            .to_owned(),
        _ => random.one(&keys).to_owned(),
    }
}

fn value(random: &mut Random, json: &mut String, depth: usize) {
    match random.below(if depth > 5 { 4 } else { 8 }) {
        0 => json.push_str(random.one(&["true", "false", "null"])),
        1 => json.push_str(random.one(&["0", "-1", "1.5e-3", "12345678901", "1E+2"])),
        2..=5 => {
            let text = text(random);
            string(random, json, &text);
        }
        6 => {
            json.push('[');
            space(random, json);
            for index in 0..random.below(4) {
                if index > 0 {
                    json.push(',');
                }
                space(random, json);
                value(random, json, depth + 1);
                space(random, json);
            }
            json.push(']');
        }
        _ => object(random, json, depth + 1),
    }
}

fn object(random: &mut Random, json: &mut String, depth: usize) {
    json.push('{');
    space(random, json);
    for index in 0..random.below(5) {
        if index > 0 {
            json.push(',');
        }
        space(random, json);
        let key = key(random);
        string(random, json, &key);
        space(random, json);
        json.push(':');
        space(random, json);
        value(random, json, depth);
        space(random, json);
    }
    json.push('}');
}

fn document(random: &mut Random) -> Vec<u8> {
    let mut json = String::new();
    space(random, &mut json);
    object(random, &mut json, 0);
    space(random, &mut json);
    json.into_bytes()
}

/// The same result must come of the text in one piece, in single bytes, and in two
/// pieces divided anywhere.
fn check_divisions(text: &[u8]) -> Scan {
    let whole = scan([text]);
    assert_eq!(
        scan(text.chunks(1)),
        whole,
        "{}",
        String::from_utf8_lossy(text)
    );
    for middle in 0..=text.len() {
        let (left, right) = text.split_at(middle);
        let divided = scan([left, right]);
        assert_eq!(
            divided,
            whole,
            "at {middle}: {}",
            String::from_utf8_lossy(text)
        );
    }
    whole
}

#[test]
fn it_agrees_on_valid_documents_however_they_are_divided() {
    let mut random = Random(1);
    let mut found = 0;
    for _ in 0..3_000 {
        let text = document(&mut random);
        assert!(
            serde_json::from_slice::<Members>(&text).is_ok(),
            "the generator writes valid JSON: {}",
            String::from_utf8_lossy(&text)
        );
        let scanned = check_divisions(&text);
        compare(&text, &scanned);
        found += usize::from(scanned.is_ok_and(|facts| facts.model().is_some()));
    }
    assert!(found > 200, "too few documents have a model: {found}");
}

#[test]
fn it_agrees_on_damaged_documents_that_are_still_valid() {
    let mut random = Random(2);
    let bytes = b"\"\\{}[]:,u0 \nm\x00\xff";
    let mut accepted = 0;
    for _ in 0..60_000 {
        let mut text = document(&mut random);
        for _ in 0..=random.below(3) {
            let at = random.below(text.len());
            match random.below(3) {
                0 => text[at] = random.one(bytes),
                1 => text.insert(at, random.one(bytes)),
                _ => _ = text.remove(at),
            }
            if text.is_empty() {
                break;
            }
        }
        let scanned = scan([&text[..]]);
        assert_eq!(scan(text.chunks(3)), scanned);
        accepted += usize::from(scanned.is_ok());
        compare(&text, &scanned);
    }
    assert!(accepted > 1_000, "too few documents survive: {accepted}");
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut random = Random(3);
    let likely = b"{}[]\":,\\u0123 model\"\"{{}}tfn-";
    for _ in 0..100_000 {
        let length = random.below(64);
        let mut text: Vec<u8> = vec![b'{'; usize::from(random.below(2) == 0)];
        text.extend((0..length).map(|_| match random.below(8) {
            0 => random.next() as u8,
            _ => random.one(likely),
        }));
        let scanned = scan([&text[..]]);
        assert_eq!(scan(text.chunks(1)), scanned);
        compare(&text, &scanned);
    }
}
