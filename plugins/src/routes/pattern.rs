//! A pattern with its plain beginning taken out.

use penstock_config::unit::Glob;

/// A glob that gives up at the first byte of its plain beginning that differs. Most
/// patterns of a table have such a beginning and most requests differ from it.
#[derive(Debug)]
pub(super) struct Pattern {
    beginning: Box<str>,
    /// The whole pattern, if it is more than its beginning.
    glob: Option<Glob>,
}

impl Pattern {
    pub(super) fn new(glob: &Glob) -> Self {
        let source = glob.as_str();
        match source.split_once(['*', '?']) {
            Some((beginning, _)) => Self {
                beginning: beginning.into(),
                glob: Some(glob.clone()),
            },
            None => Self {
                beginning: source.into(),
                glob: None,
            },
        }
    }

    /// Whether a path matches: `*` and `?` stop at `/`.
    pub(super) fn matches_path(&self, path: &str) -> bool {
        self.matches(path, Glob::matches_path)
    }

    /// Whether any other text matches.
    pub(super) fn matches_text(&self, text: &str) -> bool {
        self.matches(text, Glob::matches_text)
    }

    fn matches(&self, text: &str, whole: fn(&Glob, &str) -> bool) -> bool {
        match &self.glob {
            Some(glob) => text.starts_with(&*self.beginning) && whole(glob, text),
            None => text == &*self.beginning,
        }
    }
}
