//! Who is known by what: the client's credentials stay here, the upstream's are put in
//! their place, and do not come back.

use std::sync::Arc;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName};
use penstock_config::credential_headers;
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::context::Context;
use crate::upstream::{Credential, Credentials, Upstream};

/// Key of the credential's name in the access log.
const NOTE: &str = "credential";

/// Headers in which clients present credentials to model APIs.
static HEADERS: [HeaderName; 5] = credential_headers::ALL;

/// Takes the client's credentials out of the head that goes upstream, if the upstream
/// knows us by others. Where the chain reads them, it strips them itself.
pub(super) fn withhold(upstream: &Upstream, head: &mut RequestHeader) {
    let Some(credentials) = &upstream.credentials else {
        return;
    };
    for name in HEADERS.iter().chain(credentials.headers()) {
        head.remove_header(name);
    }
}

fn credentials(ctx: &Context) -> Option<&Credentials> {
    ctx.upstream()?.credentials.as_ref()
}

/// Puts the credential whose turn it is into the head that goes upstream.
pub(super) fn present(
    upstream: &Upstream,
    head: &mut RequestHeader,
) -> Result<Option<Arc<Credential>>> {
    let Some(credentials) = &upstream.credentials else {
        return Ok(None);
    };
    let credential = credentials.pick().clone();
    let (name, value) = credential.header();
    head.insert_header(name, value)?;
    Ok(Some(credential))
}

/// The request is known to its upstream by this.
pub(super) fn remember(ctx: &mut Context, credential: Option<Arc<Credential>>) {
    let several = credentials(ctx).is_some_and(Credentials::are_several);
    if let Some(credential) = credential.as_ref().filter(|_| several) {
        ctx.exchange.note(NOTE, credential.name.to_string());
    }
    ctx.attempts.credential = credential;
}

/// The request leaves its upstream, and is known to the next one by something else.
pub(super) fn forget(ctx: &mut Context) {
    if ctx.attempts.credential.take().is_some() {
        ctx.exchange.retract(NOTE);
    }
}

/// Takes everything out of a head that a client may be known by, and puts in what this
/// upstream knows the proxy by, if it does.
pub(super) fn replace(upstream: &Upstream, head: &mut RequestHeader) -> Result<()> {
    let credentials = upstream.credentials.as_ref();
    let own = credentials.map(Credentials::headers).unwrap_or_default();
    for name in HEADERS.iter().chain(own).chain([&COOKIE]) {
        head.remove_header(name);
    }
    if let Some(credentials) = credentials {
        let (name, value) = credentials.pick().header();
        head.insert_header(name, value)?;
    }
    Ok(())
}

/// Takes what an upstream repeats of its credential out of the answer's head.
pub(super) fn conceal(ctx: &Context, head: &mut ResponseHeader) {
    for name in told(ctx, &head.headers) {
        head.remove_header(&name);
    }
}

/// The same of its trailers.
pub(super) fn conceal_trailers(ctx: &Context, trailers: &mut HeaderMap) {
    for name in told(ctx, trailers) {
        trailers.remove(name);
    }
}

/// The fields of an answer that carry a credential, or hold the one that was sent.
fn told(ctx: &Context, answer: &HeaderMap) -> Vec<HeaderName> {
    let Some(credential) = &ctx.attempts.credential else {
        return Vec::new();
    };
    let own = credentials(ctx)
        .map(Credentials::headers)
        .unwrap_or_default();
    let carrying = HEADERS.iter().chain(own);
    let carrying = carrying.filter(|name| answer.contains_key(*name)).cloned();
    carrying.chain(credential.leaks(answer)).collect()
}
