//! Headers of an answer that belong to the connection with the upstream and end there (RFC
//! 9110 section 7.6.1). Those of a request Pingora takes out.

use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, StatusCode};
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
    let mut nominated = Vec::new();
    for value in head.headers.get_all(CONNECTION) {
        let options = value.as_bytes().split(|&byte| byte == b',');
        let names = options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok());
        nominated.extend(names.filter(|name| head.headers.contains_key(name)));
    }
    for name in nominated {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            head.remove_header(&name);
        }
    }
    head.remove_header(&CONNECTION);
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
