//! What the operator may write, and what it means.

use super::*;

fn waf(text: &str) -> Waf {
    let text = format!("chain: [{{ waf: {text} }}]");
    let config =
        crate::parse(&text).unwrap_or_else(|report| panic!("{}", report.render("", &text)));
    let [crate::Plugin::Waf(waf)] = config.chain.as_slice() else {
        panic!("one plugin expected");
    };
    waf.clone()
}

#[test]
fn nothing_written_is_the_profile_that_blocks() {
    assert_eq!(waf("{}"), Waf::default());
    assert_eq!(Waf::default().mode, Mode::Block);
}

#[test]
fn all_that_can_be_written_reads_back() {
    let written = waf(
        "{ mode: off, profile: inference, fields: { max_tokens: 1, n: 2, messages: 3, tools: 4, depth: 5, \
         body: { Application/JSON: 1MiB, \"multipart/form-data\": 25MiB } }, \
         addresses: { allow: [10.0.0.0/8], deny: [\"::1\"] }, agents: { deny: [\"*bot*\"] }, \
         rules: { off: [PEN-100301] } }",
    );
    assert_eq!(written.mode, Mode::Off);
    assert!(written.rules.is_off(100_301) && !written.rules.is_off(100_302));
    assert_eq!(written.fields.body.len(), 2);
    let json = serde_json::to_string(&written).unwrap();
    assert_eq!(waf(&json), written);
}

#[test]
fn the_catalogue_is_in_order_and_says_what_each_rule_is() {
    let numbers: Vec<u32> = RuleId::all().map(RuleId::number).collect();
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "a rule is found by a binary search"
    );
    assert!(RuleId::all().all(|rule| !rule.title().is_empty()));
    assert_eq!(RuleId::find(100_301).unwrap().to_string(), "PEN-100301");
    assert_eq!(RuleId::find(1), None);
    for text in ["PEN-1", "pen-100301", "100301", "PEN-+00301", "PEN-999999"] {
        assert!(text.parse::<RuleId>().is_err(), "{text}");
    }
}
