//! Names of limits: each stands for counters of its own.

use super::Unique;
use super::names::Names;
use crate::located::found::Found;
use crate::located::tree::{Content, Node};

pub(super) fn check(root: &Node<'_>, found: &mut Found) {
    let mut names = Unique::new();
    for (text, name) in names_in(root) {
        if let Some(line) = names.earlier(text, name.mark) {
            let message = format!("the name `{text}` is taken by the limit on line {line}");
            found.at(name.mark, message, None);
        }
    }
}

/// The limits of a file, wherever they are: a key may be for any route.
pub(super) fn names<'t>(root: &'t Node<'t>) -> Names<'t> {
    let names = names_in(root).map(|(text, _)| text);
    // What was dropped may have been a limit, or a misspelt chain of them.
    let incomplete = root.dropped_keys().next().is_some()
        || ["chain", "routes"]
            .iter()
            .any(|part| root.get(part).is_some_and(|node| !node.is_whole()));
    Names::new(names, incomplete, PLACE)
}

/// Limits with these names.
pub(in crate::located) fn named<'t>(names: impl Iterator<Item = &'t str>) -> Names<'t> {
    Names::new(names, false, PLACE)
}

const PLACE: &str = "limits";

fn names_in<'t>(root: &'t Node<'t>) -> impl Iterator<Item = (&'t str, &'t Node<'t>)> {
    let routes = root.get("routes").into_iter().flat_map(Node::items);
    let chains = std::iter::once(root)
        .chain(routes)
        .filter_map(|node| node.get("chain"));
    let limits = chains
        .flat_map(Node::items)
        .filter_map(|plugin| plugin.get("limits"))
        .flat_map(Node::items);
    let names = limits.filter_map(|limit| limit.get("name"));
    names.filter_map(|name| match &name.content {
        Content::Scalar { text, .. } => Some((&**text, name)),
        _ => None,
    })
}
