//! The rules as a whole.

use std::collections::BTreeSet;

use penstock_config::plugin::waf::RuleId;

use super::*;
use crate::waf::check;

fn all() -> RuleSet {
    let mut all = RuleSet::default();
    (0..ENGINE.rules().count()).for_each(|place| all.insert(place));
    all
}

fn matched(target: Target, text: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    ENGINE.scan(target, text, all(), |rule, _| {
        found.push(rule.number);
        true
    });
    found
}

#[test]
fn the_rules_are_those_of_the_catalogue() {
    let numbers: Vec<u32> = ENGINE.rules().map(|rule| rule.number).collect();
    assert!(
        numbers.len() <= RuleSet::MAX,
        "{} rules do not fit into a set",
        numbers.len()
    );
    assert!(
        numbers.is_sorted_by(|a, b| a < b),
        "out of order: {numbers:?}"
    );
    let ours: BTreeSet<u32> = numbers.into_iter().chain(check::NUMBERS).collect();
    let known: BTreeSet<u32> = RuleId::all().map(RuleId::number).collect();
    assert_eq!(ours, known);
}

#[test]
fn every_rule_has_words_and_looks_at_something() {
    for rule in ENGINE.rules() {
        assert!(!rule.words.is_empty(), "{}", rule.number);
        assert!(
            rule.words.iter().all(|word| !word.is_empty()),
            "{}",
            rule.number
        );
        assert!(
            Target::ALL
                .iter()
                .any(|target| rule.targets.contains(*target)),
            "{}",
            rule.number
        );
    }
}

#[test]
fn disguises_of_one_attack_are_one_attack() {
    for text in [
        "1' or '1'='1",
        "1%27%20or%20%271%27=%271",
        "1%2527%2520or%2520'1'='1",
        "1'/**/oR/*x*/'1'='1",
        "1\\u0027 or \\u00271\\u0027=\\u00271",
        "1&#39; or &#39;1&#39;=&#39;1",
        "1＇ or ＇1＇=＇1",
        "1'%00 or '1'='1",
    ] {
        assert!(
            matched(Target::Json, text.as_bytes()).contains(&100_301),
            "{text}"
        );
    }
    for text in [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%252e%252e/%252e%252e/",
        "..\\..\\x",
        "%c0%ae%c0%ae%c0%af%c0%ae%c0%ae%c0%af",
    ] {
        assert!(
            matched(Target::Path, text.as_bytes()).contains(&100_101),
            "{text}"
        );
    }
    for name in [
        "__proto__",
        "\\u005f_proto__",
        "a.__proto__",
        "constructor.prototype",
    ] {
        assert_eq!(
            matched(Target::JsonKey, name.as_bytes()),
            [100_901],
            "{name}"
        );
    }
}

#[test]
fn a_rule_matches_once_whatever_the_readings() {
    let text = b"<script> %3Cscript%3E <script/**/>";
    let found = matched(Target::Json, text);
    let distinct: BTreeSet<_> = found.iter().collect();
    assert_eq!(found.len(), distinct.len(), "{found:?}");
}

#[test]
fn a_rule_that_is_off_is_not_looked_at() {
    let found = |enabled| {
        let mut found = 0;
        ENGINE.scan(Target::Path, b"/.git/config", enabled, |_, _| {
            found += 1;
            true
        });
        found
    };
    assert_eq!(found(all()), 1);
    assert_eq!(found(RuleSet::default()), 0);
}

#[test]
fn bytes_from_a_seed_do_no_harm() {
    let parts = [
        "'", "\"", " or ", "1=1", "union ", "select ", "<", "<svg ", "on", "script", "${", "jndi:",
        "../", "%2e", "\\", ";", "|", "$(", "`", "{{", "}}", "//", "@", "169.254.", "\r\n",
        "host:", "(", ")", "*", "\u{e9}", "\0", "\u{fffd}",
    ];
    let mut random = 3_u64;
    for _ in 0..500 {
        let mut text = Vec::new();
        for _ in 0..random >> 58 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.extend_from_slice(parts[(random >> 33) as usize % parts.len()].as_bytes());
            text.push((random >> 40) as u8);
        }
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        for target in Target::ALL {
            assert!(matched(target, &text).len() <= RuleSet::MAX);
        }
    }
}
