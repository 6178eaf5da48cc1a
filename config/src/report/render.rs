//! A report with the lines that it is about.

use std::fmt::Write as _;
use std::ops::Range;

use super::{Mistake, Report};

/// Most characters of a line that are shown. A longer one is shown around the mistake.
const SHOWN_CHARS_MAX: usize = 120;
/// Characters kept before the mistake where a line is cut.
const BEFORE_CHARS: usize = 60;

pub(super) fn render(report: &Report, file: &str, text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = lines(text);
    let gutter = report
        .mistakes
        .last()
        .map_or(1, |last| last.line.to_string().len());
    let mut out = String::new();
    for mistake in &report.mistakes {
        let line = mistake
            .line
            .checked_sub(1)
            .and_then(|index| lines.get(index));
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            out,
            "{file}:{}:{}: {}",
            mistake.line, mistake.column, mistake.message
        );
        if let Some(line) = line {
            let excerpt = Excerpt::new(text, line, &report.masked, mistake);
            let _ = writeln!(out, "{:gutter$} | {}", mistake.line, excerpt.line);
            let _ = writeln!(out, "{:gutter$} | {}^", "", excerpt.indent);
        }
        if let Some(hint) = &mistake.hint {
            let _ = writeln!(out, "{:gutter$} = {hint}", "");
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}", report.summary());
    out
}

/// Where each line of the text is, in bytes, without its break. YAML breaks lines at
/// LF, CR and CR LF (YAML 1.2.2 section 5.4).
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\r' && bytes.peek().is_some_and(|(_, next)| *next == b'\n') {
            bytes.next();
            lines.push(start..at);
            start = at + 2;
        } else if matches!(byte, b'\r' | b'\n') {
            lines.push(start..at);
            start = at + 1;
        }
    }
    lines.push(start..text.len());
    lines
}

/// A line as it is shown, and what to put under it before the caret.
#[derive(Default)]
struct Excerpt {
    line: String,
    indent: String,
}

impl Excerpt {
    fn new(text: &str, line: &Range<usize>, masked: &[Range<usize>], mistake: &Mistake) -> Self {
        let column = mistake.column.saturating_sub(1);
        let source = text.get(line.clone()).unwrap_or_default();
        let is_long = source.chars().nth(SHOWN_CHARS_MAX).is_some();
        let skip = if is_long {
            column.saturating_sub(BEFORE_CHARS)
        } else {
            0
        };
        let is_masked = |at: usize| {
            masked
                .iter()
                .any(|bytes| bytes.contains(&(line.start + at)))
        };

        let mut excerpt = Self::default();
        if skip > 0 {
            excerpt.push("…", true);
        }
        let mut was_masked = false;
        for (index, (at, c)) in source.char_indices().enumerate().skip(skip) {
            if index >= skip + SHOWN_CHARS_MAX {
                excerpt.line.push('…');
                break;
            }
            let before = index < column;
            if is_masked(at) {
                // One length for all, because the length says something too.
                if !was_masked {
                    excerpt.push("***", before);
                }
                was_masked = true;
                continue;
            }
            was_masked = false;
            match c {
                '\t' => excerpt.push("\t", before),
                // An escape sequence in a file must not reach the terminal.
                c if c.is_control() => excerpt.push("\u{fffd}", before),
                c => excerpt.push(c.encode_utf8(&mut [0; 4]), before),
            }
        }
        excerpt
    }

    fn push(&mut self, shown: &str, before_caret: bool) {
        self.line.push_str(shown);
        if before_caret {
            // A tab stays one, so that the caret lines up however wide it is shown.
            self.indent
                .extend(shown.chars().map(|c| if c == '\t' { '\t' } else { ' ' }));
        }
    }
}
