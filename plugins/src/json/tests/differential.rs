//! The scanner against `serde_json`, on documents made from a seed.

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;

use super::{Fault, Scan, scan};

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

/// What the scanner must say of an object that `serde_json` accepts.
fn expected(members: &[(String, Value)]) -> Result<Option<&str>, Fault> {
    let mut found = None;
    for (key, value) in members {
        match (key.as_str(), value) {
            ("model", _) if found.is_some() => return Err(Fault::DuplicateModel),
            ("model", Value::String(value)) => found = Some(value.as_str()),
            ("model", _) => return Err(Fault::ModelNotString),
            (key, _) if key.eq_ignore_ascii_case("model") => return Err(Fault::MisspelledModel),
            _ => {}
        }
    }
    Ok(found)
}

fn compare(text: &[u8], scanned: &Scan) {
    let Ok(Members(members)) = serde_json::from_slice(text) else {
        return;
    };
    let shown = String::from_utf8_lossy(text);
    match (expected(&members), scanned) {
        (Ok(None), Ok(None)) => {}
        (Ok(Some(value)), Ok(Some(field))) => {
            assert_eq!(field.value(), value, "{shown}");
            let token: String = serde_json::from_slice(&text[field.start()..field.end()]).unwrap();
            assert_eq!(token, value, "the range must be the token's: {shown}");
        }
        (Err(fault), Err(error)) => assert_eq!(error.fault, fault, "{shown}"),
        (wanted, got) => panic!("{shown}: {wanted:?} expected, not {got:?}"),
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
        "messages", "model", "model", "Model", "mode", "modell", "", "role", "moDel",
    ];
    match random.below(4) {
        0 => text(random),
        // Mostly keys that leave the object acceptable.
        1 | 2 => random
            .one(&["messages", "role", "model", "stream", "a"])
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
        found += usize::from(matches!(scanned, Ok(Some(_))));
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
