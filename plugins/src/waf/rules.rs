//! The rules of the inference profile, one file for each class of attack.
//!
//! They are meant to be precise: a rule that refuses one ordinary request in a million
//! is a bad rule, since its operator will switch all of them off. So most want a whole
//! construct (a quote, an operator and a comparison; a separator, a command and an
//! argument), not a word. What stands in a prompt is not looked at by any.

mod data;
mod markup;
mod path;
mod probe;
mod protocol;
mod shell;
mod sql;
mod ssrf;
mod template;

use super::rule::{Rule, Target, Targets};

/// Every rule that looks at text, in the order of their numbers.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    let classes: [&[Rule]; 9] = [
        path::RULES,
        probe::RULES,
        sql::RULES,
        shell::RULES,
        markup::RULES,
        template::RULES,
        ssrf::RULES,
        protocol::RULES,
        data::RULES,
    ];
    classes.into_iter().flatten()
}

/// Values of parameters.
const PARAMETERS: Targets = Targets::of(&[Target::Parameter, Target::ParameterLink]);

/// Strings in JSON.
const JSON: Targets = Targets::of(&[Target::Json, Target::JsonLink]);

/// Headers whose value a server behind may put into a query, a page or a command.
const HEADERS: Targets = Targets::of(&[Target::Header, Target::Agent, Target::Cookie]);

/// All that a server behind may put into a query, a page or a command.
const VALUES: Targets = Targets::of(&[Target::Path, Target::FileName])
    .and(PARAMETERS)
    .and(JSON)
    .and(HEADERS);

/// All that a server behind may write to a log.
const LOGGED: Targets = Targets::of(&[
    Target::ParameterName,
    Target::OpaqueHeader,
    Target::Host,
    Target::ContentType,
    Target::Page,
    Target::JsonKey,
    Target::JsonMedia,
])
.and(VALUES);
