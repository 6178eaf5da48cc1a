//! The rules, compiled, and how a text is held against them.
//!
//! All words of all rules are found in one pass over a text. Only the rules that one
//! of the words belongs to run their pattern, each at most once for a reading, and a
//! pattern's time is linear in the text whatever the text (the `regex` crate has no
//! backtracking). So a text costs at most its length times the number of rules, and an
//! ordinary one its length.

use std::sync::LazyLock;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::{Anchored, MatchKind, dfa};
use regex::bytes::{Regex, RegexBuilder};

use super::rule::{Decision, Rule, Target};
use super::rules;
use super::view::{self, Views};

/// Rules as a set of their places in [`Engine::rules`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RuleSet(u128);

impl RuleSet {
    /// Most rules.
    pub(super) const MAX: usize = 128;

    pub(super) fn insert(&mut self, place: usize) {
        self.0 |= 1 << (place % Self::MAX);
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Iterator for RuleSet {
    type Item = usize;

    /// Takes the first place out of the set.
    fn next(&mut self) -> Option<usize> {
        let place = self.0.trailing_zeros() as usize;
        self.0 &= self.0.wrapping_sub(1);
        (place < Self::MAX).then_some(place)
    }
}

/// The rules of the profile. They are compiled once in a process: a reload, or a route
/// with its own settings, only chooses among them.
pub(super) static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

/// Rules, ready to be held against texts.
pub(super) struct Engine {
    rules: Box<[Compiled]>,
    /// Finds all words. It is stepped by hand: most texts are a few bytes long, of which
    /// a search that is set up for each would cost several times as much as the steps.
    words: dfa::DFA,
    /// Where a text begins.
    start: StateID,
    /// By word: the rules that it belongs to.
    wanted_by: Box<[RuleSet]>,
    /// By target: the rules that look at it.
    by_target: [RuleSet; Target::ALL.len()],
    /// The rules that read a text as written, decoded, and folded.
    by_view: [(Views, RuleSet); 3],
}

struct Compiled {
    rule: &'static Rule,
    pattern: Option<Regex>,
}

impl Engine {
    /// The words and patterns are constants of this crate, and a test builds this.
    #[expect(clippy::expect_used)]
    fn new() -> Self {
        let compile = |rule: &'static Rule| Compiled {
            rule,
            pattern: rule.pattern.map(|pattern| {
                let mut builder = RegexBuilder::new(pattern);
                let builder = builder.unicode(false).case_insensitive(true);
                let builder = builder.dot_matches_new_line(true);
                builder.build().expect("a pattern of a rule")
            }),
        };
        let rules: Box<[Compiled]> = rules::all().map(compile).collect();
        let mut texts: Vec<&str> = Vec::new();
        let mut wanted_by: Vec<RuleSet> = Vec::new();
        for (place, compiled) in rules.iter().enumerate() {
            for word in compiled.rule.words {
                let known = texts
                    .iter()
                    .position(|text| text.eq_ignore_ascii_case(word));
                match known.and_then(|known| wanted_by.get_mut(known)) {
                    Some(set) => set.insert(place),
                    None => {
                        let mut set = RuleSet::default();
                        set.insert(place);
                        texts.push(word);
                        wanted_by.push(set);
                    }
                }
            }
        }
        let words = dfa::Builder::new()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .prefilter(false)
            .build(&texts)
            .expect("the words of the rules");
        let start = words.start_state(Anchored::No);
        let select = |wanted: &dyn Fn(&Rule) -> bool| {
            let mut set = RuleSet::default();
            for (place, compiled) in rules.iter().enumerate() {
                if wanted(compiled.rule) {
                    set.insert(place);
                }
            }
            set
        };
        Self {
            words,
            start: start.expect("a search that is not anchored"),
            wanted_by: wanted_by.into_boxed_slice(),
            by_target: Target::ALL.map(|target| select(&|rule| rule.targets.contains(target))),
            by_view: [Views::WRITTEN, Views::DECODED, Views::FOLDED]
                .map(|view| (view, select(&|rule| rule.views.contains(view)))),
            rules,
        }
    }

    /// The rules in order.
    pub(super) fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.rules.iter().map(|compiled| compiled.rule)
    }

    /// Holds a text against the rules of `enabled`, and shows each that matches to
    /// `found`, until that asks for no more.
    pub(super) fn scan(
        &self,
        target: Target,
        text: &[u8],
        enabled: RuleSet,
        mut found: impl FnMut(&'static Rule, Decision) -> bool,
    ) {
        let by_target = self.by_target.get(target as usize);
        let mut open = by_target.copied().unwrap_or_default().and(enabled);
        if open.is_empty() || text.is_empty() {
            return;
        }
        view::each(text, target.encoding(), |view, text| {
            for place in self.candidates(text, view).and(open) {
                let Some(compiled) = self.rules.get(place) else {
                    continue;
                };
                let pattern = compiled.pattern.as_ref();
                if !pattern.is_none_or(|pattern| pattern.is_match(text)) {
                    continue;
                }
                let mut matched = RuleSet::default();
                matched.insert(place);
                open = open.without(matched);
                if !found(compiled.rule, compiled.rule.decision) {
                    return false;
                }
            }
            true
        });
    }

    /// The rules that have a word that ends where the search is in this state.
    fn wanted_at(&self, state: StateID) -> RuleSet {
        if !self.words.is_match(state) {
            return RuleSet::default();
        }
        let words = 0..self.words.match_len(state);
        let rules = words.map(|nth| {
            let word = self.words.match_pattern(state, nth);
            self.wanted_by.get(word.as_usize()).copied()
        });
        rules.flatten().fold(RuleSet::default(), RuleSet::or)
    }

    /// The rules that have a word in the text.
    fn candidates(&self, text: &[u8], view: Views) -> RuleSet {
        let mut candidates = RuleSet::default();
        let mut state = self.start;
        for byte in text {
            state = self.words.next_state(Anchored::No, state, *byte);
            if self.words.is_special(state) {
                candidates = candidates.or(self.wanted_at(state));
            }
        }
        let by_view = self.by_view.iter().find(|(of, _)| *of == view);
        by_view.map_or(candidates, |(_, rules)| candidates.and(*rules))
    }
}

#[cfg(test)]
mod tests;
