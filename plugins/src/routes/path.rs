//! Groups of routes by the path that they match.

use std::collections::HashMap;

use penstock_config::route::PathMatch;

/// Numbers of groups, in the order of their first routes.
type Groups = Vec<usize>;

/// Where a list stands among all.
pub(super) type ListId = usize;

/// Groups with any path, or with a pattern that says nothing of the first segment.
const OTHERS: ListId = 0;

/// Finds the groups whose path matches, without a look at the others.
pub(super) struct PathIndex {
    exact: HashMap<Box<str>, ListId>,
    /// A tree of segments, its root first.
    prefixes: Vec<Node>,
    lists: Vec<Groups>,
}

/// One segment of prefixes.
struct Node {
    /// Where the next segments' nodes are.
    next: HashMap<Box<str>, usize>,
    /// Groups whose prefix ends here, or whose pattern goes on from here.
    list: ListId,
}

impl PathIndex {
    /// An index of nothing.
    pub(super) fn new() -> Self {
        let mut index = Self {
            exact: HashMap::new(),
            prefixes: Vec::new(),
            // That of the others is there from the beginning.
            lists: vec![Groups::new()],
        };
        index.add_node();
        index
    }

    /// The list of groups with this path. It is empty when the path is a new one.
    pub(super) fn list(&mut self, path: Option<&PathMatch>) -> ListId {
        match path {
            Some(PathMatch::Exact(path)) => {
                if let Some(list) = self.exact.get(path.as_str()) {
                    return *list;
                }
                let list = self.add_list();
                self.exact.insert(path.as_str().into(), list);
                list
            }
            Some(PathMatch::Prefix(prefix)) => self.prefix_list(prefix),
            Some(PathMatch::Glob(glob)) => match plain_segments(glob.as_str()) {
                Some(prefix) => self.prefix_list(prefix),
                None => OTHERS,
            },
            None => OTHERS,
        }
    }

    /// Puts a group at the end of a list.
    pub(super) fn add(&mut self, list: ListId, group: usize) {
        if let Some(list) = self.lists.get_mut(list) {
            list.push(group);
        }
    }

    fn add_list(&mut self) -> ListId {
        self.lists.push(Groups::new());
        self.lists.len() - 1
    }

    fn add_node(&mut self) -> usize {
        let list = self.add_list();
        self.prefixes.push(Node {
            next: HashMap::new(),
            list,
        });
        self.prefixes.len() - 1
    }

    /// A slash at a prefix's end means nothing, as in Kubernetes' Gateway API
    /// (`HTTPPathMatch`, type `PathPrefix`).
    fn prefix_list(&mut self, prefix: &str) -> ListId {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut at = 0;
        for segment in segments(prefix) {
            let next = self
                .prefixes
                .get(at)
                .and_then(|node| node.next.get(segment));
            at = match next {
                Some(next) => *next,
                None => {
                    let fresh = self.add_node();
                    if let Some(node) = self.prefixes.get_mut(at) {
                        node.next.insert(segment.into(), fresh);
                    }
                    fresh
                }
            };
        }
        self.prefixes.get(at).map_or(OTHERS, |node| node.list)
    }

    /// Shows each list of groups whose path matches, or, of those with a pattern,
    /// may match.
    pub(super) fn visit(&self, path: &str, mut visit: impl FnMut(&[usize])) {
        let mut show = |list: ListId| {
            if let Some(groups) = self.lists.get(list) {
                visit(groups);
            }
        };
        if let Some(list) = self.exact.get(path) {
            show(*list);
        }
        if path.starts_with('/') {
            self.visit_prefixes(path, &mut show);
        }
        show(OTHERS);
    }

    /// Goes down the tree as far as it reaches; its depth bounds the work, whatever
    /// the length of the path.
    fn visit_prefixes(&self, path: &str, show: &mut impl FnMut(ListId)) {
        let mut segments = segments(path);
        let mut node = self.prefixes.first();
        while let Some(here) = node {
            show(here.list);
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
