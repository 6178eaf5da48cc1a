//! The rules on bytes, built from their source without the engine around them, which takes
//! ten minutes with a fuzzer's instruments.
#![allow(dead_code, reason = "the engine uses more of it")]

#[path = "../../src/strict/answer.rs"]
mod answer;
#[path = "../../src/strict/bytes.rs"]
mod bytes;
#[path = "../../src/strict/chunks.rs"]
mod chunks;
#[path = "../../src/strict/head.rs"]
mod head;
#[path = "../../src/strict/host.rs"]
mod host;
#[path = "../../src/strict/path.rs"]
mod path;
#[path = "../../src/strict/rule.rs"]
mod rule;
#[path = "../../src/strict/twice.rs"]
mod twice;

pub use answer::AnswerFault;
pub use chunks::ChunkCheck;
pub use head::{Framing, Head, HeadCheck, Limits};
pub use path::{Escaped, Paths};
pub use rule::Rule;
pub use twice::AnswerHead;
