//! Routes by name, where they lead, and whether they are ever reached.

use super::Unique;
use crate::located::error::{list, nearest};
use crate::located::found::Found;
use crate::located::tree::Node;
use crate::route::{Match, PathMatch, Route};
use crate::unit::{Name, shown};

pub(super) fn check(routes: &[Route], root: &Node, found: &mut Found) {
    let nodes = || root.get("routes").into_iter().flat_map(Node::items);
    let upstreams = Upstreams::new(root);
    let mut names = Unique::new();
    for (route, node) in routes.iter().zip(nodes()) {
        let mark = node.get("name").map_or(node.mark, |name| name.mark);
        if let Some(line) = names.earlier(&route.name, mark) {
            found.at(
                mark,
                format!(
                    "the name `{}` is taken by the route on line {line}",
                    route.name
                ),
                None,
            );
        }
        headers(node, found);
        targets(route, node, &upstreams, found);
    }
    reached(routes.iter().zip(nodes()), found);
}

/// Two spellings of one header are one key too many; decoding would keep the last.
fn headers(node: &Node, found: &mut Found) {
    let headers = node.get("match").and_then(|matches| matches.get("headers"));
    let mut names = Unique::new();
    for (key, _) in headers.into_iter().flat_map(Node::entries) {
        if let Some(line) = names.earlier(key.text.to_ascii_lowercase(), key.mark) {
            let message = format!(
                "the header {} stands here twice: first on line {line}",
                shown(&key.text)
            );
            found.at(key.mark, message, None);
        }
    }
}

fn targets(route: &Route, node: &Node, upstreams: &Upstreams<'_>, found: &mut Found) {
    let Some(split) = node.get("split") else {
        return;
    };
    for (target, node) in route.split.iter().zip(split.items()) {
        if let Some(node) = node.get("upstream") {
            upstreams.check(&target.upstream, node, found);
        }
    }
    if split.is_whole() && route.split.iter().all(|target| target.weight.get() == 0) {
        let message = "every target has the weight 0, so that none can be chosen";
        found.at(
            split.heading,
            message,
            Some("give one of them a greater `weight`".to_owned()),
        );
    }
}

/// The names that a target can refer to.
struct Upstreams<'t> {
    /// Those with mistakes too: a reference to one is right.
    names: std::collections::BTreeSet<&'t str>,
    /// Whether some may be missing because of a mistake that is reported already.
    incomplete: bool,
}

impl<'t> Upstreams<'t> {
    /// Most names that a hint lists.
    const LISTED_MAX: usize = 10;

    fn new(root: &'t Node) -> Self {
        let upstreams = root.get("upstreams");
        let names = upstreams.into_iter().flat_map(Node::all_entries);
        Self {
            names: names.map(|(key, _)| key.text.as_str()).collect(),
            // A part with a misspelt name may have been this one.
            incomplete: match upstreams {
                Some(_) => root.has_dropped("upstreams"),
                None => !root.is_whole(),
            },
        }
    }

    fn check(&self, name: &Name, node: &Node, found: &mut Found) {
        if self.incomplete || found.is_full() || self.names.contains(name.as_str()) {
            return;
        }
        let hint = match nearest(name.as_str(), self.names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if self.names.is_empty() => "define it under `upstreams`".to_owned(),
            None if self.names.len() <= Self::LISTED_MAX => {
                format!(
                    "defined: {}",
                    list(&self.names.iter().copied().collect::<Vec<_>>(), "and")
                )
            }
            None => {
                "define it under `upstreams`, or write the name of one that is there".to_owned()
            }
        };
        found.at(
            node.mark,
            format!("no upstream is named `{name}`"),
            Some(hint),
        );
    }
}

fn reached<'a>(routes: impl Iterator<Item = (&'a Route, &'a Node)>, found: &mut Found) {
    let mut last: Option<(&Route, &Node)> = None;
    for (route, node) in routes {
        if let Some((all, all_node)) = last {
            let message = format!(
                "route `{}` is never reached: `{}` on line {} takes every request",
                route.name, all.name, all_node.mark.line
            );
            found.at(
                node.mark,
                message,
                Some(format!("move it before `{}`", all.name)),
            );
        } else if takes_all(&route.matches) && says_all(node) {
            last = Some((route, node));
        }
    }
}

fn takes_all(matches: &Match) -> bool {
    let path = match &matches.path {
        None => true,
        Some(PathMatch::Exact(_)) => false,
        Some(PathMatch::Prefix(prefix)) => prefix == "/",
        Some(PathMatch::Glob(glob)) => matches!(glob.as_str(), "**" | "/**"),
    };
    path && matches.methods.is_empty() && matches.headers.is_empty() && matches.models.is_empty()
}

/// Whether the conditions of a route are all that was written: one that was dropped
/// would have narrowed them.
fn says_all(node: &Node) -> bool {
    !node.has_dropped("match") && node.get("match").is_none_or(Node::is_whole)
}
