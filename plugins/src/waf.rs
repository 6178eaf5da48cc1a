//! The web application firewall: see [`plugin::Waf`] for what the operator writes.
//!
//! It looks at a request twice, at its head before anything else is done with it and at
//! its body when that is here, and holds each part that is no prompt against the rules
//! that look at such parts. What it says of a match is the rule's number and the place,
//! never the text: that may be a secret, and would tell an attacker what to change.
//!
//! A body is read as what it declares to be, or looks like: JSON, a form, parts of a
//! form, XML. Any other is opaque, and so are the files in a form.

mod body;
mod check;
mod counts;
mod engine;
mod finding;
mod form;
mod head;
mod json;
mod multipart;
mod rule;
mod rules;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http::request;
use penstock_config::plugin;
use penstock_config::plugin::waf::{Mode, Profile};

use crate::chain::Parts;
use crate::exchange::Exchange;
use crate::role::{BodyFilter, RequestFilter, Verdict};
use crate::shared::Shared;
use crate::slot::Slot;
use check::Checks;
use engine::{ENGINE, RuleSet};
use finding::{Finding, Findings, Place};
use rule::{Decision, Target};

pub use counts::{Action, Counts};

/// Key of the rules' numbers in the access log.
const NOTE_RULES: &str = "waf_rule";
/// Key of the places that the rules matched in.
const NOTE_TARGETS: &str = "waf_target";
/// Key of the mode.
const NOTE_MODE: &str = "waf_mode";

/// The plugin.
pub struct Waf {
    mode: Mode,
    rules: RuleSet,
    checks: Checks,
    counts: Arc<Counts>,
    /// What was found in the head, for when the body is looked at.
    found: Slot<Findings>,
}

impl Waf {
    /// The kind of plugin of which a chain has one, and the name under which its
    /// [`Counts`] are kept.
    pub const KIND: &'static str = "waf";

    /// The plugin as configured, in the roles that it fills: none when it is off.
    pub(crate) fn parts(config: &plugin::Waf, shared: &Shared, found: Slot<Findings>) -> Parts {
        let mut parts = Parts {
            replaces: Some(Self::KIND),
            ..Parts::default()
        };
        if config.mode != Mode::Off {
            let waf = Arc::new(Self::new(config, shared, found));
            parts.request = Some(waf.clone());
            parts.body = Some(waf);
        }
        parts
    }

    fn new(config: &plugin::Waf, shared: &Shared, found: Slot<Findings>) -> Self {
        let Profile::Inference = config.profile;
        let mut rules = RuleSet::default();
        for (place, rule) in ENGINE.rules().enumerate() {
            if !config.rules.is_off(rule.number) {
                rules.insert(place);
            }
        }
        Self {
            mode: config.mode,
            rules,
            checks: Checks::new(config),
            counts: Counts::of(shared),
            found,
        }
    }

    /// Holds one text against the rules. Says whether to go on.
    fn look(&self, found: &mut Findings, target: Target, place: Place<'_>, text: &[u8]) -> bool {
        let mut go_on = true;
        ENGINE.scan(target, text, self.rules, |rule, decision| {
            go_on = found.add(Finding::attack(rule.number, decision, place));
            go_on
        });
        go_on
    }

    /// Writes down what was found since `before` findings, and refuses if it must.
    fn conclude(&self, exchange: &mut Exchange, found: Findings, before: usize) -> Verdict {
        if found.is_empty() {
            return Ok(());
        }
        let blocks = self.mode == Mode::Block;
        for finding in found.iter().skip(before) {
            let refused = blocks && finding.decision == Decision::Refuse;
            let action = if refused {
                Action::Block
            } else {
                Action::Detect
            };
            self.counts.count(finding.number, action);
        }
        exchange.note(NOTE_RULES, found.numbers());
        exchange.note(NOTE_TARGETS, found.places());
        exchange.note(NOTE_MODE, self.mode.as_str());
        let refusal = found
            .iter()
            .find(|finding| finding.decision == Decision::Refuse);
        match refusal {
            Some(finding) if blocks => Err(finding.refusal()),
            _ => {
                exchange.put(self.found, found);
                Ok(())
            }
        }
    }
}

impl RequestFilter for Waf {
    fn request(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict {
        let mut found = Findings::new(self.mode);
        let client = exchange.client();
        // The first finding that refuses ends it.
        let _ = self.checks.client(client, head, &mut found)
            && self.checks.declared_size(head, &mut found)
            && self.look_at_head(head, &mut found);
        self.conclude(exchange, found, 0)
    }
}

impl BodyFilter for Waf {
    fn body(&self, exchange: &mut Exchange, head: &request::Parts, body: &Bytes) -> Verdict {
        let mut found = exchange
            .take(self.found)
            .unwrap_or_else(|| Findings::new(self.mode));
        let before = found.len();
        let _ = self.checks.size(head, body.len(), &mut found)
            && self.checks.fields(exchange.facts(), &mut found)
            && self.look_at_body(head, body, &mut found);
        self.conclude(exchange, found, before)
    }
}
