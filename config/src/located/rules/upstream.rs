//! An upstream's endpoints, and what its protocol needs.

use std::collections::BTreeMap;

use super::Unique;
use crate::located::found::Found;
use crate::located::tree::Node;
use crate::unit::Name;
use crate::upstream::{Protocol, Upstream};

pub(super) fn check(upstreams: &BTreeMap<Name, Upstream>, root: &Node, found: &mut Found) {
    for (key, node) in root.get("upstreams").into_iter().flat_map(Node::entries) {
        if let Some(upstream) = upstreams.get(key.text.as_str()) {
            endpoints(upstream, node, found);
            protocol(upstream, node, found);
        }
    }
}

fn endpoints(upstream: &Upstream, node: &Node, found: &mut Found) {
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

fn protocol(upstream: &Upstream, node: &Node, found: &mut Found) {
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
