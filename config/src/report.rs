//! What is wrong with a file, told to the person who wrote it.

use std::fmt;
use std::ops::Range;

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and mostly what would be right. One line.
    pub message: String,
    /// More help, if there is any. One line.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Every mistake in a file, in the order of their places. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    mistakes: Vec<Mistake>,
    /// Whether reading stopped at the most mistakes that are reported.
    cut: bool,
    /// Parts of the text, in bytes, that may be secrets and are not shown.
    masked: Vec<Range<usize>>,
}

impl Report {
    /// Sorts the mistakes, and drops those that say the same of the same place, as a
    /// block that is used through several aliases makes them.
    pub(crate) fn new(mut mistakes: Vec<Mistake>, cut: bool, masked: Vec<Range<usize>>) -> Self {
        mistakes
            .sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
        mistakes.dedup();
        Self {
            mistakes,
            cut,
            masked,
        }
    }

    /// The mistakes, in the order of their places.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// The report for a terminal or a log: for each mistake `file:line:column:
    /// message`, the line of `text` that it is about with a caret, and the hint; then
    /// how many there are. `text` is the text that was parsed.
    ///
    /// What may be a secret written into the file is not repeated.
    pub fn render(&self, file: &str, text: &str) -> String {
        render::render(self, file, text)
    }

    fn summary(&self) -> String {
        match self.mistakes.len() {
            1 => "1 mistake".to_owned(),
            n if self.cut => format!("{n} mistakes, and there may be more"),
            n => format!("{n} mistakes"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary())?;
        for mistake in &self.mistakes {
            write!(f, "; {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

mod render;

#[cfg(test)]
mod tests;
