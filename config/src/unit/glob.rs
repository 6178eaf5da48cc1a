//! Patterns for paths, header values and model names.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// A pattern for a whole text of at most 256 bytes: `*` stands for any run of characters, `**` for
/// any run that may also hold `/`, `?` for one character; everything else for itself.
/// Only a path treats `/` apart: in a header or a model name `*` and `**` are the same.
///
/// Matching follows all ways through the pattern at once, so that its time is at most
/// proportional to the length of the pattern times that of the text. A pattern with
/// many stars, met by a text made for it, costs no more than that.
#[derive(Clone)]
pub struct Glob {
    source: String,
    tokens: Box<[Token]>,
}

text_value!(Glob, "a pattern such as `gpt-*`", {
    "type": "string",
    "title": "pattern",
    "description": "`*` stands for any run of characters, `**` for any run that may also hold `/`, \
                    `?` for one character; everything else for itself.",
    "minLength": 1,
    "maxLength": 256,
    "examples": ["gpt-4*", "/v1/**", "meta-llama/*"]
});

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// This character.
    Exactly(char),
    /// One character, in a path not `/`.
    One,
    /// Any run, in a path without `/`.
    Run,
    /// Any run.
    RunAcross,
}

impl Glob {
    const BYTES_MAX: usize = 256;

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether a path matches as a whole: `*` and `?` stop at `/`.
    pub fn matches_path(&self, path: &str) -> bool {
        self.run(path, Some('/'))
    }

    /// Whether any other text matches as a whole: `/` is a character like all others.
    pub fn matches_text(&self, text: &str) -> bool {
        self.run(text, None)
    }

    fn run(&self, text: &str, separator: Option<char>) -> bool {
        let mut places = Places::default();
        self.enter(&mut places, 0);
        for c in text.chars() {
            if places.is_empty() {
                return false;
            }
            let mut next = Places::default();
            places.for_each(|place| match self.tokens.get(place) {
                Some(Token::Exactly(wanted)) if *wanted == c => self.enter(&mut next, place + 1),
                Some(Token::One) if Some(c) != separator => self.enter(&mut next, place + 1),
                Some(Token::Run) if Some(c) != separator => self.enter(&mut next, place),
                Some(Token::RunAcross) => self.enter(&mut next, place),
                _ => {}
            });
            places = next;
        }
        places.contains(self.tokens.len())
    }

    /// Adds a place, and those that can be reached from it without a character.
    fn enter(&self, places: &mut Places, place: usize) {
        places.insert(place);
        // Two runs never stand side by side (`tokenize` joins them), so that one step
        // past a run is all there is.
        if let Some(Token::Run | Token::RunAcross) = self.tokens.get(place) {
            places.insert(place + 1);
        }
    }
}

/// A set of places in a pattern: 0 (before its first token) to 256 (after its last).
#[derive(Default)]
struct Places {
    words: [u64; Self::WORDS],
}

impl Places {
    const WORDS: usize = Glob::BYTES_MAX / 64 + 1;

    fn insert(&mut self, place: usize) {
        if let Some(word) = self.words.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    fn contains(&self, place: usize) -> bool {
        self.words
            .get(place / 64)
            .is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    fn is_empty(&self) -> bool {
        self.words == [0; Self::WORDS]
    }

    fn for_each(&self, mut visit: impl FnMut(usize)) {
        for (index, mut word) in self.words.into_iter().enumerate() {
            while word != 0 {
                visit(index * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }
}

fn tokenize(source: &str) -> Box<[Token]> {
    let mut tokens: Vec<Token> = Vec::with_capacity(source.len());
    for c in source.chars() {
        let token = match c {
            '*' => Token::Run,
            '?' => Token::One,
            c => Token::Exactly(c),
        };
        match (tokens.last_mut(), token) {
            (Some(last @ (Token::Run | Token::RunAcross)), Token::Run) => *last = Token::RunAcross,
            _ => tokens.push(token),
        }
    }
    tokens.into_boxed_slice()
}

impl FromStr for Glob {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| {
            Err(Invalid::new(format!(
                "{} is not a pattern: {why}",
                shown(text)
            )))
        };
        if text.is_empty() {
            return refuse("write `*` for anything");
        }
        if text.len() > Self::BYTES_MAX {
            return refuse("write at most 256 bytes");
        }
        if text.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        Ok(Self {
            source: text.to_owned(),
            tokens: tokenize(text),
        })
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Glob {}

impl std::hash::Hash for Glob {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Glob").field(&self.source).finish()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}
