//! What a request must be for nobody to read it in two ways: the bytes of its head and of
//! its chunks, and its path.
//!
//! A proxy and the server behind it that disagree about where a request ends let a client
//! smuggle one past the proxy. So nothing here is forgiven: what RFC 9112 lets a recipient
//! repair is refused, and what was checked is what is routed and sent. No byte is read or
//! written here, and nothing is allocated for a request that is as it should be.

mod answer;
mod bytes;
mod chunks;
mod head;
mod host;
mod path;
mod rule;
mod twice;

pub use answer::{AnswerFault, AnswerLimits, INFORMATIONAL_MAX, check_answer};
pub use chunks::ChunkCheck;
pub use head::{Framing, Head, HeadCheck, Limits};
pub use host::{agree, is_authority, name as host_name};
pub use path::{Escaped, Paths};
pub use rule::{Fault, Rule};
pub use twice::AnswerHead;

use bytes::{is_path, is_query};

/// Whether every byte of a path and query may stand there, by the same rules as in a head.
pub fn is_target(target: &[u8]) -> bool {
    let end = target.iter().position(|&byte| byte == b'?');
    let (path, query) = match end {
        Some(end) => (target.get(..end), target.get(end..)),
        None => (Some(target), None),
    };
    let legal = |part: Option<&[u8]>, is: fn(u8) -> bool| {
        part.is_none_or(|part| part.iter().all(|&byte| is(byte)))
    };
    legal(path, is_path) && legal(query, is_query)
}

#[cfg(test)]
mod tests;
