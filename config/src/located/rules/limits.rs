//! Names of limits: each stands for counters of its own.

use super::Unique;
use crate::located::found::Found;
use crate::located::tree::{Content, Node};

pub(super) fn check(root: &Node, found: &mut Found) {
    let routes = root.get("routes").into_iter().flat_map(Node::items);
    let chains = std::iter::once(root)
        .chain(routes)
        .filter_map(|node| node.get("chain"));
    let limits = chains
        .flat_map(Node::items)
        .filter_map(|plugin| plugin.get("limits"))
        .flat_map(Node::items);
    let mut names = Unique::new();
    for name in limits.filter_map(|limit| limit.get("name")) {
        let Content::Scalar { text, .. } = &name.content else {
            continue;
        };
        if let Some(line) = names.earlier(text.as_str(), name.mark) {
            let message = format!("the name `{text}` is taken by the limit on line {line}");
            found.at(name.mark, message, None);
        }
    }
}
