//! OpenAI's error object, and the only place where a cause becomes a status.

use http::StatusCode;
use serde::Serialize;

/// An error as the client reads it
/// (<https://platform.openai.com/docs/guides/error-codes/api-errors>).
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// The value of `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u32>,
    detail: Detail,
}

#[derive(Debug, Clone, Serialize)]
struct Detail {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a Detail,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: String) -> ApiError {
        let detail = Detail {
            message,
            kind,
            param: None,
            code: None,
        };
        ApiError {
            status,
            retry_after: None,
            detail,
        }
    }

    fn invalid(message: String) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    fn param(mut self, param: &'static str) -> ApiError {
        self.detail.param = Some(param);
        self
    }

    fn code(mut self, code: &'static str) -> ApiError {
        self.detail.code = Some(code);
        self
    }

    pub(crate) fn json(error: &serde_json::Error) -> ApiError {
        if error.is_data() {
            return ApiError::invalid(format!("Invalid request body: {error}."))
                .code("invalid_type");
        }
        ApiError::invalid(format!(
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't \
             using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was \
             sent was not valid JSON: {error}.)"
        ))
    }

    pub(crate) fn missing(param: &'static str) -> ApiError {
        ApiError::invalid(format!("Missing required parameter: '{param}'."))
            .param(param)
            .code("missing_required_parameter")
    }

    pub(crate) fn unsupported(param: &'static str, message: &str) -> ApiError {
        ApiError::invalid(format!("Unsupported value: '{param}' {message}"))
            .param(param)
            .code("unsupported_value")
    }

    pub(crate) fn out_of_range(param: &'static str, expected: &str, got: u64) -> ApiError {
        ApiError::invalid(format!(
            "Invalid '{param}': expected {expected}, but got {got} instead."
        ))
        .param(param)
        .code("integer_out_of_range")
    }

    pub(crate) fn model_not_found(model: &str) -> ApiError {
        let message =
            format!("The model '{model}' does not exist or you do not have access to it.");
        ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            .param("model")
            .code("model_not_found")
    }

    pub(crate) fn unknown_url(method: &http::Method, path: &str) -> ApiError {
        let message = format!("Unknown request URL: {method} {path}.");
        ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message).code("unknown_url")
    }

    pub(crate) fn wrong_method(method: &http::Method, path: &str) -> ApiError {
        let message = format!("Not allowed to {method} on {path}.");
        ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request_error",
            message,
        )
        .code("method_not_supported")
    }

    pub(crate) fn too_long(bytes_max: usize) -> ApiError {
        let message = format!("The request body is longer than {bytes_max} bytes.");
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            message,
        )
        .code("request_too_large")
    }

    pub(crate) fn overloaded() -> ApiError {
        let message = "The engine is currently overloaded, please try again later.".to_owned();
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message).code("overloaded")
    }

    /// A header of ours that does not read.
    pub(crate) fn bad_header(header: &'static str, problem: &str) -> ApiError {
        ApiError::invalid(format!("Header {header}: {problem}"))
            .param(header)
            .code("invalid_simulation")
    }

    /// An error on demand, with the words that OpenAI has for the status.
    pub(crate) fn simulated(status: StatusCode, retry_after: Option<u32>) -> ApiError {
        let (kind, code, message) = match status.as_u16() {
            401 => (
                "invalid_request_error",
                Some("invalid_api_key"),
                "Incorrect API key provided.",
            ),
            429 => (
                "requests",
                Some("rate_limit_exceeded"),
                "Rate limit reached for requests.",
            ),
            400..500 => ("invalid_request_error", None, "The request was refused."),
            503 => (
                "server_error",
                None,
                "The engine is currently overloaded, please try again later.",
            ),
            _ => (
                "server_error",
                None,
                "The server had an error while processing your request.",
            ),
        };
        let mut error = ApiError::new(status, kind, format!("{message} (Simulated.)"));
        error.detail.code = code;
        error.retry_after = retry_after;
        error
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        // Strings and nothing else: writing them as JSON does not fail.
        serde_json::to_vec(&Envelope {
            error: &self.detail,
        })
        .unwrap_or_default()
    }
}
