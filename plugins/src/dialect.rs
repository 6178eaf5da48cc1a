//! Which API a client speaks, and so which shape of errors its SDK can read.

/// The API that a request's path belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's API and those made after it: `/v1/...`, and Azure's `/openai/...`.
    OpenAi,
    /// Anthropic's Messages API: `/v1/messages` and what lies below it.
    Anthropic,
    /// None that is known.
    #[default]
    Plain,
}

impl Dialect {
    /// The dialect of a request for `path`, without the query.
    pub fn of(path: &str) -> Self {
        if is_or_below(path, "/v1/messages") {
            Self::Anthropic
        } else if path.starts_with("/v1/") || path.starts_with("/openai/") {
            Self::OpenAi
        } else {
            Self::Plain
        }
    }
}

fn is_or_below(path: &str, parent: &str) -> bool {
    let rest = path.strip_prefix(parent);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_says_which_api_is_spoken() {
        for (path, dialect) in [
            ("/v1/chat/completions", Dialect::OpenAi),
            ("/v1/", Dialect::OpenAi),
            ("/v1/messages", Dialect::Anthropic),
            ("/v1/messages/count_tokens", Dialect::Anthropic),
            ("/v1/messages2", Dialect::OpenAi),
            (
                "/openai/deployments/gpt-4o/chat/completions",
                Dialect::OpenAi,
            ),
            ("/openai", Dialect::Plain),
            ("/v1", Dialect::Plain),
            ("/", Dialect::Plain),
            ("*", Dialect::Plain),
        ] {
            assert_eq!(Dialect::of(path), dialect, "{path}");
        }
    }
}
