//! The routes of a table, found by what tells them apart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use penstock_config::route::Match;

use super::condition::{Answer, Asked, Condition};
use super::models::ModelIndex;
use super::path::PathIndex;

/// Finds the first route that matches with a look at few of the others: those whose path
/// cannot match are passed over, and those that differ in their models alone are one group.
pub(super) struct Index {
    paths: PathIndex,
    groups: Box<[Group]>,
}

/// Routes with the same path that ask for the same, each for models of its own.
struct Group {
    condition: Condition,
    models: ModelIndex,
}

impl Index {
    /// An index of routes with these matches, in the order of the file.
    pub(super) fn new<'c>(routes: impl Iterator<Item = &'c Match>) -> Self {
        let mut paths = PathIndex::new();
        let mut groups: Vec<Group> = Vec::new();
        let mut known: HashMap<_, usize> = HashMap::new();
        for (place, matches) in routes.enumerate() {
            let list = paths.list(matches.path.as_ref());
            match known.entry((list, Condition::terms(matches))) {
                Entry::Occupied(group) => {
                    if let Some(group) = groups.get_mut(*group.get()) {
                        group.models.add(place, &matches.models);
                    }
                }
                Entry::Vacant(free) => {
                    free.insert(groups.len());
                    paths.add(list, groups.len());
                    groups.push(Group {
                        condition: Condition::new(matches),
                        models: ModelIndex::new(place, &matches.models),
                    });
                }
            }
        }
        Self {
            paths,
            groups: groups.into(),
        }
    }

    /// The place of the first route that matches or may match.
    pub(super) fn first(&self, asked: Asked<'_>) -> Option<(usize, Answer)> {
        let mut first: Option<(usize, Answer)> = None;
        self.paths.visit(asked.head.uri.path(), |groups| {
            let groups = groups.iter().filter_map(|group| self.groups.get(*group));
            for Group { condition, models } in groups {
                let bound = first.map_or(usize::MAX, |(place, _)| place);
                if models.first() >= bound {
                    // Groups are in the order of their first routes.
                    return;
                }
                if condition.holds(asked)
                    && let Some(found) = models.find(asked.model)
                    && found.0 < bound
                {
                    first = Some(found);
                }
            }
        });
        first
    }
}
