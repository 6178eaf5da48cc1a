//! Parameters of a query or a form, and the cookies of a header.

use super::json::is_link;
use super::rule::Target;

/// Parameters that hold a prompt, whose values are not looked at.
const PROMPTS: [&[u8]; 5] = [b"prompt", b"input", b"instructions", b"messages", b"system"];

/// A name or a value among parameters, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter<'t> {
    /// What it is.
    pub(super) target: Target,
    /// The parameter's name.
    pub(super) name: &'t [u8],
    /// The name or the value.
    pub(super) text: &'t [u8],
}

/// Shows the names and values of `name=value&...` (WHATWG URL, section 5.1) to `look`,
/// until that asks for no more.
pub(super) fn each<'t>(text: &'t [u8], mut look: impl FnMut(Parameter<'t>) -> bool) {
    for pair in text
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = halves(pair);
        let target = if is_link(name) {
            Target::ParameterLink
        } else {
            Target::Parameter
        };
        let shown = [
            Some(Parameter {
                target: Target::ParameterName,
                name,
                text: name,
            }),
            (!PROMPTS.contains(&name)).then_some(Parameter {
                target,
                name,
                text: value,
            }),
        ];
        for parameter in shown.into_iter().flatten() {
            if !look(parameter) {
                return;
            }
        }
    }
}

/// The names and values of the cookies in a header (RFC 6265 section 4.2.1).
pub(super) fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = header.split(|byte| *byte == b';');
    pairs.map(|pair| halves(pair.trim_ascii()))
}

/// What is before the first `=` and what is after it; without one all is the value, as
/// where a program is called by its parameter alone.
fn halves(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => {
            let (name, value) = pair.split_at(at);
            (name, value.get(1..).unwrap_or_default())
        }
        None => (&[], pair),
    }
}

#[cfg(test)]
mod tests;
