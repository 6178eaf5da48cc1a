//! Who is known by what: the client's credentials stay here, the upstream's are put in
//! their place, and do not come back.

use std::sync::Arc;
use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, StatusCode};
use penstock_config::credential_headers;
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use tracing::info;

use super::attempt::Source;
use super::context::Context;
use crate::clock;
use crate::upstream::{Credential, Credentials, Endpoint, Upstream, Why};

/// Key of the credential's name in the access log.
const NOTE: &str = "credential";

/// For how long a credential is left alone that a server does not know.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// A credential with which a server did not take a request.
pub(super) struct Refused {
    credential: Arc<Credential>,
    /// The server, as the configuration writes it.
    server: Arc<str>,
    /// It is not known there.
    is_unknown: bool,
}

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

/// Puts the credential whose turn it is at an endpoint into the head that goes there, one
/// that was not refused if there is one.
pub(super) fn present(
    upstream: &Upstream,
    endpoint: Option<&Endpoint>,
    refusals: &[Refused],
    head: &mut RequestHeader,
) -> Result<Option<Arc<Credential>>> {
    let Some(credentials) = &upstream.credentials else {
        return Ok(None);
    };
    let server = endpoint.map_or("", |endpoint| &*endpoint.label);
    let failed = |credential: &Arc<Credential>| has_failed(refusals, credential);
    let credential = credentials.pick(server, clock::now(), failed).clone();
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

fn has_failed(refusals: &[Refused], credential: &Arc<Credential>) -> bool {
    let mut refusals = refusals.iter();
    refusals.any(|refused| Arc::ptr_eq(&refused.credential, credential))
}

/// A server has answered with this status, and may have asked for a pause. Where there are
/// several credentials, it is the one that was sent which is left alone. Gives until when the
/// endpoint is.
///
/// A server that does not know a credential may as well mean the request, which names an
/// organization for instance: that is known when another credential was welcome.
pub(super) fn answered(
    source: &Source<'_>,
    refusals: &mut Vec<Refused>,
    status: StatusCode,
    asked: Option<Duration>,
    now: Duration,
) -> Option<Duration> {
    let Source {
        upstream,
        endpoint,
        credential,
    } = *source;
    let (Some(credentials), Some(credential)) = (&upstream.credentials, credential) else {
        return asked;
    };
    let pool = upstream.pool();
    if !credentials.are_several() || !pool.leaves_alone() {
        return asked;
    }
    let server = &endpoint.label;
    let is_limited = status == StatusCode::TOO_MANY_REQUESTS;
    let is_unknown = status == StatusCode::UNAUTHORIZED;
    let is_unclear = status == StatusCode::FORBIDDEN || status.is_server_error();
    if is_limited || is_unknown {
        refusals.push(Refused {
            credential: credential.clone(),
            server: server.clone(),
            is_unknown,
        });
    }
    if !is_unknown && !is_unclear {
        for refused in refusals.iter_mut().filter(|refused| refused.is_unknown) {
            refused.is_unknown = false;
            let until = now + REFUSED_PAUSE;
            pause(upstream, refused, Why::Refused, until, now);
        }
    }
    let (Some(until), Some(refused)) = (asked.filter(|_| is_limited), refusals.last()) else {
        return asked;
    };
    pause(upstream, refused, Why::Limited, until, now);
    let all = credentials.paused_until(server, now)?;
    // What is behind a name's other addresses is the same to them.
    pool.pause_each(|other: &Arc<Endpoint>| other.label == *server, all, now);
    Some(all)
}

fn pause(upstream: &Upstream, refused: &Refused, why: Why, until: Duration, now: Duration) {
    let Refused {
        credential, server, ..
    } = refused;
    credential.pause(server, until, why, now);
    let time = until.saturating_sub(now);
    let (upstream, endpoint) = (upstream.name.as_str(), &**server);
    let (credential, reason) = (&*credential.name, why.as_str());
    info!(
        upstream,
        endpoint,
        credential,
        reason,
        ?time,
        "credential left alone"
    );
}

/// Whether an answer with this status means the credential, and there is another one that
/// the same endpoint may welcome.
pub(super) fn another_may_help(ctx: &Context, status: StatusCode, now: Duration) -> bool {
    let (Some(credentials), Some(sent), Some(endpoint)) = (
        credentials(ctx),
        &ctx.attempts.credential,
        &ctx.attempts.endpoint,
    ) else {
        return false;
    };
    let server = &*endpoint.label;
    let means_it = match status {
        StatusCode::UNAUTHORIZED => has_failed(&ctx.attempts.refusals, sent),
        StatusCode::TOO_MANY_REQUESTS => sent.is_paused(server, now),
        _ => false,
    };
    let failed = |credential: &Arc<Credential>| has_failed(&ctx.attempts.refusals, credential);
    means_it && credentials.has_other(server, now, failed)
}

/// The request leaves its upstream, and is known to the next one by something else.
pub(super) fn forget(ctx: &mut Context) {
    ctx.attempts.refusals.clear();
    if ctx.attempts.credential.take().is_some() {
        ctx.exchange.retract(NOTE);
    }
}

/// Takes everything out of a head that a client may be known by, and puts in what this
/// upstream knows the proxy by, if it does.
pub(super) fn replace(
    upstream: &Upstream,
    endpoint: &Endpoint,
    head: &mut RequestHeader,
) -> Result<()> {
    let credentials = upstream.credentials.as_ref();
    let own = credentials.map(Credentials::headers).unwrap_or_default();
    for name in HEADERS.iter().chain(own).chain([&COOKIE]) {
        head.remove_header(name);
    }
    if let Some(credentials) = credentials {
        let credential = credentials.pick(&endpoint.label, clock::now(), |_| false);
        let (name, value) = credential.header();
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
