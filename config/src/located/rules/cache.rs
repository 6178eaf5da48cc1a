//! What one cache may store fits into what all of them have.

use crate::located::found::Found;
use crate::located::tree::Node;
use crate::plugin::Plugin;
use crate::unit::Size;
use crate::{Config, Server};

pub(super) fn check(config: &Config, root: &Node<'_>, found: &mut Found) {
    let Some(capacity) = capacity(&config.server, root) else {
        return;
    };
    chain(&config.chain, root.get("chain"), capacity, found);
    let nodes = root.get("routes").into_iter().flat_map(Node::items);
    for (route, node) in config.routes.iter().zip(nodes) {
        chain(&route.chain, node.get("chain"), capacity, found);
    }
}

/// The capacity, unless what was written of it was dropped.
fn capacity(server: &Server, root: &Node<'_>) -> Option<Size> {
    if root.has_dropped("server") {
        return None;
    }
    let cache = match root.get("server") {
        Some(node) if node.has_dropped("cache") => return None,
        server => server.and_then(|server| server.get("cache")),
    };
    let dropped = cache.is_some_and(|cache| cache.has_dropped("capacity"));
    (!dropped).then_some(server.cache.capacity)
}

fn chain(plugins: &[Plugin], node: Option<&Node<'_>>, capacity: Size, found: &mut Found) {
    let nodes = node.into_iter().flat_map(Node::items);
    for (plugin, node) in plugins.iter().zip(nodes) {
        let Plugin::Cache(cache) = plugin else {
            continue;
        };
        let written = node.get("cache").and_then(|node| node.get("max_entry"));
        // A default that is too large stores what fits.
        let Some(node) = written.filter(|_| cache.max_entry > capacity) else {
            continue;
        };
        found.at(
            node.mark,
            format!(
                "`{}` is more than all answers together may take up: `server.cache.capacity` is \
                 `{capacity}`",
                cache.max_entry
            ),
            Some("write less, or give the server more".to_owned()),
        );
    }
}
