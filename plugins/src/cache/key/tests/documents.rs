//! JSON documents made from a seed, and the many ways to write each.

use std::fmt::Write;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn one<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(super) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// A value. Two are equal if and only if they mean the same.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// So many units of 10 to the power of the exponent. The units do not end in zero
    /// unless they are zero.
    Number {
        units: i64,
        exponent: i32,
    },
    Text(String),
    List(Vec<Value>),
    /// No key stands in it twice.
    Object(Vec<(String, Value)>),
}

/// Object members have no order.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (
                Self::Number { units, exponent },
                Self::Number {
                    units: other_units,
                    exponent: other_exponent,
                },
            ) => units == other_units && (exponent == other_exponent || *units == 0),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, value)| {
                        b.iter().any(|(other, held)| other == key && held == value)
                    })
            }
            _ => false,
        }
    }
}

const KEYS: [&str; 14] = [
    "role", "content", "type", "text", "a", "b", "ab", "", "user", "metadata", "é", "e\u{301}",
    "\"", "n",
];

const TEXTS: [&str; 16] = [
    "user",
    "Hello",
    "",
    " ",
    "a\"b\\c",
    "line\nbreak\ttab",
    "é",
    "e\u{301}",
    "😀 日本語",
    "\0\u{1f}",
    "1",
    "null",
    "true",
    "[]",
    "{\"a\":1}",
    "\u{7f}\u{2028}/",
];

pub(super) fn number(random: &mut Random) -> Value {
    let mut units = random.one(&[0, 1, -1, 2, 7, 25, 4096, 1_234_567_890_123_456_789]);
    if random.chance(3) {
        units = random.below(100_000) as i64 - 50_000;
    }
    let mut exponent = random.one(&[0, 0, 0, -1, -2, 3, 20]);
    while units != 0 && units % 10 == 0 {
        units /= 10;
        exponent += 1;
    }
    Value::Number { units, exponent }
}

pub(super) fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => Value::Null,
        1 => Value::Bool(random.chance(2)),
        2 | 3 => number(random),
        4 | 5 => Value::Text(random.one(&TEXTS).to_owned()),
        6 | 7 => {
            let length = random.below(4);
            Value::List((0..length).map(|_| value(random, depth - 1)).collect())
        }
        _ => Value::Object(members(random, &KEYS, 4, depth - 1)),
    }
}

/// Up to `most` members with keys of these.
fn members(random: &mut Random, keys: &[&str], most: usize, depth: usize) -> Vec<(String, Value)> {
    let mut members: Vec<(String, Value)> = Vec::new();
    for _ in 0..random.below(most + 1) {
        let key = random.one(keys);
        if members.iter().all(|(other, _)| other != key) {
            members.push((key.to_owned(), value(random, depth)));
        }
    }
    members
}

/// A request's body: the outermost members.
pub(super) fn body(random: &mut Random) -> Vec<(String, Value)> {
    const FIELDS: [&str; 9] = [
        "messages",
        "temperature",
        "max_tokens",
        "stream",
        "tools",
        "stop",
        "n",
        "seed",
        "x",
    ];
    let mut body = members(random, &FIELDS, 5, 3);
    body.push(("model".to_owned(), Value::Text("m".to_owned())));
    if random.chance(8) {
        // Long enough to be hashed by itself.
        body.push(("long".to_owned(), Value::Text("lorem ipsum\n".repeat(100))));
    }
    if random.chance(8) {
        // Deep enough to be folded.
        let mut deep = value(random, 2);
        for _ in 0..9 {
            deep = Value::Object(vec![("k".to_owned(), deep), ("j".to_owned(), Value::Null)]);
        }
        body.push(("deep".to_owned(), deep));
    }
    body
}

/// Writes values in ways that a seed chooses.
pub(super) struct Scribe<'r>(pub(super) &'r mut Random);

impl Scribe<'_> {
    pub(super) fn object(&mut self, out: &mut String, members: &[(String, Value)]) {
        let mut order: Vec<&(String, Value)> = members.iter().collect();
        self.0.shuffle(&mut order);
        out.push('{');
        for (index, (key, value)) in order.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.space(out);
            self.text(out, key);
            self.space(out);
            out.push(':');
            self.space(out);
            self.value(out, value);
            self.space(out);
        }
        out.push('}');
    }

    fn value(&mut self, out: &mut String, value: &Value) {
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number { units, exponent } => self.number(out, *units, *exponent),
            Value::Text(text) => self.text(out, text),
            Value::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.space(out);
                    self.value(out, item);
                    self.space(out);
                }
                out.push(']');
            }
            Value::Object(members) => self.object(out, members),
        }
    }

    fn space(&mut self, out: &mut String) {
        if self.0.chance(4) {
            out.push_str(self.0.one(&[" ", "\n", "\t", "\r\n", "  "]));
        }
    }

    fn number(&mut self, out: &mut String, units: i64, exponent: i32) {
        if units == 0 {
            out.push_str(self.0.one(&["0", "-0", "0.0", "0e3", "-0.00E-1"]));
            return;
        }
        let sign = if units < 0 { "-" } else { "" };
        let digits = units.unsigned_abs().to_string();
        out.push_str(sign);
        match self.0.below(4) {
            // As an integer or a plain fraction.
            0 if (0..25).contains(&exponent) => {
                out.push_str(&digits);
                out.extend(std::iter::repeat_n('0', exponent as usize));
                out.push_str(self.0.one(&["", ".0", ".000"]));
            }
            // With the point after the first digit.
            1 => {
                let (first, rest) = digits.split_at(1);
                let rest = if rest.is_empty() { "0" } else { rest };
                let exponent = exponent + digits.len() as i32 - 1;
                let _ = write!(out, "{first}.{rest}{}{exponent}", self.0.one(&["e", "E"]));
            }
            // With all digits after the point.
            2 => {
                let exponent = exponent + digits.len() as i32;
                let plus = if exponent >= 0 {
                    self.0.one(&["", "+"])
                } else {
                    ""
                };
                let _ = write!(out, "0.{digits}0e{plus}{exponent}");
            }
            // With more zeros and a smaller exponent.
            _ => {
                let zeros = self.0.below(3);
                out.push_str(&digits);
                out.extend(std::iter::repeat_n('0', zeros));
                let _ = write!(out, "e{}", exponent - zeros as i32);
            }
        }
    }

    fn text(&mut self, out: &mut String, text: &str) {
        out.push('"');
        let often = self.0.chance(3);
        for character in text.chars() {
            let must = character < ' ' || matches!(character, '"' | '\\');
            let wanted = often && self.0.chance(3);
            if !must && !wanted {
                out.push(character);
                continue;
            }
            let short = match character {
                '"' => "\\\"",
                '\\' => "\\\\",
                '/' => "\\/",
                '\u{8}' => "\\b",
                '\u{c}' => "\\f",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                _ => "",
            };
            if !short.is_empty() && self.0.chance(2) {
                out.push_str(short);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = match self.0.chance(2) {
                    true => write!(out, "\\u{unit:04x}"),
                    false => write!(out, "\\u{unit:04X}"),
                };
            }
        }
        out.push('"');
    }
}
