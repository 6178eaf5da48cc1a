//! The firewall against what ordinary clients send and what attackers do.
//!
//! `waf/ordinary.jsonl` and `waf/attacks.jsonl` hold one request on each line. None of
//! the ordinary may be refused. Of the attacks those that pass are marked with the
//! reason, so that the list of what is missed stays true.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use http::{Request, request};
use penstock_config::Plugin;
use penstock_plugins::build::Given;
use penstock_plugins::dialect::Dialect;
use penstock_plugins::shared::Shared;
use penstock_plugins::{Arrival, Chain, ChainBuilder, Exchange, Facts};
use serde::Deserialize;
use serde_json::Value;

/// One request of a corpus.
#[derive(Deserialize)]
struct Sample {
    /// For an attack: what kind.
    #[serde(default)]
    class: String,
    /// For an attack: the part of the request that it is in.
    #[serde(default, rename = "where")]
    part: String,
    /// For an attack that passes: why.
    missed: Option<String>,
    method: String,
    path: String,
    headers: serde_json::Map<String, Value>,
    /// Text as it is sent, or JSON.
    #[serde(default)]
    body: Value,
}

impl Sample {
    fn head(&self) -> request::Parts {
        let request = Request::builder()
            .method(self.method.as_str())
            .uri(&self.path);
        let request = self.headers.iter().fold(request, |request, (name, value)| {
            request.header(name, value.as_str().unwrap())
        });
        let built = request
            .body(())
            .unwrap_or_else(|why| panic!("{}: {why}", self.path));
        built.into_parts().0
    }

    fn body(&self) -> Bytes {
        match &self.body {
            Value::Null => Bytes::new(),
            Value::String(text) => text.clone().into(),
            json => json.to_string().into(),
        }
    }

    fn shown(&self) -> String {
        format!(
            "{} {} {:?} {}",
            self.method, self.path, self.headers, self.body
        )
    }
}

fn corpus(text: &str) -> Vec<Sample> {
    let samples = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why} in {line}")));
    samples.collect()
}

/// The chain that `- waf: {}` makes.
fn chain() -> Chain {
    let plugins: Vec<Plugin> = serde_json::from_str(r#"[{ "waf": {} }]"#).unwrap();
    let built = ChainBuilder::default().plugins(&plugins, &Shared::default(), &Given::default());
    built.unwrap().build()
}

/// Passes a request through the chain as the engine does. Gives the refusal's reason.
fn pass(chain: &Chain, sample: &Sample) -> Result<(), String> {
    let (head, body) = (sample.head(), sample.body());
    let mut exchange = Exchange::new(Arrival {
        id: 1,
        client: None,
        generation: 1,
        at: Duration::ZERO,
        dialect: Dialect::OpenAi,
    });
    let verdict = chain.request(&mut exchange, &head).and_then(|()| {
        exchange.learn(Facts::of(&body).unwrap_or_default());
        chain.body(&mut exchange, &head, &body)
    });
    verdict.map_err(|refusal| refusal.to_string())
}

#[test]
fn no_ordinary_request_is_refused() {
    let samples = corpus(include_str!("waf/ordinary.jsonl"));
    assert!(
        samples.len() >= 300,
        "{} are too few to mean anything",
        samples.len()
    );
    let chain = chain();
    let refused: Vec<String> = samples
        .iter()
        .filter_map(|sample| {
            Some(format!(
                "{}: {}",
                pass(&chain, sample).err()?,
                sample.shown()
            ))
        })
        .collect();
    assert!(
        refused.is_empty(),
        "{} refused:\n{}",
        refused.len(),
        refused.join("\n")
    );
}

#[test]
fn attacks_are_refused_but_for_those_that_are_listed() {
    let samples = corpus(include_str!("waf/attacks.jsonl"));
    assert!(
        samples.len() >= 200,
        "{} are too few to mean anything",
        samples.len()
    );
    let chain = chain();
    let mut wrong = Vec::new();
    let mut passed = 0;
    for sample in &samples {
        let verdict = pass(&chain, sample);
        passed += usize::from(verdict.is_ok());
        match (verdict, &sample.missed) {
            (Ok(()), None) => wrong.push(format!(
                "passes ({}, {}): {}",
                sample.class,
                sample.part,
                sample.shown()
            )),
            (Err(why), Some(_)) => wrong.push(format!(
                "is listed as missed and refused, {why}: {}",
                sample.shown()
            )),
            (Ok(()), Some(reason)) => assert!(reason.len() > 20, "no reason: {}", sample.shown()),
            (Err(_), None) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        passed * 20 <= samples.len(),
        "{passed} of {} pass",
        samples.len()
    );
}

#[test]
fn a_prompt_may_hold_every_attack() {
    let chain = chain();
    for sample in corpus(include_str!("waf/attacks.jsonl")) {
        let attack = format!("{} {:?} {}", sample.path, sample.headers, sample.body);
        let bodies = [
            serde_json::json!({ "model": "m", "messages": [{ "role": "user", "content": attack }] }),
            serde_json::json!({ "model": "m", "system": attack, "messages": [{ "role": "user", "content": [{ "type": "text", "text": attack }] }] }),
            serde_json::json!({ "model": "m", "input": [attack], "instructions": attack }),
        ];
        for body in bodies {
            let prompt = Sample {
                method: "POST".to_owned(),
                path: "/v1/chat/completions".to_owned(),
                headers: serde_json::from_str(r#"{"content-type":"application/json"}"#).unwrap(),
                class: String::new(),
                part: String::new(),
                missed: None,
                body,
            };
            assert_eq!(pass(&chain, &prompt), Ok(()), "{}", prompt.body);
        }
    }
}
