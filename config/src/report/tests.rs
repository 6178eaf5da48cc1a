//! How a report looks.

use super::{Mistake, Report};
use crate::parse;

fn rendered(text: &str) -> String {
    parse(text).expect_err(text).render("penstock.yaml", text)
}

#[test]
fn each_mistake_shows_its_line_and_a_caret() {
    let text = "server:\n  drain_timeout: 30\n  transprt: epoll\n";
    assert_eq!(
        rendered(text),
        "\
penstock.yaml:2:18: `30` has no unit: write the unit, as in `30s`
2 |   drain_timeout: 30
  |                  ^

penstock.yaml:3:3: unknown key `transprt`
3 |   transprt: ***
  |   ^
  = did you mean `transport`?

2 mistakes
"
    );
}

#[test]
fn the_gutter_is_as_wide_as_the_last_line_number() {
    let text = format!("server: {{ workers: 0 }}\n{}bogus: 1\n", "#\n".repeat(98));
    let shown = rendered(&text);
    assert!(
        shown.contains("\n  1 | server"),
        "the first line is set right in\n{shown}"
    );
    assert!(
        shown.contains("\n100 | bogus"),
        "the last line fills the gutter in\n{shown}"
    );
}

#[test]
fn a_report_is_an_error_of_one_line() {
    let report = parse("chain: 1\nroutes: 2\n").unwrap_err();
    let error: &dyn std::error::Error = &report;
    assert_eq!(
        error.to_string(),
        "2 mistakes; 1:8: expected a list, each element after a `- `, not `1`; \
         2:9: expected a list, each element after a `- `, not `2`"
    );
}

#[test]
fn carets_line_up_after_tabs_and_cut_lines() {
    let tabbed = rendered("server: {\tworkers: 0 }");
    assert!(
        tabbed.contains("| server: {\tworkers: 0 }\n  |          \t         ^"),
        "a tab stays a tab in\n{tabbed}"
    );

    let long = format!(
        "server: {{ {}workers: 0, admin: off, {} }}",
        " ".repeat(500),
        " ".repeat(500)
    );
    let shown = rendered(&long);
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(
        lines[1].chars().nth(caret),
        Some('0'),
        "the caret is under the value in\n{shown}"
    );
    assert!(
        lines[1].starts_with("1 | …") && lines[1].ends_with('…'),
        "the line is cut in\n{shown}"
    );
    assert!(
        lines[1].chars().count() < 140,
        "to what fits a screen in\n{shown}"
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let shown =
        rendered("server: { admin: \"\u{85}\\e[31m\", workers: \"\\u001b]0;x\" } # \u{1}\u{9b}");
    assert!(
        shown.chars().all(|c| c == '\n' || !c.is_control()),
        "an escape sequence is shown as a mark in {shown:?}"
    );
}

#[test]
fn lines_are_found_whatever_breaks_them() {
    for line_break in ["\n", "\r\n", "\r"] {
        let text = ["# ä", "server:", "  workers: 0", "  drain_timeout: 1", ""].join(line_break);
        let report = parse(&text).unwrap_err();
        let places: Vec<_> = report
            .mistakes()
            .iter()
            .map(|mistake| (mistake.line, mistake.column))
            .collect();
        assert_eq!(places, [(3, 12), (4, 18)], "with {line_break:?}");
        let shown = report.render("f", &text);
        assert!(
            shown.contains("3 |   workers: 0\n") && shown.contains("4 |   drain_timeout: 1\n"),
            "{shown:?}"
        );
    }
}

#[test]
fn a_byte_order_mark_moves_nothing() {
    let text = "\u{feff}serve: {}\n";
    let report = parse(text).unwrap_err();
    assert_eq!(
        (report.mistakes()[0].line, report.mistakes()[0].column),
        (1, 1),
        "the mark is no character"
    );
    assert!(
        report.render("f", text).contains("1 | serve: ***\n  | ^"),
        "nor is it shown"
    );
}

#[test]
fn a_place_outside_the_text_is_shown_without_a_line() {
    let mistake = Mistake {
        line: 9,
        column: 9,
        message: "far out".to_owned(),
        hint: None,
    };
    let report = Report::new(vec![mistake], false, Vec::new());
    assert_eq!(
        report.render("f", "a: 1\n"),
        "f:9:9: far out\n\n1 mistake\n",
        "as when another text is passed"
    );
}
