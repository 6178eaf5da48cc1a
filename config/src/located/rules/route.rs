//! Routes by name, where they lead, and whether they are ever reached.

use super::Unique;
use super::names::Names;
use crate::located::found::Found;
use crate::located::tree::Node;
use crate::route::{Match, PathMatch, Route};
use crate::unit::{Name, shown};
use crate::upstream::Affinity;

pub(super) fn check(routes: &[Route], root: &Node<'_>, found: &mut Found) {
    let nodes = || root.get("routes").into_iter().flat_map(Node::items);
    let upstreams = upstreams(root);
    // What was dropped for a mistake of its own, which is reported, may have known them.
    let knows_countries = root.get("geoip").is_some() || root.dropped_keys().next().is_some();
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
        if !knows_countries {
            countries(route, node, found);
        }
        targets(route, node, &upstreams, found);
        fallback(route, node, found);
        sticky(route, node, found);
        if let (Some(shadow), Some(node)) = (&route.shadow, node.get("shadow")) {
            refers(&shadow.upstream, node, &upstreams, found);
        }
    }
    reached(routes.iter().zip(nodes()), found);
}

/// Two spellings of one header are one key too many; decoding would keep the last.
fn headers(node: &Node<'_>, found: &mut Found) {
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

/// A split knows nothing of prompts: what it keeps apart is not what servers keep.
fn sticky(route: &Route, node: &Node<'_>, found: &mut Found) {
    if let (Some(Affinity::Prompt(_)), Some(node)) = (&route.sticky, node.get("sticky")) {
        let message = "`prompt` chooses among the endpoints of an upstream, not among targets";
        let hint = "write `balance: hash` and `affinity: { prompt: {} }` in the upstream";
        found.at(node.heading, message, Some(hint.to_owned()));
    }
}

/// Without a database no address is in any country.
fn countries(route: &Route, node: &Node<'_>, found: &mut Found) {
    let countries = node.get("match").and_then(|node| node.get("countries"));
    if let Some(node) = countries.filter(|_| !route.matches.countries.is_empty()) {
        let message = "nothing says where addresses are";
        let hint = "add `geoip: { file: PATH }` to the file, with a database of countries";
        found.at(node.heading, message, Some(hint.to_owned()));
    }
}

fn targets(route: &Route, node: &Node<'_>, upstreams: &Names<'_>, found: &mut Found) {
    let split = route.split.iter().map(|target| &target.upstream);
    known(split, node.get("split"), upstreams, found);
    let fallback = route.fallback.iter().map(|target| &target.upstream);
    known(fallback, node.get("fallback"), upstreams, found);
    let Some(split) = node.get("split") else {
        return;
    };
    if split.is_whole() && route.split.iter().all(|target| target.weight.get() == 0) {
        let message = "every target has the weight 0, so that none can be chosen";
        found.at(
            split.heading,
            message,
            Some("give one of them a greater `weight`".to_owned()),
        );
    }
}

/// Each name is one of an upstream.
fn known<'a>(
    names: impl Iterator<Item = &'a Name>,
    targets: Option<&Node<'_>>,
    upstreams: &Names<'_>,
    found: &mut Found,
) {
    let targets = targets.into_iter().flat_map(Node::items);
    for (name, target) in names.zip(targets) {
        refers(name, target, upstreams, found);
    }
}

/// The upstream of a target must be there.
fn refers(name: &Name, target: &Node<'_>, upstreams: &Names<'_>, found: &mut Found) {
    let Some(node) = target.get("upstream").filter(|_| !found.is_full()) else {
        return;
    };
    if let Some(hint) = upstreams.hint_for(name.as_str()) {
        found.at(
            node.mark,
            format!("no upstream is named `{name}`"),
            Some(hint),
        );
    }
}

/// Each target of `fallback` can be reached, and is another one than those before it.
fn fallback(route: &Route, node: &Node, found: &mut Found) {
    let Some(list) = node.get("fallback") else {
        return;
    };
    let needed = route.fallback.len() + 1;
    if let (Some(attempts), Some(written)) = (route.attempts, node.get("attempts"))
        && attempts.get() < needed
    {
        found.at(
            written.mark,
            format!("{attempts} attempts do not reach the last target of `fallback`"),
            Some(format!("write `attempts: {needed}` or more")),
        );
    }
    let mut earlier = Unique::new();
    let mut chosen = route.split.iter().filter(|target| target.weight.get() > 0);
    if let (Some(only), None) = (chosen.next(), chosen.next())
        && let Some(split) = node.get("split").filter(|split| split.is_whole())
    {
        earlier.earlier((&only.upstream, &only.model), split.heading);
    }
    for (target, node) in route.fallback.iter().zip(list.items()) {
        if let Some(line) = earlier.earlier((&target.upstream, &target.model), node.mark) {
            let upstream = &target.upstream;
            found.at(
                node.mark,
                format!(
                    "a request that comes here has failed at `{upstream}` already: line {line}"
                ),
                Some("remove it, or name another `model`".to_owned()),
            );
        }
    }
}

/// The names that a target can refer to.
fn upstreams<'t>(root: &'t Node<'t>) -> Names<'t> {
    let upstreams = root.get("upstreams");
    let names = upstreams.into_iter().flat_map(Node::all_entries);
    // A part with a misspelt name may have been this one.
    let incomplete = match upstreams {
        Some(_) => root.has_dropped("upstreams"),
        None => !root.is_whole(),
    };
    Names::new(names.map(|(key, _)| &*key.text), incomplete, "upstreams")
}

fn reached<'a>(routes: impl Iterator<Item = (&'a Route, &'a Node<'a>)>, found: &mut Found) {
    let mut last: Option<(&Route, &Node<'_>)> = None;
    for (route, node) in routes {
        if let Some((all, all_node)) = last {
            let message = format!(
                "route `{}` is never reached: `{}` on line {} takes every request",
                route.name,
                all.name,
                all_node.mark.line()
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
    path && matches.methods.is_empty()
        && matches.headers.is_empty()
        && matches.models.is_empty()
        && matches.countries.is_empty()
}

/// Whether the conditions of a route are all that was written: one that was dropped
/// would have narrowed them.
fn says_all(node: &Node<'_>) -> bool {
    !node.has_dropped("match") && node.get("match").is_none_or(Node::is_whole)
}
