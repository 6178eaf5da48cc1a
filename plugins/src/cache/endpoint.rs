//! Which requests may be answered from the cache, and which fields of their bodies do
//! not change the answer.
//!
//! Only calls that compute an answer and leave nothing behind: the same path with
//! another method, or another path below `/v1`, may create files, batches or messages of
//! a thread, and their answers name what was created.

use http::Method;
use memchr::memmem;

use super::canonical::Canonical;

/// A call of a model API whose answer depends on nothing but the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// OpenAI's chat completions.
    ChatCompletions,
    /// OpenAI's older completions.
    Completions,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Calls that compute without sampling: embeddings, moderations, scores, counts.
    Pure,
}

impl Endpoint {
    /// The call that a request makes; none if it is not one of these.
    ///
    /// The paths are those of OpenAI (`/v1`), of Azure OpenAI (`/openai/v1`, and
    /// `/openai/deployments/{name}` with the model in the path), of Anthropic, and
    /// those that vLLM adds (`/v1/rerank`, `/v1/score`).
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        if method != Method::POST {
            return None;
        }
        let azure = path.strip_prefix("/openai");
        let deployment = azure.and_then(|path| path.strip_prefix("/deployments/"));
        let call = match deployment {
            Some(path) => path.split_once('/')?.1,
            None => azure.unwrap_or(path).strip_prefix("/v1/")?,
        };
        let in_body = deployment.is_none();
        Some(match call {
            "chat/completions" => Self::ChatCompletions,
            "completions" => Self::Completions,
            "embeddings" => Self::Pure,
            "responses" if in_body => Self::Responses,
            "messages" if azure.is_none() => Self::Messages,
            "messages/count_tokens" if azure.is_none() => Self::Pure,
            "moderations" | "rerank" | "score" if in_body => Self::Pure,
            _ => return None,
        })
    }

    /// Fields of the outermost object that do not change the answer, sorted.
    ///
    /// Those of chat completions steer the provider's own cache of prompts, its search
    /// for abuse, and what is kept beside a stored completion
    /// (<https://platform.openai.com/docs/api-reference/chat/create>). The object that
    /// answers a call of the responses API repeats all of them
    /// (<https://platform.openai.com/docs/api-reference/responses/object>), so there
    /// none can be left out. Anthropic's `metadata` holds an opaque identifier of the
    /// user against abuse (<https://docs.anthropic.com/en/api/messages>).
    ///
    /// `service_tier` is not among them: the answer says which tier served it. Nor is
    /// `stream_options`, which adds events to a stream.
    pub(super) fn ignored(self) -> &'static [&'static str] {
        match self {
            Self::ChatCompletions => &[
                "metadata",
                "prompt_cache_key",
                "prompt_cache_retention",
                "safety_identifier",
                "user",
            ],
            Self::Completions => &["user"],
            Self::Messages => &["metadata"],
            Self::Responses | Self::Pure => &[],
        }
    }

    /// Whether the request asks for more than an answer: to keep something at the
    /// provider, or to act on something that is kept there. An answer from the cache
    /// would not do it.
    ///
    /// A response of OpenAI's is stored unless `store` is `false`, and its identifier
    /// can be built upon, read and deleted; a chat completion is stored if `store` is
    /// `true`. Tools that the provider calls by MCP may do anything.
    pub(super) fn keeps_state(self, body: &Canonical) -> bool {
        match self {
            Self::ChatCompletions => body.is_true("store"),
            Self::Responses => {
                !body.is_false("store")
                    || body.is_set("conversation")
                    || body.is_true("background")
                    || body.value("tools").is_some_and(names_mcp)
            }
            Self::Messages => body.is_set("container") || body.is_set("mcp_servers"),
            Self::Completions | Self::Pure => false,
        }
    }

    /// Whether equal requests surely have equal answers. A model that samples at
    /// temperature zero always takes the likeliest token.
    pub(super) fn is_deterministic(self, body: &Canonical) -> bool {
        self == Self::Pure || body.is_zero("temperature")
    }
}

/// Whether the form of a list of tools has one with `"type": "mcp"`.
fn names_mcp(tools: &[u8]) -> bool {
    memmem::find(tools, br#""type":"mcp""#).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_compute_are_told_from_calls_that_create() {
        let cases = [
            ("/v1/chat/completions", Some(Endpoint::ChatCompletions)),
            ("/v1/completions", Some(Endpoint::Completions)),
            ("/v1/responses", Some(Endpoint::Responses)),
            ("/v1/embeddings", Some(Endpoint::Pure)),
            ("/v1/messages", Some(Endpoint::Messages)),
            ("/v1/messages/count_tokens", Some(Endpoint::Pure)),
            (
                "/openai/v1/chat/completions",
                Some(Endpoint::ChatCompletions),
            ),
            (
                "/openai/deployments/gpt-4o/chat/completions",
                Some(Endpoint::ChatCompletions),
            ),
            ("/openai/deployments/e/embeddings", Some(Endpoint::Pure)),
            ("/v1/threads/t1/messages", None),
            ("/v1/messages/batches", None),
            ("/v1/chat/completions/chatcmpl-1", None),
            ("/v1/responses/resp_1/cancel", None),
            ("/v1/files", None),
            ("/v1/chat/completions/", None),
            ("/openai/deployments/gpt-4o", None),
            ("/chat/completions", None),
            ("/", None),
        ];
        for (path, expected) in cases {
            assert_eq!(Endpoint::of(&Method::POST, path), expected, "{path}");
            assert_eq!(Endpoint::of(&Method::GET, path), None, "GET {path}");
        }
    }

    #[test]
    fn requests_that_leave_something_behind_are_recognised() {
        use Endpoint::{ChatCompletions, Messages, Responses};
        let cases = [
            (ChatCompletions, r#"{}"#, false),
            (ChatCompletions, r#"{"store":false}"#, false),
            (ChatCompletions, r#"{"store":true}"#, true),
            (Responses, r#"{}"#, true),
            (Responses, r#"{"store":null}"#, true),
            (Responses, r#"{"store":false}"#, false),
            (Responses, r#"{"store":false,"conversation":"c"}"#, true),
            (Responses, r#"{"store":false,"background":true}"#, true),
            (
                Responses,
                r#"{"store":false,"tools":[{"server_url":"u","type":"\u006dcp"}]}"#,
                true,
            ),
            (
                Responses,
                r#"{"store":false,"tools":[{"type":"function"}]}"#,
                false,
            ),
            (Messages, r#"{"metadata":{"user_id":"u"}}"#, false),
            (Messages, r#"{"container":null}"#, false),
            (Messages, r#"{"container":"c"}"#, true),
            (Messages, r#"{"mcp_servers":[{}]}"#, true),
        ];
        for (endpoint, text, expected) in cases {
            let body = Canonical::new(text.as_bytes()).unwrap();
            assert_eq!(endpoint.keeps_state(&body), expected, "{endpoint:?} {text}");
        }
    }

    #[test]
    fn ignored_fields_are_sorted_for_the_search() {
        for endpoint in [
            Endpoint::ChatCompletions,
            Endpoint::Completions,
            Endpoint::Responses,
            Endpoint::Messages,
            Endpoint::Pure,
        ] {
            assert!(endpoint.ignored().is_sorted(), "{endpoint:?}");
        }
    }
}
