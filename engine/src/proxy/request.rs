//! Before an upstream is chosen: who asks, the route, the plugins that may refuse, the
//! body if anyone needs it, and the target.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{StatusCode, Version};
use penstock_plugins::cache::Entry;
use penstock_plugins::json::{Fault, ScanError, Scanner};
use penstock_plugins::role::{CachePolicy, Destination, Lookup};
use penstock_plugins::{
    Arrival, Deployment, Dialect, Exchange, Facts, Found, Kind, Refusal, Route, Target, media_type,
};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::body::{self, Body, ReadError};
use super::context::Context;
use super::{Proxy, client, overloaded, respond, shadow, stored, strict, target};
use crate::overload::Shed;
use crate::tls::Secured;

/// How long a client that announces too large a body may take to begin with it, until it is
/// told.
const ANNOUNCED_WAIT: Duration = Duration::from_secs(6);

/// Why a request goes no further.
pub(super) enum Stop {
    /// It is answered here.
    Refused(Box<Refusal>),
    /// Its client failed.
    Client(Box<Error>),
}

impl From<Box<Refusal>> for Stop {
    fn from(refusal: Box<Refusal>) -> Self {
        Stop::Refused(refusal)
    }
}

/// Lets a request through, or answers it. True if it was answered.
pub(super) async fn admit(proxy: &Proxy, session: &mut Session, ctx: &mut Context) -> Result<bool> {
    let client = client::settle(proxy.live.clients(), session);
    let normalised = strict::normalise(proxy, session);
    ctx.exchange = Exchange::new(Arrival {
        client,
        dialect: Dialect::of(session.req_header().uri.path()),
        ..ctx.arrival
    });
    if let Some(name) = Secured::of(session.digest()).and_then(Secured::client) {
        ctx.exchange.certify(name.clone());
    }
    if proxy.live.is_draining() {
        session.set_keepalive(None);
    }
    if let Err(rule) = normalised {
        proxy.telemetry.count_rule(rule);
        session.set_keepalive(None);
        respond::refuse(session, ctx, *strict::refusal(rule)).await?;
        return Ok(true);
    }
    match examine(proxy, session, ctx).await {
        Ok(None) => Ok(false),
        Ok(Some(entry)) => {
            let served = stored::serve(session, ctx, &entry).await;
            served.map_err(Error::into_down)?;
            Ok(true)
        }
        Err(Stop::Refused(refusal)) => {
            respond::refuse(session, ctx, *refusal).await?;
            Ok(true)
        }
        Err(Stop::Client(error)) => Err(error.into_down()),
    }
}

/// Asks everyone who has a say. Gives the stored answer, if there is one; otherwise the
/// request is ready to be sent.
async fn examine(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<Option<Arc<Entry>>, Stop> {
    overloaded::look(proxy, session, ctx)?;
    let generation = ctx.generation();
    let global = generation.routes.global();
    // Before all that follows, so that a client whom nobody knows learns nothing of limits and
    // routes, and nothing of its body is read.
    global.authenticate(&mut ctx.exchange, session.req_header())?;
    let deployment = Deployment::of(session.req_header().uri.path())?;
    ctx.exchange.deploy(deployment);
    let limit = body_limit(ctx);
    if body::declared_length(session).is_some_and(|declared| declared as u64 > limit as u64) {
        hear_beginning(session).await;
        return Err(too_large(proxy, limit).into());
    }
    let client = ctx.exchange.client();
    let route = match generation.routes.find(session.req_header(), client) {
        Found::Route(route) => Some(route),
        Found::None => None,
        Found::NeedsModel => {
            if ctx.exchange.deployment().is_none() {
                keep_body(proxy, session, ctx, true).await?;
            }
            let model = ctx.exchange.model();
            generation
                .routes
                .find_with_model(session.req_header(), client, model)
        }
    };
    let Some(route) = route else {
        global.request(&mut ctx.exchange, session.req_header())?;
        return Err(no_route(session).into());
    };
    strict::check_separators(proxy, session.req_header(), ctx, route)?;
    ctx.route = Some(route.index());
    ctx.exchange.enter(route);
    let chain = route.chain();
    chain.authenticate(&mut ctx.exchange, session.req_header())?;
    chain.request(&mut ctx.exchange, session.req_header())?;

    if ctx.body.is_none() && wants_body(ctx, route, session) {
        keep_body(proxy, session, ctx, route.needs_body()).await?;
    }
    let mut whole = Bytes::new();
    if chain.needs_body() {
        if ctx.exchange.facts().is_none() {
            ctx.exchange.learn(Facts::default());
        }
        whole = ctx.body.as_mut().map(Body::joined).unwrap_or_default();
        chain.body(&mut ctx.exchange, session.req_header(), &whole)?;
    }
    let chosen = route.router().target(&ctx.exchange, session.req_header());
    if let Some(policy) = chain.cache()
        && let Some(entry) = look_up(policy, session, ctx, chosen, &whole)?
    {
        return Ok(Some(entry));
    }
    overloaded::admit(proxy, session, ctx).await?;
    shadow::cast(proxy, session, ctx);
    target::begin(session, ctx, chosen.clone());
    Ok(None)
}

/// Waits for the first of a body that is announced to be too large. Whoever has to know before
/// sending any of it asks for leave.
async fn hear_beginning(session: &mut Session) {
    if !body::expects_continue(session) && session.req_header().version < Version::HTTP_2 {
        // What it is, or that it does not come, changes nothing.
        let _ = tokio::time::timeout(ANNOUNCED_WAIT, session.read_request_body()).await;
    }
}

/// The host that a client asks for. One that is no text has been refused.
fn asked_host(head: &RequestHeader) -> Option<&str> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    head.uri.authority().map(Authority::as_str).or(host)
}

