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
            self.mistakes.push(Mistake {
                line: mark.line(),
                column: mark.column(),
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

    /// Marks what may be a secret in a line of text that is not YAML, where no type says
    /// what was to be there: whatever follows a key that sounds like one, and what looks
    /// like a key itself.
    pub(super) fn mask_likely_secret(&mut self, text: &str, line: Range<usize>) {
        const WORDS: [&str; 11] = [
            "key",
            "hash",
            "secret",
            "token",
            "password",
            "authorization",
            "bearer",
            "credential",
            "anthropic",
            "azure",
            "google",
        ];
        let source = text.get(line.clone()).unwrap_or_default();
        let folded = source.to_ascii_lowercase();
        let word = WORDS.iter().filter_map(|word| folded.find(word));
        if let Some(at) = word.min() {
            let rest = source.get(at..).unwrap_or_default();
            let key = rest.find(':').unwrap_or_default();
            self.mask(line.start + at + key..line.end);
        }
        let mut start = line.start;
        for part in source.split_inclusive(|c: char| !is_part_of_a_key(c)) {
            let end = start + part.len();
            let text = part.trim_end_matches(|c: char| !is_part_of_a_key(c));
            if looks_like_a_key(text) {
                self.mask(start..end);
            }
            start = end;
        }
    }

    pub(super) fn into_report(self) -> Report {
        let cut = self.is_full();
        Report::new(self.mistakes, cut, self.masked)
    }
}

/// Whether a text may be an API key that stands in a wrong place. Words and names of ours
/// are shorter, or have no digits.
pub(super) fn looks_like_a_key(text: &str) -> bool {
    const BYTES_MIN: usize = 16;
    text.len() >= BYTES_MIN
        && text.chars().all(is_part_of_a_key)
        && text.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_part_of_a_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}
