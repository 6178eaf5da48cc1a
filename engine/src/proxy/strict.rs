//! Requests that can be read in two ways: what they are told, where they are counted, and
//! the one way in which the others are read.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use http::header::{ALLOW, COOKIE, HOST};
use http::{HeaderValue, Method, StatusCode, Uri, Version};
use penstock_config::server::{self, Access};
use penstock_config::unit::Size;
use penstock_plugins::{Arrival, Dialect, Exchange, Found, Kind, Outcome, Refusal, Route};
use pingora_error::{Error, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use tracing::info;

use super::context::Context;
use super::{Proxy, attempt, ending, respond, slow};
use crate::clock;
use crate::edge::{Cause, Refused};
use crate::live::Live;
use crate::strict::{
    AnswerFault, AnswerLimits, Escaped, Fault, INFORMATIONAL_MAX, Limits, Paths, Rule,
    check_answer, host_name, is_authority, is_target,
};
use crate::telemetry::Telemetry;
use crate::tls::Secured;

impl From<&server::Limits> for Limits {
    fn from(limits: &server::Limits) -> Self {
        let size = |size: Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
        Limits {
            target: size(limits.request_target),
            head: size(limits.request_head),
            fields: usize::from(limits.request_fields),
        }
    }
}

impl From<&server::Limits> for AnswerLimits {
    fn from(limits: &server::Limits) -> Self {
        AnswerLimits {
            head: usize::try_from(limits.response_head.bytes()).unwrap_or(usize::MAX),
            fields: usize::from(limits.response_fields),
        }
    }
}

impl From<&server::Paths> for Paths {
    fn from(paths: &server::Paths) -> Self {
        Paths {
            merge_slashes: paths.merge_slashes,
            escaped: match paths.escaped_separators {
                server::EscapedSeparators::SameRoute => Escaped::KeepIfSame,
                server::EscapedSeparators::Refuse => Escaped::Refuse,
                server::EscapedSeparators::Unescape => Escaped::Unescape,
                server::EscapedSeparators::Keep => Escaped::Keep,
            },
        }
    }
}

/// What is served instead of CONNECT and TRACE, among others: an answer with 405 has to name
/// some (RFC 9110 section 15.5.6).
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What a client that breaks a rule is told.
pub(super) fn refusal(rule: Rule) -> Box<Refusal> {
    let kind = Kind::InvalidRequest;
    let refusal = Refusal::new(rule.status(), kind, rule.as_str(), rule.message());
    let refusal = refusal.because(Fault(rule).to_string());
    match rule {
        Rule::MethodUnsupported => refusal.with_header(ALLOW, HeaderValue::from_static(METHODS)),
        _ => refusal,
    }
}

/// Ends an exchange of which Pingora has seen nothing, for it broke a rule or came too late: it is counted, logged, and the
/// answer's bytes are returned. After them the connection is to be closed.
pub(crate) fn refuse_unread(
    live: &Live,
    telemetry: &Telemetry,
    refused: &Refused,
    client: Option<IpAddr>,
    started: Instant,
) -> Vec<u8> {
    let generation = live.load();
    let (refusal, outcome) = match refused.cause {
        Cause::Rule(rule) => {
            telemetry.count_rule(rule);
            (refusal(rule), Outcome::Refused)
        }
        Cause::Late(late) => {
            telemetry.count_limit(late.limit());
            (slow::refusal(late), Outcome::ClientSlow)
        }
    };
    telemetry.unmatched.count_status(refusal.status.as_u16());
    telemetry.unmatched.count_outcome(outcome);
    let duration = started.elapsed();
    telemetry.unmatched.duration.observe(duration.as_secs_f64());
    let exchange = Exchange::new(Arrival {
        id: rand::random(),
        client,
        generation: generation.id,
        at: clock::now(),
        dialect: Dialect::of(&refused.path),
    });
    let has_body = refused.method != "HEAD";
    let (head, body) = respond::closing(&exchange, &refusal, SystemTime::now());
    if generation.config.server.log.access == Access::On {
        info!(
            client = client.map(tracing::field::display),
            method = refused.method,
            path = respond::shown(&refused.path),
            status = refusal.status.as_u16(),
            outcome = outcome.as_str(),
            duration_ms = ending::millis(duration),
            request_bytes = 0,
            response_bytes = if has_body { body.len() } else { 0 },
            attempts = 0,
            generation = generation.id,
            reason = %refusal.reason,
            "request"
        );
    }
    let mut bytes = head.into_bytes();
    if has_body {
        bytes.extend_from_slice(&body);
    }
    bytes
}

/// Brings the path into its one spelling, which is routed and sent. What HTTP/2 lets through
/// is checked first; over HTTP/1 the head was, before Pingora saw it.
pub(super) fn normalise(proxy: &Proxy, session: &mut Session) -> Result<(), Rule> {
    let head = session.req_header();
    if head.version == Version::HTTP_2 {
        check_http2(head, &proxy.heads)?;
        join_cookies(session.req_header_mut())?;
    }
    let head = session.req_header();
    if let Some(secured) = Secured::of(session.digest()) {
        check_direction(head, secured)?;
    }
    let normal = proxy.paths.normalise(head.uri.path())?;
    let Cow::Owned(mut target) = normal else {
        return Ok(());
    };
    if let Some(query) = head.uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().map_err(|_| Rule::Target)?);
    let uri = Uri::from_parts(parts).map_err(|_| Rule::Target)?;
    session.req_header_mut().set_uri(uri);
    Ok(())
}

