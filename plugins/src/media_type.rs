//! Media types, as far as they must be told apart (RFC 9110 section 8.3).

use http::HeaderValue;

/// A `content-type` without its parameters, in the letter case that it came in.
pub fn essence(content_type: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    content_type.get(..end).unwrap_or_default().trim_ascii()
}

/// Whether an essence ends like this, as in `+json`, in any letter case.
pub fn ends_with(essence: &[u8], end: &str) -> bool {
    let tail = essence
        .len()
        .checked_sub(end.len())
        .and_then(|at| essence.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
}

/// Whether a `content-type` is of this type, whatever its parameters.
pub fn essence_is(value: &HeaderValue, wanted: &str) -> bool {
    essence(value.as_bytes()).eq_ignore_ascii_case(wanted.as_bytes())
}

/// Whether a `content-type` says JSON in UTF-8, the only encoding that JSON has (RFC 8259
/// section 8.1).
pub(crate) fn is_json(value: &HeaderValue) -> bool {
    let essence = essence(value.as_bytes());
    let json = essence.eq_ignore_ascii_case(b"application/json") || ends_with(essence, "+json");
    let mut parameters = value.as_bytes().split(|byte| *byte == b';').skip(1);
    json && parameters.all(|parameter| {
        let mut parts = parameter.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let text = parts.next().unwrap_or_default().trim_ascii();
        let text = text.strip_prefix(b"\"").unwrap_or(text);
        let text = text.strip_suffix(b"\"").unwrap_or(text);
        !name.eq_ignore_ascii_case(b"charset") || text.eq_ignore_ascii_case(b"utf-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_type_and_charset() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/problem+json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/jsonl", false),
            ("text/plain", false),
            ("multipart/form-data; boundary=application/json", false),
            ("", false),
        ] {
            assert_eq!(
                is_json(&HeaderValue::from_static(value)),
                expected,
                "{value}"
            );
        }
        let stream = HeaderValue::from_static("text/event-stream; charset=utf-8");
        assert!(essence_is(&stream, "text/event-stream"));
    }
}
