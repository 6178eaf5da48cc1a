//! Routes by the models that they match.

use std::collections::HashMap;

use penstock_config::unit::Glob;

use super::condition::{Answer, Model};
use super::pattern::Pattern;

/// Finds the first of a group's routes that takes a model. Names are found by hash, and so
/// are beginnings such as `gpt-*`, once for each length that one of them has.
pub(super) struct ModelIndex {
    /// The place of the group's first route.
    first: usize,
    /// The first that does not look at models. No later one is ever reached.
    any: Option<usize>,
    names: HashMap<Box<str>, usize>,
    beginnings: HashMap<Box<str>, usize>,
    /// The lengths that beginnings have, ascending.
    lengths: Vec<usize>,
    /// All other patterns, ascending by place.
    patterns: Vec<(usize, Pattern)>,
}

impl ModelIndex {
    /// Of a group whose first route is at this place and matches any of these models, or if
    /// there are none, any body.
    pub(super) fn new(place: usize, models: &[Glob]) -> Self {
        let mut index = Self {
            first: place,
            any: None,
            names: HashMap::new(),
            beginnings: HashMap::new(),
            lengths: Vec::new(),
            patterns: Vec::new(),
        };
        index.add(place, models);
        index
    }

    /// Adds a route that comes after those that are there.
    pub(super) fn add(&mut self, place: usize, models: &[Glob]) {
        if self.any.is_some() {
            return;
        }
        if models.is_empty() {
            self.any = Some(place);
        }
        for glob in models {
            let text = glob.as_str();
            let beginning = text.trim_end_matches('*');
            if beginning.contains(['*', '?']) {
                self.patterns.push((place, Pattern::new(glob)));
            } else if beginning == text {
                self.names.entry(text.into()).or_insert(place);
            } else {
                self.beginnings.entry(beginning.into()).or_insert(place);
                if let Err(at) = self.lengths.binary_search(&beginning.len()) {
                    self.lengths.insert(at, beginning.len());
                }
            }
        }
    }

    /// The place of the group's first route.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// The first route that takes this model or may take it.
    pub(super) fn find(&self, model: Model<'_>) -> Option<(usize, Answer)> {
        match model {
            Model::Unknown if self.any == Some(self.first) => Some((self.first, Answer::Yes)),
            Model::Unknown => Some((self.first, Answer::DependsOnModel)),
            Model::Known(None) => Some((self.any?, Answer::Yes)),
            Model::Known(Some(model)) => Some((self.takes(model)?, Answer::Yes)),
        }
    }

    fn takes(&self, model: &str) -> Option<usize> {
        let lengths = self.lengths.iter().map_while(|length| {
            // Between the bytes of a character no beginning ends.
            (*length <= model.len()).then(|| model.get(..*length))
        });
        let beginnings = lengths
            .flatten()
            .filter_map(|text| self.beginnings.get(text));
        let found = [self.names.get(model), self.any.as_ref()];
        let first = found.into_iter().flatten().chain(beginnings).min().copied();
        let before = |place: usize| first.is_none_or(|first| place < first);
        let mut patterns = self.patterns.iter().take_while(|(place, _)| before(*place));
        let pattern = patterns.find(|(_, pattern)| pattern.matches_text(model));
        pattern.map(|(place, _)| *place).or(first)
    }
}
