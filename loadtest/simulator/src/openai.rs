//! What OpenAI's API says and expects, from <https://platform.openai.com/docs/api-reference>.

pub(crate) mod embeddings;
pub(crate) mod error;
pub(crate) mod models;
pub(crate) mod request;
pub(crate) mod script;
pub(crate) mod stream;
pub(crate) mod text;
mod words;

#[cfg(test)]
mod tests;