/// Looks for a stored answer. If there is none, the upstream's may be recorded.
fn look_up(
    policy: &dyn CachePolicy,
    session: &Session,
    ctx: &mut Context,
    target: &Target,
    body: &Bytes,
) -> Result<Option<Arc<Entry>>, Box<Refusal>> {
    let generation = ctx.generation();
    let upstream = generation.upstream(target.upstream);
    let destination = Destination {
        upstream: upstream.map_or("", |upstream| upstream.name.as_str()),
        host: match upstream {
            Some(upstream) if upstream.host.is_some() => None,
            _ => asked_host(session.req_header()),
        },
        model: target.model.as_ref().map(|model| model.as_str()),
    };
    match policy.look_up(&mut ctx.exchange, session.req_header(), body, destination)? {
        Lookup::Hit(entry) => {
            ctx.metrics().cache_hits.inc();
            return Ok(Some(entry));
        }
        Lookup::Miss(recorder) => {
            ctx.metrics().cache_misses.inc();
            ctx.recorder = Some(recorder);
        }
        Lookup::Bypass => ctx.metrics().cache_bypasses.inc(),
    }
    Ok(None)
}

/// A body is read whole if the route needs it, if it may have to be sent twice, or if a replay
/// has to stand in for its client: for a deadline, for one that may leave early, and for one
/// that is so old.
fn wants_body(ctx: &Context, route: &Route, session: &mut Session) -> bool {
    let drains = ctx.generation.drains(Some(route.index())).is_some();
    let is_replayed = route.attempts() > 1 || route.deadline().is_some() || drains;
    let is_kept = is_replayed && !session.is_upgrade_req();
    let is_old = session.req_header().version < Version::HTTP_11;
    (route.needs_body() || is_kept || is_old) && !session.is_body_empty()
}

/// Reads the body into the context, and what is to be known of it into the exchange.
async fn keep_body(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &mut Context,
    scanned: bool,
) -> Result<(), Stop> {
    let limit = body_limit(ctx);
    let mut scanner = (scanned && may_be_json(session)).then(Scanner::new);
    match Body::read(
        session,
        limit,
        scanner.as_mut(),
        &proxy.room(),
        proxy.bodies,
    )
    .await
    {
        Ok(body) => ctx.body = body,
        Err(ReadError::TooLarge) => return Err(too_large(proxy, limit).into()),
        Err(ReadError::NoRoom) => {
            let refusal = overloaded::refuse(proxy, session, ctx, Shed::Bodies);
            return Err(refusal.into());
        }
        Err(ReadError::Client(error)) => return Err(Stop::Client(error)),
    }
    ctx.request_bytes = ctx.body.as_ref().map_or(0, Body::len) as u64;
    if scanned {
        let scanner = scanner.filter(|_| ctx.body.is_some());
        let facts = scanner.map_or_else(|| Ok(Facts::default()), facts)?;
        ctx.exchange.learn(facts);
    }
    Ok(())
}

/// What the scan of a body found. An array or a bare value has no fields to act on;
/// whether it is welcome is for the plugins and the upstream to say.
fn facts(scanner: Scanner) -> Result<Facts, Box<Refusal>> {
    match scanner.finish() {
        Err(ScanError {
            fault: Fault::NotAnObject,
            ..
        }) => Ok(Facts::default()),
        scanned => scanned.map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                Kind::InvalidRequest,
                "invalid_json",
                error.to_string(),
            )
        }),
    }
}

/// Whether the body can be JSON: its type says so, or says nothing.
fn may_be_json(session: &Session) -> bool {
    let Some(value) = session.req_header().headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = media_type::essence(value.as_bytes());
    essence.eq_ignore_ascii_case(b"application/json")
        || essence.eq_ignore_ascii_case(b"text/json")
        || media_type::ends_with(essence, "+json")
}

fn body_limit(ctx: &Context) -> usize {
    usize::try_from(ctx.generation.config.server.limits.request_body.bytes()).unwrap_or(usize::MAX)
}

fn too_large(proxy: &Proxy, limit: usize) -> Box<Refusal> {
    proxy
        .telemetry
        .limit_reached
        .with_label_values(&["request_body"])
        .inc();
    let message = format!("The request body is larger than the limit of {limit} bytes.");
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooLarge,
        "request_too_large",
        message,
    )
}

fn no_route(session: &Session) -> Box<Refusal> {
    let head = session.req_header();
    let message = format!(
        "No route for {} {}.",
        head.method,
        respond::shown(head.uri.path())
    );
    Refusal::new(StatusCode::NOT_FOUND, Kind::NotFound, "no_route", message)
}

/// Counts a body that streams through, and ends it at the limit.
pub(super) fn streamed(
    proxy: &Proxy,
    session: &Session,
    ctx: &mut Context,
    chunk: &mut Option<Bytes>,
    last: bool,
) -> Result<()> {
    if last && chunk.as_ref().is_some_and(Bytes::is_empty) {
        // HTTP/2 may end a body with an empty frame. Pingora would write it to an HTTP/1
        // upstream as the last chunk, and then the last chunk again: the second would be
        // taken for the beginning of the next request on that connection.
        *chunk = None;
    }
    if ctx.body.is_some() {
        return Ok(());
    }
    ctx.request_bytes += chunk.as_ref().map_or(0, Bytes::len) as u64;
    let limit = body_limit(ctx);
    if ctx.request_bytes > limit as u64 {
        let refusal = too_large(proxy, limit);
        let error = Error::explain(
            ErrorType::HTTPStatus(refusal.status.as_u16()),
            refusal.message.clone().into_owned(),
        );
        ctx.refusal = Some(refusal);
        return Err(error.into_down());
    }
    shadow::pass(proxy, session, ctx, chunk.as_ref(), last);
    Ok(())
}
