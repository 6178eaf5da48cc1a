//! An upstream's endpoints, and what its protocol needs.

use std::collections::BTreeMap;

use super::Unique;
use crate::located::found::Found;
use crate::located::tree::Node;
use crate::unit::Name;
use crate::upstream::{Balance, Ejection, Protocol, Upstream};

pub(super) fn check(upstreams: &BTreeMap<Name, Upstream>, root: &Node<'_>, found: &mut Found) {
    for (key, node) in root.get("upstreams").into_iter().flat_map(Node::entries) {
        if let Some(upstream) = upstreams.get(&*key.text) {
            endpoints(upstream, node, found);
            protocol(upstream, node, found);
            affinity(upstream, node, found);
            ejection(upstream, node, found);
        }
    }
}

fn endpoints(upstream: &Upstream, node: &Node<'_>, found: &mut Found) {
    let Some(list) = node.get("endpoints") else {
        return;
    };
    let mut addresses = Unique::new();
    for (endpoint, node) in upstream.endpoints.iter().zip(list.items()) {
        let mark = node
            .get("address")
            .map_or(node.mark, |address| address.mark);
        if let Some(line) = addresses.earlier(&endpoint.address, mark) {
            let message = format!(
                "`{}` stands in this upstream twice: first on line {line}",
                endpoint.address
            );
            let hint = "give one of them a greater `weight` instead";
            found.at(mark, message, Some(hint.to_owned()));
        }
    }
    if list.is_whole()
        && upstream
            .endpoints
            .iter()
            .all(|endpoint| endpoint.weight.get() == 0)
    {
        let message = "every endpoint has the weight 0, so that none can be chosen";
        found.at(
            list.heading,
            message,
            Some("give one of them a greater `weight`".to_owned()),
        );
    }
}

fn protocol(upstream: &Upstream, node: &Node<'_>, found: &mut Found) {
    let Some(protocol) = node.get("protocol") else {
        return;
    };
    if upstream.protocol == Protocol::Auto && upstream.tls.is_none() && !node.has_dropped("tls") {
        let message =
            "`auto` needs `tls`: which HTTP version a server speaks is agreed in the TLS handshake";
        let hint = "add `tls: {}`, or write `http1` or `http2`";
        found.at(protocol.mark, message, Some(hint.to_owned()));
    }
}

/// A hash needs a key, and a key is of use to a hash only.
fn affinity(upstream: &Upstream, node: &Node<'_>, found: &mut Found) {
    let hashes = upstream.balance == Balance::Hash;
    match (node.get("balance"), node.get("affinity")) {
        (Some(balance), None) if hashes && !node.has_dropped("affinity") => {
            let message = "`hash` needs `affinity`: what requests have in common that go to the same endpoint";
            let hint = "add `affinity: { header: x-session-id }`, `affinity: consumer` or `affinity: { prompt: {} }`";
            found.at(balance.mark, message, Some(hint.to_owned()));
        }
        (_, Some(affinity)) if !hashes && !node.has_dropped("balance") => {
            let message = format!(
                "`affinity` has no effect with `balance: {}`",
                upstream.balance.as_str()
            );
            let hint = "write `balance: hash`, or remove it";
            found.at(affinity.heading, message, Some(hint.to_owned()));
        }
        _ => {}
    }
}

fn ejection(upstream: &Upstream, node: &Node<'_>, found: &mut Found) {
    let (Ejection::On(rules), Some(node)) = (&upstream.ejection, node.get("ejection")) else {
        return;
    };
    if rules.max_time >= rules.time || node.has_dropped("time") || node.has_dropped("max_time") {
        return;
    }
    if let Some(written) = node.get("max_time").or(node.get("time")) {
        let message = format!(
            "an endpoint is left alone for `{}` at first, and for `{}` at most",
            rules.time, rules.max_time
        );
        let hint = "write a `max_time` that is no less than `time`";
        found.at(written.mark, message, Some(hint.to_owned()));
    }
}
