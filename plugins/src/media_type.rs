//! Media types, as far as plugins must tell them apart (RFC 9110 section 8.3).

use http::HeaderValue;

/// Whether a `content-type` is of this type, given in lower case, whatever its parameters.
pub(crate) fn essence_is(value: &HeaderValue, wanted: &str) -> bool {
    essence(value).eq_ignore_ascii_case(wanted.as_bytes())
}

/// Whether a `content-type` says JSON in UTF-8, the only encoding that JSON has (RFC 8259
/// section 8.1).
pub(crate) fn is_json(value: &HeaderValue) -> bool {
    let essence = essence(value);
    let json = essence.eq_ignore_ascii_case(b"application/json")
        || essence
            .last_chunk::<5>()
            .is_some_and(|end| end.eq_ignore_ascii_case(b"+json"));
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

fn essence(value: &HeaderValue) -> &[u8] {
    let mut parts = value.as_bytes().split(|byte| *byte == b';');
    parts.next().unwrap_or_default().trim_ascii()
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
