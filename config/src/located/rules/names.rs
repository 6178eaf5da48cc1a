//! Names that other parts of the file refer to.

use std::collections::BTreeSet;

use crate::located::error::{list, nearest};

/// The names of one kind of thing.
pub(in crate::located) struct Names<'t> {
    /// Those with mistakes too: a reference to one is right.
    names: BTreeSet<&'t str>,
    /// Whether some may be missing because of a mistake that is reported already.
    incomplete: bool,
    /// Where they are defined.
    place: &'static str,
}

impl<'t> Names<'t> {
    /// Most names that a hint lists.
    const LISTED_MAX: usize = 10;

    pub(in crate::located) fn new(
        names: impl Iterator<Item = &'t str>,
        incomplete: bool,
        place: &'static str,
    ) -> Self {
        Self {
            names: names.collect(),
            incomplete,
            place,
        }
    }

    /// For a name that is surely none of them, what to do about it.
    pub(super) fn hint_for(&self, unknown: &str) -> Option<String> {
        let place = self.place;
        if self.incomplete || self.names.contains(unknown) {
            return None;
        }
        Some(match nearest(unknown, self.names.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if self.names.is_empty() => format!("define it under `{place}`"),
            None if self.names.len() <= Self::LISTED_MAX => {
                let names: Vec<_> = self.names.iter().copied().collect();
                format!("defined: {}", list(&names, "and"))
            }
            None => format!("define it under `{place}`, or write the name of one that is there"),
        })
    }
}
