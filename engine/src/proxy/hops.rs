//! Headers of an answer that belong to the connection with the upstream and end there (RFC
//! 9110 section 7.6.1). Those of a request Pingora takes out.

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, StatusCode};
use pingora_http::ResponseHeader;

const OTHERS: [HeaderName; 2] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Takes them out, and what the upstream's `Connection` nominates. Not what frames the body:
/// that has been read by it, and is written by it again.
pub(super) fn end(head: &mut ResponseHeader) {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // They are what the other protocol is agreed on by.
        return;
    }
    for name in OTHERS.iter().chain([&TE, &UPGRADE]) {
        if head.headers.contains_key(name) {
            head.remove_header(name);
        }
    }
    if !head.headers.contains_key(CONNECTION) {
        return;
    }
    let names = nominated(&head.headers).filter_map(|name| HeaderName::from_bytes(name).ok());
    let nominated: Vec<_> = names
        .filter(|name| head.headers.contains_key(name))
        .collect();
    for name in nominated {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            head.remove_header(&name);
        }
    }
    head.remove_header(&CONNECTION);
}

/// What the options of `Connection` say, which may be names of headers.
pub(super) fn nominated(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(CONNECTION).into_iter();
    let options = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    options.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: u16, headers: &[(&'static str, &str)]) -> Vec<String> {
        let mut head = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            head.append_header(*name, *value).unwrap();
        }
        end(&mut head);
        let mut names: Vec<_> = head.headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_of_the_connection_ends_with_it() {
        let headers = [
            ("connection", "close, X-Internal"),
            ("connection", "content-length,, transfer-encoding , \"x\""),
            ("x-internal", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("content-length", "5"),
        ];
        assert_eq!(ended(200, &headers), ["content-length", "x-other"]);
        let agreed = [("connection", "upgrade"), ("upgrade", "websocket")];
        assert_eq!(ended(101, &agreed), ["connection", "upgrade"]);
        assert_eq!(ended(200, &[("x-other", "2")]), ["x-other"]);
    }
}
