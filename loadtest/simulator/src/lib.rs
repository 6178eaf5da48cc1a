//! An upstream that behaves like an inference server without doing any inference: it speaks
//! OpenAI's API (<https://platform.openai.com/docs/api-reference>), writes as fast or as slowly as
//! it is told, repeats itself from a seed, and goes wrong on demand. `penstock simulate` runs it
//! alone; tests and load tests put it behind the proxy and ask it afterwards what arrived.
//!
//! ```
//! let mut settings = penstock_simulator::Settings::instant();
//! settings.set("tokens", "uniform(16,256)")?;
//! let mut simulator = penstock_simulator::start(settings)?;
//! println!("http://{}/v1/chat/completions", simulator.address());
//! simulator.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it answers
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/chat/completions`, `POST /v1/completions` | whole, or streamed with `"stream": true`; `n` other than 1 is refused |
//! | `POST /v1/embeddings` | unit vectors, as numbers or in base64 |
//! | `GET /v1/models`, `GET /v1/models/{id}` | the models of the settings |
//! | `GET /`, `GET /plain` | `ok`, by the shortest way |
//! | any method `/echo` | the request's body, its length in `x-body-length`, [`body_hash`] in `x-body-hash` (16 hexadecimal digits), how it was framed in `x-request-framing`: `content-length`, `chunked` or `none` |
//! | `GET /bytes/{n}`, `GET /chunked/{n}` | n bytes (at most 1 GiB), the one at offset i being i modulo 251, with `Content-Length` or in chunks |
//! | anything else | 404 with OpenAI's error object |
//!
//! Every answer has the header `x-upstream-name`. HTTP/1.1 and HTTP/2 by prior knowledge share the
//! port; there is no TLS.
//!
//! # Tokens
//!
//! A completion token is one word of a small vocabulary, and `usage` counts those really produced.
//! A prompt token is one word of the prompt: a longest run of characters that are not white space,
//! in every message's `content` (of parts: their `text`). Each token is one server-sent event, one
//! chunk and one write.
//!
//! # What repeats
//!
//! Words, length, times and `id` of an answer are drawn from the seed and the hash of the request's
//! body, and from nothing else: the same body is answered alike on any connection, in any order, by
//! any worker, and two requests with the same body are answered with the same `id`. `created` comes
//! from the clock unless [`Settings::created`] fixes it. Faults by probability are drawn from the
//! seed and the ordinal number of the request instead, see [`Faults`].
//!
//! # Request headers that change one answer
//!
//! `x-simulate` names a [`Fault`]; `x-simulate-first-token` and `x-simulate-pace` are a [`Pace`],
//! `x-simulate-tokens` is a [`Count`].
//!
//! # What it must not know
//!
//! Anything of the proxy: it depends on no other crate of the workspace.
#![forbid(unsafe_code)]

mod body;
mod distribution;
mod fault;
mod openai;
mod plan;
mod random;
mod server;
mod service;
mod settings;
mod socket;
mod stats;

pub use distribution::{COUNT_MAX, Count, DistributionError, PACE_MAX, Pace};
pub use fault::{FAULT_KINDS, Fault, FaultError, Faults, Moment};
pub use random::body_hash;
pub use server::{Simulator, start};
pub use settings::{SETTING_NAMES, SettingError, SettingName, Settings};
pub use stats::{Endpoint, Recorded, Stats};
