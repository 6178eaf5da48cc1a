//! Pairs of requests, made from a seed: their keys are equal exactly when tenant and
//! meaning are.

use super::documents::{Random, Scribe, Value, body, number, value};
use super::*;

/// Names that could be taken for others, and nobody.
const TENANTS: [Option<&str>; 16] = [
    None,
    Some(""),
    Some("anonymous"),
    Some("a"),
    Some("a|b"),
    Some("b"),
    Some("c"),
    Some("b|c"),
    Some("A"),
    Some("a "),
    Some("a\0"),
    Some("\u{1}"),
    Some("é"),
    Some("e\u{301}"),
    Some("null"),
    Some("chat"),
];

const ROUTES: [&str; 6] = ["chat", "c", "b|c", "a", "", "chat\0"];

/// What a request means.
#[derive(Clone, Debug, PartialEq)]
struct Meaning {
    tenant: Option<&'static str>,
    route: &'static str,
    upstream: &'static str,
    target: &'static str,
    beta: Option<&'static str>,
    body: Value,
}

impl Meaning {
    fn new(random: &mut Random) -> Self {
        Self {
            tenant: random.one(&TENANTS),
            route: random.one(&ROUTES),
            upstream: random.one(&["vllm", "openai"]),
            target: random.one(&["/v1/chat/completions", "/v1/chat/completions?x=1"]),
            beta: random.one(&[None, Some(""), Some("a")]),
            body: Value::Object(body(random)),
        }
    }

    /// The key of one of the many requests that mean this.
    fn key(&self, random: &mut Random) -> CacheKey {
        let mut request = Request::new();
        request.tenant = self.tenant.map(str::to_owned);
        request.route = self.route.to_owned();
        request.upstream = self.upstream.to_owned();
        request.target = self.target.to_owned();
        if let Some(beta) = self.beta {
            request = request.header("openai-beta", beta);
        }
        if self.tenant.is_some() && random.chance(2) {
            let credential = random.one(&["Bearer 1", "Bearer 2"]);
            request = request.header("authorization", credential);
        }
        if random.chance(4) {
            request = request.header("x-request-id", "7");
        }
        let Value::Object(members) = &self.body else {
            unreachable!("a body is an object");
        };
        let mut members = members.clone();
        for ignored in Endpoint::ChatCompletions.ignored() {
            if random.chance(6) {
                members.push(((*ignored).to_owned(), value(random, 1)));
            }
        }
        let mut text = String::new();
        Scribe(random).object(&mut text, &members);
        request.key(&text)
    }

    /// Another meaning, one change away.
    fn mutated(&self, random: &mut Random) -> Self {
        loop {
            let mut other = self.clone();
            match random.below(8) {
                0 | 1 => other.tenant = random.one(&TENANTS),
                2 => match random.below(4) {
                    0 => other.route = random.one(&ROUTES),
                    1 => other.upstream = random.one(&["vllm", "openai", "a"]),
                    2 => other.target = random.one(&["/v1/chat/completions", "/v1/completions"]),
                    _ => other.beta = random.one(&[None, Some(""), Some("a"), Some("b")]),
                },
                _ => mutate(&mut other.body, random, true),
            }
            if other != *self {
                return other;
            }
        }
    }
}

/// Changes something in a value, or nothing.
fn mutate(target: &mut Value, random: &mut Random, outermost: bool) {
    match target {
        Value::List(items) if !items.is_empty() && !random.chance(3) => {
            let index = random.below(items.len());
            mutate(&mut items[index], random, false);
        }
        Value::Object(members) if !members.is_empty() && !random.chance(4) => {
            let index = random.below(members.len());
            mutate(&mut members[index].1, random, false);
        }
        Value::Object(members) => match random.below(3) {
            0 if !members.is_empty() => {
                members.remove(random.below(members.len()));
            }
            1 if !members.is_empty() => {
                let index = random.below(members.len());
                members[index].0.push_str("_2");
            }
            _ if members.iter().all(|(key, _)| key != "new") => {
                members.push(("new".to_owned(), Value::Null));
            }
            _ => {}
        },
        Value::List(items) => match random.below(3) {
            0 => items.push(Value::Null),
            1 => {
                items.pop();
            }
            _ => items.reverse(),
        },
        Value::Text(text) if random.chance(2) => match random.below(4) {
            0 => text.push(' '),
            1 => *text = text.to_uppercase(),
            2 => text.insert(0, '\\'),
            _ => {
                text.pop();
            }
        },
        Value::Number { units, exponent } if random.chance(2) => match random.below(3) {
            0 => *units = -*units,
            1 => *exponent += 1,
            _ if units.abs() % 10 < 8 => *units += units.signum(),
            _ => {}
        },
        Value::Bool(bool) if random.chance(2) => *bool = !*bool,
        _ if outermost => {}
        // The same text as a value of another kind, among others.
        Value::Number { units, .. } if random.chance(2) => {
            *target = Value::Text(units.to_string());
        }
        _ => {
            let old = std::mem::replace(target, Value::Null);
            *target = match random.below(4) {
                0 => Value::List(vec![old]),
                1 => Value::Object(vec![("a".to_owned(), old)]),
                2 => number(random),
                _ => value(random, 1),
            };
        }
    }
}

/// Checks so many pairs, half of them equal.
fn check(seed: u64, pairs: usize) {
    let mut random = Random(seed);
    let mut different = 0;
    for pair in 0..pairs {
        let meaning = Meaning::new(&mut random);
        let key = meaning.key(&mut random);
        if pair % 2 == 0 {
            let again = meaning.key(&mut random);
            assert_eq!(key, again, "seed {seed}, pair {pair}: {meaning:?}");
        } else {
            let other = meaning.mutated(&mut random);
            let other_key = other.key(&mut random);
            assert_ne!(
                key, other_key,
                "seed {seed}, pair {pair}: {meaning:?} {other:?}"
            );
            different += 1;
        }
    }
    assert_eq!(different, pairs / 2);
}

/// In several threads, so that a debug build is done in seconds.
fn check_all(pairs: usize) {
    const PARTS: usize = 4;
    std::thread::scope(|scope| {
        for part in 0..PARTS {
            scope.spawn(move || check(0x70656e73 + part as u64, pairs / PARTS));
        }
    });
}

#[test]
fn keys_are_equal_exactly_when_tenant_and_meaning_are() {
    check_all(40_000);
}

#[test]
#[ignore = "takes a minute without optimisation; the line of all tests runs it"]
fn keys_of_a_million_pairs_are_equal_exactly_when_tenant_and_meaning_are() {
    check_all(1_000_000);
}
