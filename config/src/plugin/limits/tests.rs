//! What can be written, and what cannot.

use super::*;
use crate::{Plugin, parse};

fn read(limits: &str) -> Result<Limits, String> {
    let text = format!("chain:\n  - limits: {limits}\n");
    match parse(&text) {
        Ok(config) => match config.chain.into_iter().next() {
            Some(Plugin::Limits(limits)) => Ok(limits),
            other => panic!("{other:?}"),
        },
        Err(report) => Err(report.to_string()),
    }
}

fn one(limit: &str) -> Result<Limit, String> {
    read(&format!("[{limit}]")).map(|limits| limits.0.into_iter().next().unwrap())
}

#[test]
fn each_kind_of_limit_is_read() {
    let requests = one("{ name: a, requests: 600, per: 1m, by: [key, { claim: team }] }").unwrap();
    assert_eq!(requests.limit, 600);
    assert!(matches!(
        requests.measure,
        Measure::Requests {
            estimate: false,
            ..
        }
    ));
    assert_eq!(
        requests.by,
        [Part::Key, Part::Claim("team".parse().unwrap())]
    );
    assert_eq!(requests.mode, Mode::Enforce);

    let tokens = one("{ name: a, prompt_tokens: 9, per: 30d, mode: shadow, answer_tokens: 7 }");
    let tokens = tokens.unwrap();
    assert_eq!(tokens.mode, Mode::Shadow);
    assert!(tokens.by.is_empty(), "everybody shares one counter");
    let Measure::Tokens(tokens) = tokens.measure else {
        panic!("{tokens:?}")
    };
    assert_eq!(
        (tokens.kind, tokens.answer_tokens, tokens.bytes_per_token),
        (TokenKind::Prompt, 7, 2)
    );

    let concurrent = one("{ name: a, concurrent: 8, by: [tenant] }").unwrap();
    assert_eq!(concurrent.measure, Measure::Concurrent);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let cases = [
        ("{ name: a, per: 1m }", "needs one of the keys"),
        (
            "{ name: a, requests: 1, tokens: 1, per: 1m }",
            "counts one thing",
        ),
        ("{ name: a, requests: 1 }", "`per` is missing"),
        ("{ name: a, tokens: 1 }", "`per` is missing"),
        ("{ name: a, concurrent: 1, per: 1m }", "has no window"),
        ("{ name: a, requests: 0, per: 1m }", "out of range"),
        ("{ name: a, requests: 1, per: 32d }", "out of range"),
        (
            "{ name: a, requests: 1, per: 1m, by: [key, key] }",
            "`key` twice",
        ),
        (
            "{ name: a, requests: 1, per: 1m, by: [{claim: x}, {claim: x}] }",
            "`x` twice",
        ),
        (
            "{ name: a, requests: 1, per: 1m, by: [user] }",
            "expected one of `key`",
        ),
        (
            "{ name: a, requests: 1, per: 1m, by: [{claim: ''}] }",
            "not a claim's name",
        ),
        (
            "{ name: a, requests: 1, per: 1m, answer_tokens: 5 }",
            "belongs to limits on tokens",
        ),
        (
            "{ name: a, requests: 1, per: 1m, by: [key], estimate: true }",
            "`by: [client]`",
        ),
        (
            "{ name: a, tokens: 1, per: 1m, by: [client], estimate: true }",
            "`by: [client]`",
        ),
        (
            "{ name: a, tokens: 1, per: 1m, bytes_per_token: 17 }",
            "out of range",
        ),
        (
            "{ name: a, request: 1, per: 1m }",
            "did you mean `requests`",
        ),
        ("{ requests: 1, per: 1m }", "`name` is missing"),
        (
            "{ name: a, requests: 1, per: 1m, mode: dry }",
            "expected `enforce`",
        ),
    ];
    for (limit, why) in cases {
        let report = one(limit).expect_err(limit);
        assert!(report.contains(why), "{limit}: {report}");
    }
    assert!(read("[]").is_err(), "no limits at all");
    let many: Vec<_> = (0..17)
        .map(|i| format!("{{ name: l{i}, concurrent: 1 }}"))
        .collect();
    assert!(
        read(&format!("[{}]", many.join(",")))
            .unwrap_err()
            .contains("too many")
    );
}

#[test]
fn a_name_stands_for_one_limit_in_the_whole_file() {
    let text = "\
chain:
  - limits: [{ name: a, concurrent: 1 }]
upstreams: { u: { endpoints: [h:1] } }
routes:
  - name: r
    chain:
      - limits: [{ name: b, concurrent: 1 }, { name: a, concurrent: 2 }]
    split: [{ upstream: u }]
";
    let report = parse(text).unwrap_err();
    let [mistake] = report.mistakes() else {
        panic!("{report}")
    };
    assert_eq!((mistake.line, mistake.column), (7, 54), "{report}");
    assert!(
        mistake.message.contains("taken by the limit on line 2"),
        "{report}"
    );
}

#[test]
fn a_limit_that_is_written_back_reads_the_same() {
    for limit in [
        "{ name: a, requests: 1, per: 90s, by: [client], estimate: true }",
        "{ name: a, tokens: 5, per: 1d, by: [model, { claim: c }], mode: shadow }",
        "{ name: a, completion_tokens: 5, per: 1h, bytes_per_token: 4 }",
        "{ name: a, concurrent: 5 }",
    ] {
        let read = one(limit).unwrap();
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(one(&written), Ok(read), "{written}");
    }
}
