//! The heads of an answer, before they are parsed.

use super::pieces;
use crate::strict::{AnswerFault, AnswerHead};

/// The verdict on an answer does not depend on the pieces that it arrives in, and it is
/// refused just when the parser that comes after finds a length beside a coding, in the
/// answer's head or in one before it.
pub fn answer_head(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let whole = AnswerHead::default().check(bytes);
    let mut head = AnswerHead::default();
    let cut = pieces(seed, bytes).try_for_each(|piece| head.check(piece));
    assert_eq!(cut, whole, "in pieces of {seed}");
    match says_twice(bytes) {
        Some(true) => assert_eq!(whole, Err(AnswerFault::Framing)),
        Some(false) => assert_eq!(whole, Ok(())),
        None => {}
    }
}

/// None: it cannot be parsed, or is not here in full.
fn says_twice(mut bytes: &[u8]) -> Option<bool> {
    let mut parser = httparse::ParserConfig::default();
    parser.allow_spaces_after_header_name_in_responses(true);
    parser.allow_obsolete_multiline_headers_in_responses(true);
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut parsed = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(end)) = parser.parse_response(&mut parsed, bytes) else {
            return None;
        };
        let has = |name: &str| {
            let mut fields = parsed.headers.iter();
            fields.any(|field| field.name.eq_ignore_ascii_case(name))
        };
        if has("content-length") && has("transfer-encoding") {
            return Some(true);
        }
        let status = parsed.code?;
        if status / 100 != 1 || status == 101 {
            return Some(false);
        }
        bytes = &bytes[end..];
    }
}
