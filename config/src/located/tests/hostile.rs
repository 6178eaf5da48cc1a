//! Files that no person wrote: none may panic, take long or get past a bound.

use std::time::{Duration, Instant};

use super::{mistakes, parse};
use crate::tests::examples;

/// The one mistake of the text holds this.
#[track_caller]
fn refused(text: &str, part: &str) {
    let start = Instant::now();
    let found = mistakes(text);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "took {:?}",
        start.elapsed()
    );
    assert!(
        found.iter().any(|(_, _, message)| message.contains(part)),
        "expected {part}, found {found:?}"
    );
}

#[test]
fn too_much() {
    refused(&" ".repeat((1 << 20) + 1), "at most 1048576 are read");
    refused(
        &format!("upstreams:\n{}", "  a: {}\n".repeat(100_000)),
        "stands here twice",
    );
    let endpoints: String = (0..1025).map(|port| format!("h:{}, ", port + 1)).collect();
    refused(
        &format!("upstreams: {{ a: {{ endpoints: [{endpoints}] }} }}"),
        "1025 endpoints are too many",
    );
    let upstreams: String = (0..1001)
        .map(|n| format!("  u{n}: {{ endpoints: [h:1] }}\n"))
        .collect();
    refused(
        &format!("upstreams:\n{upstreams}"),
        "1001 upstreams are too many",
    );
    let routes: String = (0..10_001)
        .map(|n| format!("- {{name: r{n}, match: {{models: [m]}}, split: []}}\n"))
        .collect();
    refused(&format!("routes:\n{routes}"), "10001 routes are too many");
}

#[test]
fn at_most_a_hundred_mistakes_are_told() {
    let text: String = (0..1000).map(|n| format!("key{n}: 1\n")).collect();
    let report = parse(&text).unwrap_err();
    assert_eq!(report.mistakes().len(), 100, "the rest would not be read");
    assert!(
        report
            .render("f", &text)
            .ends_with("100 mistakes, and there may be more\n"),
        "and it is said so"
    );
}

#[test]
fn deep_nesting() {
    for depth in [33, 1000, 100_000] {
        refused(&"[".repeat(depth), "nested too deep");
        refused(&"{a: ".repeat(depth), "nested too deep");
        refused(&"- ".repeat(depth), "nested too deep");
        refused(
            &format!("server: {}{}", "[".repeat(depth), "]".repeat(depth)),
            "nested too deep",
        );
    }
    let blocks: String = (0..700)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    refused(&blocks, "nested too deep");
    // Lists and mappings in turn, each within the parser's bound for its kind.
    refused(&"[{a: ".repeat(30), "nested too deep");
}

#[test]
fn aliases_of_aliases() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
    }
    refused(&bomb, "more than 400000 values");
    let wide = format!(
        "a: &a [{}]\nb: [{}]\n",
        "x,".repeat(1000),
        "*a,".repeat(1000)
    );
    refused(&wide, "more than 400000 values");
    let anchors: String = "&a [".repeat(30) + &"x,".repeat(100_000) + &"]".repeat(30);
    refused(&anchors, "more than 400000 values");
}

#[test]
fn huge_scalars() {
    let long = "x".repeat(1_000_000);
    for text in [
        format!("server: {{ workers: {long} }}"),
        format!("server: {{ drain_timeout: {} }}", "9".repeat(1_000_000)),
        format!("server: {{ drain_timeout: 0.{}s }}", "9".repeat(1_000_000)),
        format!("upstreams: {{ a: {{ endpoints: ['{long}:1'] }} }}"),
        format!("upstreams:\n  ? {long}\n  : {{ endpoints: [a:1] }}"),
        format!("routes: [{{ name: '{long}', split: [] }}]"),
        format!("'{long}': 1"),
        format!("? '{long}'\n: 1"),
        format!("server: |\n  {long}"),
        long.clone(),
    ] {
        let report = parse(&text).expect_err("none of them is a configuration");
        for mistake in report.mistakes() {
            assert!(
                mistake.message.len() < 400,
                "a message stays short: {}",
                mistake.message.len()
            );
        }
        assert!(
            report.render("f", &text).len() < 4000,
            "and so does the report"
        );
    }
}

#[test]
fn control_characters_and_odd_unicode() {
    for text in [
        "\0",
        "a\0b: 1",
        "\u{1}",
        "server: \u{7f}",
        "\u{2028}: \u{2029}",
        "\u{fffe}",
        "server: \"\\x00\"",
        "\u{85}",
    ] {
        for mistake in parse(text).map_or_else(|report| report.mistakes().to_vec(), |_| Vec::new())
        {
            assert!(
                mistake.line >= 1 && mistake.column >= 1,
                "{text:?} has its mistake at {mistake:?}"
            );
            assert!(
                !mistake.message.contains(char::is_control),
                "{text:?} reaches the message {mistake:?}"
            );
        }
    }
}

/// Lines that editing leaves behind.
const GARBAGE: [&str; 24] = [
    "",
    "garbage",
    "- ",
    "-",
    "a: b: c",
    "\t",
    "  \tx: 1",
    ":",
    "?",
    "[",
    "]",
    "{",
    "}",
    "'",
    "\"",
    "|",
    ">",
    "&a",
    "*a",
    "!t",
    "%d",
    "---",
    "...",
    "    deep: { nested: [1, { a: b }] }",
];

#[test]
fn whatever_happens_to_a_line_is_told_with_its_place() {
    for (name, text) in examples() {
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..lines.len() {
            let line_break = if at % 2 == 0 { "\n" } else { "\r\n" };
            for change in changes(&lines, at) {
                let text = change.join(line_break);
                let Err(report) = parse(&text) else { continue };
                assert!(
                    !report.mistakes().is_empty(),
                    "{name}: an empty report for\n{text}"
                );
                for mistake in report.mistakes() {
                    // A mistake at the end of the text is on the line after the last.
                    let on_a_line = (1..=change.len() + 1).contains(&mistake.line);
                    assert!(
                        on_a_line && mistake.column >= 1,
                        "{name}: {mistake:?} in\n{text}"
                    );
                }
                report.render(&name, &text);
            }
        }
    }
}

/// The lines with one of them deleted, doubled, cut, indented, or replaced by garbage.
fn changes<'a>(lines: &[&'a str], at: usize) -> Vec<Vec<std::borrow::Cow<'a, str>>> {
    let with = |new: &[std::borrow::Cow<'a, str>]| {
        let mut changed: Vec<std::borrow::Cow<'a, str>> =
            lines.iter().map(|line| (*line).into()).collect();
        changed.splice(at..=at, new.iter().cloned());
        changed
    };
    let line = lines[at];
    let mut all = vec![
        with(&[]),
        with(&[line.into(), line.into()]),
        with(&[line[..line.len() / 2].into()]),
        with(&[format!("  {line}").into()]),
        with(&[line.trim_start().into()]),
        with(&[line.replace(':', "").into()]),
        with(&[line.replace(": ", ": [").into()]),
    ];
    let indent = &line[..line.len() - line.trim_start().len()];
    all.extend(
        GARBAGE
            .iter()
            .map(|garbage| with(&[format!("{indent}{garbage}").into()])),
    );
    if let Some((key, _)) = line.split_once(": ") {
        all.extend(
            GARBAGE
                .iter()
                .map(|garbage| with(&[format!("{key}: {garbage}").into()])),
        );
    }
    all
}
