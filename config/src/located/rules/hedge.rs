//! Whether a second attempt beside the first one can ever be made.

use crate::Config;
use crate::located::found::Found;
use crate::located::tree::Node;
use crate::route::{HedgeAfter, Route};
use crate::unit::Duration;
use crate::upstream::Upstream;

pub(super) fn check(config: &Config, root: &Node<'_>, found: &mut Found) {
    let nodes = root.get("routes").into_iter().flat_map(Node::items);
    for (route, node) in config.routes.iter().zip(nodes) {
        let (Some(hedge), Some(written)) = (&route.hedge, node.get("hedge")) else {
            continue;
        };
        attempts(route, node, found);
        if let (HedgeAfter::Time(after), Some(mark)) = (hedge.after, written.get("after")) {
            time(route, after, mark, found);
        }
        if is_known(root, node) && !has_elsewhere(config, route) {
            let message = "each target has a single endpoint: a second attempt has nowhere to go";
            let hint = "add endpoints to the upstream or a `fallback`, or remove `hedge`";
            found.at(written.heading, message, Some(hint.to_owned()));
        }
    }
}

/// The second attempt is one of those that the route allows.
fn attempts(route: &Route, node: &Node<'_>, found: &mut Found) {
    let Some(attempts) = node.get("attempts") else {
        return;
    };
    if route.attempts().get() < 2 {
        let message = "with one attempt there is no second one";
        let hint = "write `attempts: 2` or more, or remove `hedge`";
        found.at(attempts.mark, message, Some(hint.to_owned()));
    }
}

/// It is made before the first one has ended.
fn time(route: &Route, after: Duration, written: &Node<'_>, found: &mut Found) {
    let mut ends = |end: Option<Duration>, what: &str| {
        if let Some(end) = end.filter(|end| *end <= after) {
            let message = format!("after `{end}` {what}, and a second one is never sent");
            let hint = format!("write a time below `{end}`");
            found.at(written.mark, message, Some(hint));
        }
    };
    ends(route.deadline, "the request is over");
    ends(route.retry.first_token, "the first attempt has ended");
}

/// Whether what is written of the targets is all there.
fn is_known(root: &Node<'_>, route: &Node<'_>) -> bool {
    let upstreams = root.get("upstreams");
    !root.has_dropped("upstreams")
        && !route.has_dropped("fallback")
        && upstreams.is_none_or(Node::is_whole)
        && route.get("split").is_some_and(Node::is_whole)
}

/// Whether there is a fallback, or a target has two endpoints, or a name, which may have
/// several addresses.
fn has_elsewhere(config: &Config, route: &Route) -> bool {
    if !route.fallback.is_empty() {
        return true;
    }
    let chosen = route.split.iter().filter(|target| target.weight.get() > 0);
    let mut upstreams = chosen.map(|target| config.upstreams.get(&target.upstream));
    // What is not there is told already.
    upstreams.any(|upstream| upstream.is_none_or(may_have_two))
}

fn may_have_two(upstream: &Upstream) -> bool {
    let endpoints = upstream.endpoints.iter();
    let mut usable = endpoints.filter(|endpoint| endpoint.weight.get() > 0);
    let is_name = |address: &crate::unit::HostPort| address.ip().is_none();
    usable
        .next()
        .is_some_and(|first| is_name(&first.address) || usable.next().is_some())
}