/// Whether a request goes by this route to the same API if its server takes escaped separators
/// of its path for separators: else it would be let in as one and served as the other.
pub(super) fn check_separators(
    proxy: &Proxy,
    head: &RequestHeader,
    ctx: &Context,
    route: &Route,
) -> Result<(), Box<Refusal>> {
    for path in proxy.paths.readings(head.uri.path()) {
        if !is_same(head, &path, ctx, route) {
            proxy.telemetry.count_rule(Rule::PathSeparator);
            return Err(refusal(Rule::PathSeparator));
        }
    }
    Ok(())
}

/// Whether a request with another path would go by this route to the same API.
fn is_same(head: &RequestHeader, path: &str, ctx: &Context, route: &Route) -> bool {
    let query = head.uri.query().map(|query| format!("?{query}"));
    let Ok(uri) = format!("{path}{}", query.unwrap_or_default()).parse() else {
        return false;
    };
    let mut other = head.as_owned_parts();
    other.uri = uri;
    let (routes, client) = (&ctx.generation.routes, ctx.exchange.client());
    let found = match routes.find(&other, client) {
        Found::Route(found) => Some(found),
        Found::NeedsModel if ctx.exchange.facts().is_some() => {
            routes.find_with_model(&other, client, ctx.exchange.model())
        }
        Found::NeedsModel | Found::None => None,
    };
    let is_same_route = found.is_some_and(|found| found.index() == route.index());
    is_same_route && Dialect::of(path) == ctx.exchange.dialect()
}

/// The rules of HTTP/1 that apply (RFC 9113 section 8.3). Fields that frame or that belong to
/// a connection are a fault of the stream, which the library ends.
fn check_http2(head: &RequestHeader, limits: &Limits) -> Result<(), Rule> {
    let target = head.raw_path();
    if target.len() > limits.target {
        return Err(Rule::TargetLength);
    }
    if head.headers.len() > limits.fields {
        return Err(Rule::FieldCount);
    }
    let is_framing = |name: &&str| head.headers.contains_key(*name);
    if ["content_length", "transfer_encoding"]
        .iter()
        .any(is_framing)
    {
        return Err(Rule::FieldName);
    }
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Rule::MethodUnsupported);
    }
    if head
        .method
        .as_str()
        .bytes()
        .any(|byte| byte.is_ascii_lowercase())
    {
        return Err(Rule::Method);
    }
    let has_form = target.starts_with(b"/") || target == b"*" && head.method == Method::OPTIONS;
    if !has_form || !is_target(target) {
        return Err(Rule::Target);
    }
    match hosts(head).all(is_authority) {
        true => Ok(()),
        false => Err(Rule::Host),
    }
}

/// A request belongs on a connection whose certificate is for its host.
fn check_direction(head: &RequestHeader, secured: &Secured) -> Result<(), Rule> {
    let mut hosts = hosts(head).map(|host| host_name(host).unwrap_or(host));
    match hosts.all(|host| secured.serves(host)) {
        true => Ok(()),
        false => Err(Rule::Misdirected),
    }
}

/// The hosts that a request names: one, unless HTTP/2 lets two through.
fn hosts(head: &RequestHeader) -> impl Iterator<Item = &[u8]> {
    let authority = head.uri.authority();
    let authority = authority.map(|authority| authority.as_str().as_bytes());
    let host = head.headers.get(HOST).map(|host| host.as_bytes());
    authority.into_iter().chain(host)
}

/// Whether an upstream's head can be passed on.
///
/// # Errors
/// It cannot, and the attempt has failed.
pub(super) fn check_head(
    limits: &AnswerLimits,
    session: &Session,
    ctx: &mut Context,
    head: &ResponseHeader,
) -> Result<()> {
    let mut checked = check_answer(limits, head.version, head.status, &head.headers);
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !session.is_upgrade_req() {
        checked = Err(AnswerFault::Switch);
    }
    if head.status.is_informational() {
        ctx.attempts.informational += 1;
        if ctx.attempts.informational > INFORMATIONAL_MAX {
            checked = Err(AnswerFault::Informational);
        }
    }
    checked.map_err(|fault| attempt::unwelcome(fault.as_str()))
}

/// Makes one `Cookie` of its crumbs: nobody but HTTP/2 knows it in several, of which servers
/// read the first, the last or all (RFC 9113 section 8.2.3).
fn join_cookies(head: &mut RequestHeader) -> Result<(), Rule> {
    let crumbs = head.headers.get_all(COOKIE);
    if crumbs.iter().nth(1).is_none() {
        return Ok(());
    }
    let crumbs: Vec<&[u8]> = crumbs.iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    let joined = joined.map_err(|_| Rule::FieldValue)?;
    head.insert_header(COOKIE, joined)
        .map_err(|_| Rule::FieldValue)
}

/// If the body of a request has broken a rule, that is what its client is told.
pub(super) fn note(proxy: &Proxy, error: &Error, ctx: &mut Context) {
    let Some(rule) = broken(error) else { return };
    proxy.telemetry.count_rule(rule);
    ctx.refusal.get_or_insert_with(|| refusal(rule));
}

fn broken(error: &Error) -> Option<Rule> {
    let read = error.root_cause().downcast_ref::<io::Error>()?;
    let Fault(rule) = read.get_ref()?.downcast_ref::<Fault>()?;
    Some(*rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_of_a_cookie_become_one() {
        for (crumbs, wanted) in [
            (&[][..], None),
            (&["a=1; b=2"], Some("a=1; b=2")),
            (&["a=1", "b=2", "c=3"], Some("a=1; b=2; c=3")),
        ] {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            for crumb in crumbs {
                head.append_header(COOKIE, *crumb).unwrap();
            }
            join_cookies(&mut head).unwrap();
            let cookies: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
            assert_eq!(cookies, wanted.as_slice());
        }
    }
}
