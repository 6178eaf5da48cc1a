//! What relates parts of the file to each other.
//!
//! The rules look at what is left after decoding. Where a part was dropped for a
//! mistake of its own, they keep silent about what that part might have said.

mod authentication;
mod cache;
mod hedge;
mod limits;
mod names;
mod route;
mod server;
mod upstream;

pub(super) use authentication::{Distinct, key_holds, keys};
pub(super) use limits::named as limits_named;
pub(super) use names::Names;

use std::collections::HashMap;
use std::hash::Hash;

use super::found::Found;
use super::tree::{Mark, Node};
use crate::Config;

/// Most routes. A reload builds them all, and each has counters of its own.
const ROUTES_MAX: usize = 10_000;
/// Most upstreams.
const UPSTREAMS_MAX: usize = 1_000;
/// Most endpoints of one upstream.
const ENDPOINTS_MAX: usize = 1_024;

/// Checks how many parts the file has. Done before decoding, so that a file that is
/// out of bounds is told so even where its parts are wrong.
pub(super) fn counts(root: &Node<'_>, found: &mut Found) {
    let mut check = |node: Option<&Node<'_>>, what: &str, most: usize| {
        let Some(node) = node else { return };
        let count = node.items().count() + node.entries().count();
        if count > most {
            found.at(
                node.heading,
                format!("{count} {what} are too many: at most {most} are read"),
                None,
            );
        }
    };
    check(root.get("routes"), "routes", ROUTES_MAX);
    check(root.get("upstreams"), "upstreams", UPSTREAMS_MAX);
    for (_, upstream) in root.get("upstreams").into_iter().flat_map(Node::entries) {
        check(upstream.get("endpoints"), "endpoints", ENDPOINTS_MAX);
    }
}

/// Checks what is left after decoding.
pub(super) fn check(config: &Config, root: &Node<'_>, found: &mut Found) {
    server::check(&config.server, root, found);
    upstream::check(&config.upstreams, root, found);
    route::check(&config.routes, root, found);
    hedge::check(config, root, found);
    limits::check(root, found);
    authentication::check(config, root, found);
    cache::check(config, root, found);
}

/// Finds values that stand twice.
struct Unique<T> {
    lines: HashMap<T, usize>,
}

impl<T: Eq + Hash> Unique<T> {
    fn new() -> Self {
        Self {
            lines: HashMap::new(),
        }
    }

    /// The line where the value stood first, if it stood before.
    fn earlier(&mut self, value: T, mark: Mark) -> Option<usize> {
        match self.lines.entry(value) {
            std::collections::hash_map::Entry::Occupied(first) => Some(*first.get()),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(mark.line());
                None
            }
        }
    }
}
