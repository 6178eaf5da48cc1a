//! What of a request's head is looked at, and as what.

use http::{HeaderName, header, request};
use penstock_config::credential_headers;

use super::finding::{Findings, Place};
use super::rule::Target;
use super::{Waf, form};

static CREDENTIALS: [HeaderName; 5] = credential_headers::ALL;

impl Waf {
    /// Holds the parts of a head against the rules. Says whether to go on.
    pub(super) fn look_at_head(&self, head: &request::Parts, found: &mut Findings) -> bool {
        let method = head.method.as_str().as_bytes();
        // The host of HTTP/2 and of an absolute request line is part of the address.
        let authority = head
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        self.look(found, Target::Method, Place::Bare("method"), method)
            && self.look(
                found,
                Target::Path,
                Place::Bare("path"),
                head.uri.path().as_bytes(),
            )
            && self.look(
                found,
                Target::Host,
                Place::Bare("host"),
                authority.as_bytes(),
            )
            && self.look_at_parameters(found, "query", head.uri.query().unwrap_or("").as_bytes())
            && head
                .headers
                .iter()
                .all(|(name, value)| self.look_at_header(found, name, value.as_bytes()))
    }

    /// Holds the parameters of a query or a form against the rules.
    pub(super) fn look_at_parameters(
        &self,
        found: &mut Findings,
        of: &'static str,
        text: &[u8],
    ) -> bool {
        let mut go_on = true;
        form::each(text, |parameter| {
            let place = match parameter.target {
                // The name is what is suspected, and so nothing for the log.
                Target::ParameterName => Place::Bare(of),
                _ => Place::Named(of, parameter.name),
            };
            go_on = self.look(found, parameter.target, place, parameter.text);
            go_on
        });
        go_on
    }

    fn look_at_header(&self, found: &mut Findings, name: &HeaderName, value: &[u8]) -> bool {
        let place = Place::Named("header", name.as_str().as_bytes());
        let target = header_target(name);
        if target == Target::Cookie {
            return form::cookies(value).all(|(name, value)| {
                self.look(found, target, Place::Named("cookie", name), value)
            });
        }
        let ours = is_well_known(name)
            || self.look(found, Target::HeaderName, place, name.as_str().as_bytes());
        ours && self.look(found, target, place, value)
    }
}

/// Whether the name is one of the standards', which no rule suspects.
fn is_well_known(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::ACCEPT
            | header::ACCEPT_ENCODING
            | header::ACCEPT_LANGUAGE
            | header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONNECTION
            | header::CONTENT_LENGTH
            | header::CONTENT_TYPE
            | header::HOST
            | header::ORIGIN
            | header::REFERER
            | header::USER_AGENT
    )
}

/// What the value of a header is looked at as.
fn header_target(name: &HeaderName) -> Target {
    match *name {
        header::COOKIE => return Target::Cookie,
        header::USER_AGENT => return Target::Agent,
        header::HOST => return Target::Host,
        header::CONTENT_TYPE => return Target::ContentType,
        header::REFERER | header::ORIGIN => return Target::Page,
        // Random, and nothing for a query or a page.
        _ if CREDENTIALS.contains(name) => return Target::OpaqueHeader,
        _ => {}
    }
    match name.as_str() {
        // Further credentials.
        "x-auth-token" | "x-amz-security-token"
        // Grammars full of quotes, semicolons and stars.
        | "accept" | "accept-encoding" | "accept-charset" | "content-length" | "connection"
        | "te" | "cache-control" | "date" | "etag" | "if-match" | "if-none-match"
        | "if-modified-since" | "range" | "via" | "priority" | "traceparent" | "tracestate"
        | "content-encoding" | "transfer-encoding" | "dpop" | "signature" | "signature-input"
        | "content-digest" => Target::OpaqueHeader,
        name if name.starts_with("sec-") => Target::OpaqueHeader,
        _ => Target::Header,
    }
}
