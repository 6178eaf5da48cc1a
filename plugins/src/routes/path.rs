//! Routes by the path that they match.

use std::collections::HashMap;

use penstock_config::route::PathMatch;

/// Places of routes in the file, ascending.
type Places = Vec<usize>;

/// Finds the routes whose path matches, without a look at the others.
#[derive(Debug)]
pub(super) struct PathIndex {
    exact: HashMap<Box<str>, Places>,
    /// A tree of segments, its root first.
    prefixes: Vec<Node>,
    /// Routes with any path, or with a pattern that says nothing of the first segment.
    others: Places,
}

/// One segment of prefixes.
#[derive(Debug, Default)]
struct Node {
    /// Where the next segments' nodes are.
    next: HashMap<Box<str>, usize>,
    /// Routes whose prefix ends here, or whose pattern goes on from here.
    routes: Places,
}

impl PathIndex {
    /// An index of the routes with these paths, in the order of the file.
    pub(super) fn new<'a>(paths: impl Iterator<Item = Option<&'a PathMatch>>) -> Self {
        let mut index = Self {
            exact: HashMap::new(),
            prefixes: vec![Node::default()],
            others: Places::new(),
        };
        for (place, path) in paths.enumerate() {
            match path {
                Some(PathMatch::Exact(path)) => {
                    index
                        .exact
                        .entry(path.as_str().into())
                        .or_default()
                        .push(place);
                }
                Some(PathMatch::Prefix(prefix)) => index.add_prefix(prefix, place),
                Some(PathMatch::Glob(glob)) => match plain_segments(glob.as_str()) {
                    Some(prefix) => index.add_prefix(prefix, place),
                    None => index.others.push(place),
                },
                None => index.others.push(place),
            }
        }
        index
    }

    /// A slash at a prefix's end means nothing, as in Kubernetes' Gateway API
    /// (`HTTPPathMatch`, type `PathPrefix`).
    fn add_prefix(&mut self, prefix: &str, place: usize) {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut at = 0;
        for segment in segments(prefix) {
            let fresh = self.prefixes.len();
            let Some(node) = self.prefixes.get_mut(at) else {
                return;
            };
            at = *node.next.entry(segment.into()).or_insert(fresh);
            if at == fresh {
                self.prefixes.push(Node::default());
            }
        }
        if let Some(node) = self.prefixes.get_mut(at) {
            node.routes.push(place);
        }
    }

    /// Shows each list of routes whose path matches, or, of those with a pattern,
    /// may match.
    pub(super) fn visit(&self, path: &str, mut visit: impl FnMut(&[usize])) {
        if let Some(routes) = self.exact.get(path) {
            visit(routes);
        }
        if path.starts_with('/') {
            self.visit_prefixes(path, &mut visit);
        }
        visit(&self.others);
    }

    /// Goes down the tree as far as it reaches; its depth bounds the work, whatever
    /// the length of the path.
    fn visit_prefixes(&self, path: &str, visit: &mut impl FnMut(&[usize])) {
        let mut segments = segments(path);
        let mut node = self.prefixes.first();
        while let Some(here) = node {
            visit(&here.routes);
            let next = segments.next().and_then(|segment| here.next.get(segment));
            node = next.and_then(|next| self.prefixes.get(*next));
        }
    }
}

/// The segments that every path of this pattern begins with; none when it could also
/// match what is no absolute path.
fn plain_segments(pattern: &str) -> Option<&str> {
    let plain = pattern.split(['*', '?']).next()?;
    plain.rsplit_once('/').map(|(segments, _)| segments)
}

/// What stands after each slash of an absolute path.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}
