//! The mistakes found so far.

use std::ops::Range;

use super::tree::Mark;
use crate::{Mistake, Report};

/// Most mistakes that one run reports. A file with more is of another format, or was
/// broken by one cause.
const MISTAKES_MAX: usize = 100;

/// The mistakes found so far, and what of the text must not be shown with them.
#[derive(Default)]
pub(super) struct Found {
    mistakes: Vec<Mistake>,
    masked: Vec<Range<usize>>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// Whether the search should stop.
    pub(super) fn is_full(&self) -> bool {
        self.mistakes.len() >= MISTAKES_MAX
    }

    pub(super) fn at(&mut self, mark: Mark, message: impl Into<String>, hint: Option<String>) {
        if !self.is_full() {
            let Mark { line, column, .. } = mark;
            self.mistakes.push(Mistake {
                line,
                column,
                message: message.into(),
                hint,
            });
        }
    }

    /// A mistake of the whole file.
    pub(super) fn at_start(&mut self, message: impl Into<String>) {
        self.at(Mark::default(), message, None);
    }

    /// Marks a part of the text as a possible secret.
    pub(super) fn mask(&mut self, bytes: Range<usize>) {
        self.masked.push(bytes);
    }

    /// Marks a line's value as a possible secret if its key sounds like one: where
    /// text is not YAML, no type says what it was to be.
    pub(super) fn mask_likely_secret(&mut self, text: &str, line: Range<usize>) {
        const WORDS: [&str; 6] = [
            "key",
            "hash",
            "secret",
            "token",
            "password",
            "authorization",
        ];

        let source = text.get(line.clone()).unwrap_or_default();
        let key = source.split(':').next().unwrap_or_default();
        let folded = key.to_lowercase();
        if WORDS.iter().any(|word| folded.contains(word)) {
            self.mask(line.start + key.len()..line.end);
        }
    }

    pub(super) fn into_report(self) -> Report {
        let cut = self.is_full();
        Report::new(self.mistakes, cut, self.masked)
    }
}
