//! How many tokens a request will use, before anybody knows.
//!
//! A reservation should be too large rather than too small: what is too large comes back
//! when the answer has ended, what is too small is overspent. The prompt is taken to
//! have a token for every `bytes_per_token` bytes of its text, and the answer as many as
//! the client allows it, for each answer that it asks for.

use penstock_config::plugin::{TokenKind, Tokens};

use crate::facts::Facts;

/// Only long runs of one character have more bytes per token. A prompt that is too long
/// by this measure is too long.
const BYTES_PER_TOKEN_MAX: u64 = 16;

/// Last segments of the paths of APIs that answer with no text.
const WITHOUT_TEXT: [&str; 8] = [
    "embeddings",
    "moderations",
    "rerank",
    "score",
    "classify",
    "pooling",
    "tokenize",
    "detokenize",
];

/// What a request asks for, as far as that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Bytes of text.
    text_bytes: u64,
    /// Tokens that the prompt gives as such.
    token_ids: u64,
    /// Tokens that all answers together may have; none if the client does not say.
    answers_max: Option<u64>,
    /// How many answers there will be.
    answers: u64,
}

/// What is reserved of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Tokens, at least one.
    pub(super) tokens: u64,
    /// What it will be at the least: a request that asks for a number of tokens is held
    /// to it, one that does not may be short.
    pub(super) least: u64,
}

impl Asked {
    /// What a request with such a path and body asks for; none where no tokens are
    /// used.
    pub(super) fn new(path: &str, facts: &Facts, body: &[u8]) -> Option<Self> {
        let last = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        if body.is_empty() || last == "count_tokens" {
            return None;
        }
        if !facts.is_object {
            // A file or the like: what it uses, the answer may say.
            return Some(Self {
                text_bytes: 0,
                token_ids: 0,
                answers_max: Some(0),
                answers: 0,
            });
        }
        let answers = match WITHOUT_TEXT.contains(&last) {
            true => 0,
            false => facts
                .n
                .unwrap_or(1)
                .max(1)
                .saturating_mul(facts.inputs.max(1)),
        };
        Some(Self {
            text_bytes: facts.text_bytes,
            token_ids: facts.token_ids,
            answers_max: match answers {
                0 => Some(0),
                _ => facts.max_tokens.map(|most| most.saturating_mul(answers)),
            },
            answers,
        })
    }

    /// What to reserve.
    pub(super) fn need(&self, tokens: &Tokens) -> Need {
        let prompt = |bytes_per_token| {
            let text = self.text_bytes.div_ceil(bytes_per_token);
            text.saturating_add(self.token_ids)
        };
        let prompts = prompt(u64::from(tokens.bytes_per_token).max(1));
        let prompts_least = prompt(BYTES_PER_TOKEN_MAX);
        let unsaid = u64::from(tokens.answer_tokens).saturating_mul(self.answers);
        let answers = self.answers_max.unwrap_or(unsaid);
        let answers_least = self.answers_max.unwrap_or(0);
        let (most, least) = match tokens.kind {
            TokenKind::Total => (
                prompts.saturating_add(answers),
                prompts_least.saturating_add(answers_least),
            ),
            TokenKind::Prompt => (prompts, prompts_least),
            TokenKind::Completion => (answers, answers_least),
        };
        Need {
            tokens: most.max(1),
            least,
        }
    }
}

/// Whether a body that was not read as JSON might be read as a request by an upstream
/// that does not look at its type.
pub(super) fn may_be_read_otherwise(facts: &Facts, body: &[u8]) -> bool {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    !facts.is_object && text.trim_ascii_start().first() == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use penstock_config::Plugin;
    use penstock_config::plugin::Measure;

    use super::*;

    fn tokens(limit: &str) -> Tokens {
        let text = format!("chain: [{{ limits: [{{ name: a, per: 1m, {limit} }}] }}]");
        let config = penstock_config::parse(&text).unwrap();
        let [Plugin::Limits(limits)] = config.chain.as_slice() else {
            panic!("one plugin")
        };
        match &limits.iter().next().unwrap().measure {
            Measure::Tokens(tokens) => tokens.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn need(path: &str, body: &str, limit: &str) -> Option<(u64, u64)> {
        let facts = Facts::of(body.as_bytes()).unwrap_or_default();
        let asked = Asked::new(path, &facts, body.as_bytes())?;
        let need = asked.need(&tokens(limit));
        Some((need.tokens, need.least))
    }

    const CHAT: &str = "/v1/chat/completions";

    #[test]
    fn prompt_and_answers_are_reserved_for() {
        let body = format!(
            r#"{{"model":"m","max_tokens":100,"messages":[{{"content":"{}"}}]}}"#,
            "x".repeat(993)
        );
        // 993 and the seven bytes of `content`.
        assert_eq!(need(CHAT, &body, "tokens: 9"), Some((600, 163)));
        assert_eq!(
            need(CHAT, &body, "tokens: 9, bytes_per_token: 4"),
            Some((350, 163))
        );
        assert_eq!(need(CHAT, &body, "prompt_tokens: 9"), Some((500, 63)));
        assert_eq!(need(CHAT, &body, "completion_tokens: 9"), Some((100, 100)));
    }

    #[test]
    fn each_answer_is_reserved_for() {
        let limit = "completion_tokens: 9, answer_tokens: 50";
        for (body, wanted) in [
            (r#"{"messages":[]}"#, (50, 0)),
            (r#"{"messages":[],"n":3}"#, (150, 0)),
            (r#"{"messages":[],"n":3,"max_tokens":7}"#, (21, 21)),
            (r#"{"prompt":["a","b"],"n":3,"max_tokens":7}"#, (42, 42)),
            (r#"{"input":"a","max_output_tokens":7}"#, (7, 7)),
            (r#"{"max_tokens":-1}"#, (50, 0)),
            (
                r#"{"n":18446744073709551615,"max_tokens":9}"#,
                (u64::MAX, u64::MAX),
            ),
        ] {
            assert_eq!(need(CHAT, body, limit), Some(wanted), "{body}");
        }
        assert_eq!(
            need("/v1/embeddings", r#"{"input":["a","b"]}"#, limit),
            Some((1, 0))
        );
    }

    #[test]
    fn what_uses_no_tokens_needs_none() {
        assert_eq!(need("/v1/models", "", "tokens: 9"), None);
        assert_eq!(need("/v1/messages/count_tokens", "{}", "tokens: 9"), None);
        assert_eq!(need("/v1/files", "--x\r\n", "tokens: 9"), Some((1, 0)));
    }

    #[test]
    fn json_in_disguise_is_recognized() {
        let facts = Facts::default();
        for body in ["{}", " \r\n{", "\u{feff}{\"model\""] {
            assert!(may_be_read_otherwise(&facts, body.as_bytes()), "{body}");
        }
        for body in ["", "[{}]", "--x\r\n{}", "\"{\""] {
            assert!(!may_be_read_otherwise(&facts, body.as_bytes()), "{body}");
        }
        assert!(!may_be_read_otherwise(&Facts::of(b"{}").unwrap(), b"{}"));
    }
}
