//! Each try to send a request to an endpoint, and whether there is another one.
//!
//! A request is tried again only while nothing of an answer has reached the client. What
//! was certainly not worked on always is: no connection could be made, or a reused one
//! turned out to be closed, which happens when an upstream closes it just as the request
//! is sent (RFC 9112 section 9.3.1). Otherwise a request is repeated if doing the same
//! twice does no harm, which is so of what models are asked, and of methods that promise
//! it (RFC 9110 section 9.2.2).

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use penstock_config::unit;
use penstock_plugins::balance::{Ask, Flight, NoneLeft, Verdict};
use penstock_plugins::{Dialect, HeaderEdits, Readers, Route};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, ImmutStr, Result, RetryType};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use tracing::{debug, info, warn};

use super::context::Context;
use super::credentials::Refused;
use super::replay::Deadline;
use super::target::{self, Next};
use super::{Proxy, body, credentials, edits, hedge, tried, unavailable};
use crate::clock;
use crate::edge::Requests;
use crate::strict::AnswerFault;
use crate::transport::Outbound;
use crate::upstream::{Credential, Endpoint, Upstream};

/// Tries in all, those over closed connections included. Pingora's own loop stops there
/// as well.
pub const TRIES_MAX: usize = 16;

const UNWELCOME: ErrorType = ErrorType::new("UnwelcomeAnswer");

const LATE: ErrorType = ErrorType::new("FirstTokenTimedout");

const OVERDUE: ErrorType = ErrorType::new("DeadlineExceeded");

const OUTRUN: ErrorType = ErrorType::new("Outrun");

/// The peer for the next try.
pub(super) fn next_peer(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<Box<HttpPeer>> {
    // The try before has ended: it is not in flight while the next endpoint is chosen.
    ctx.attempts.flight = None;
    ctx.attempts.ticket = None;
    if ctx.is_over() {
        return Err(overdue());
    }
    let now = clock::now();
    match ctx.attempts.next.take() {
        Some(Next::Target(place)) => target::fall_back(session, ctx, place),
        Some(Next::Beside) => {
            if let Some(peer) = adopt(proxy, session, ctx, now) {
                return Ok(peer);
            }
        }
        Some(Next::Endpoint) | None => {}
    }
    let mut none_left = NoneLeft::default();
    loop {
        let Some(upstream) = ctx.upstream() else {
            return Error::e_explain(ErrorType::InternalError, "the request has no target");
        };
        let ask = Ask {
            now,
            key: ctx.attempts.key,
            tried: &ctx.attempts.failed,
        };
        let pool = upstream.pool();
        let entered = match target::has_fallback(ctx) {
            true => pool.enter_other(ask),
            false => pool.enter(ask),
        };
        match entered {
            Ok((member, flight)) => {
                let endpoint = member.target.clone();
                let mut peer = depart(ctx, endpoint, flight, now);
                hedge::plan(proxy, session, ctx, &mut peer);
                return Ok(peer);
            }
            Err(none) => none_left.add(none),
        }
        upstream.metrics.unavailable.inc();
        let Some(place) = target::next_target(ctx) else {
            break;
        };
        upstream.metrics.fallbacks.inc();
        let upstream = upstream.name.as_str();
        warn!(upstream, reason = %none_left, "no endpoint, trying the next target");
        target::fall_back(session, ctx, place);
    }
    let refusal = unavailable::refusal(&none_left, now);
    let status = ErrorType::HTTPStatus(refusal.status.as_u16());
    let error = Error::explain(status, refusal.reason.clone().into_owned());
    ctx.refusal = Some(refusal);
    Err(error)
}

/// The request is sent to this endpoint.
fn depart(
    ctx: &mut Context,
    endpoint: Arc<Endpoint>,
    flight: Flight,
    now: Duration,
) -> Box<HttpPeer> {
    target::earn(ctx);
    let mut peer = endpoint.peer();
    ctx.attempts.endpoint = Some(endpoint);
    ctx.attempts.flight = Some(flight);
    ctx.attempts.began = Some(Instant::now());
    ctx.attempts.spares_endpoint = false;
    ctx.attempts.informational = 0;
    ctx.attempts.at_target += 1;
    ctx.attempts.made += 1;
    limit_time(ctx, &mut peer, now);
    peer
}

/// The request goes on where it was sent beside the attempt before, if that is under way.
fn adopt(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &mut Context,
    now: Duration,
) -> Option<Box<HttpPeer>> {
    let adopted = ctx.hold.as_ref()?.adopt()?;
    let sent = adopted.sent;
    if let Some(place) = sent.fallback {
        target::fall_back(session, ctx, place);
    }
    let ticket = proxy.handover.leave(adopted.exchange);
    let mut peer = depart(ctx, sent.endpoint, adopted.flight, now);
    if let Some(hold) = &ctx.hold {
        hold.play_nothing();
    }
    credentials::remember(ctx, adopted.credential);
    peer.options.alpn = ticket.alpn();
    ctx.attempts.ticket = Some(ticket);
    ctx.attempts.began = Some(sent.at);
    ctx.attempts.first_began = None;
    Some(peer)
}

/// Bounds the time of an attempt: that of one that another one may follow, and what is left
/// for all of them.
fn limit_time(ctx: &mut Context, peer: &mut HttpPeer, now: Duration) {
    let Some(hold) = ctx.hold.clone() else { return };
    let limit = ctx.route().and_then(|route| route.retry().first_token);
    let limit = limit
        .filter(|_| ctx.has_attempt_left())
        .map(unit::Duration::get);
    let end = ctx.deadline();
    if limit.is_none() && end.is_none() {
        hold.begin(None, None);
        return watch_body(ctx, peer);
    }
    let shorten = |timeout: &mut Option<Duration>, limit: Duration| {
        *timeout = Some(timeout.map_or(limit, |timeout| timeout.min(limit)));
    };
    let begun = Instant::now();
    let left = end.map(|end| end.saturating_duration_since(begun));
    if let Some(limit) = limit.into_iter().chain(left).min() {
        // The deadlines are not looked at before there is a connection.
        shorten(&mut peer.options.connection_timeout, limit);
        shorten(&mut peer.options.total_connection_timeout, limit);
        if peer.options.alpn.get_max_http_version() == 2 {
            // Nor while a piece of the body is written.
            shorten(&mut peer.options.write_timeout, limit);
        }
    }
    let retries = limit.and_then(|_| target::price(ctx, now));
    ctx.attempts.has_price = retries.is_some();
    let deadline = limit.map(|limit| Deadline {
        at: begun + limit,
        retries,
    });
    hold.begin(deadline, end);
    watch_body(ctx, peer);
}

/// Sees to it that an HTTP/2 upstream that stops taking the body is left.
fn watch_body(ctx: &Context, peer: &HttpPeer) {
    let alpn = &peer.options.alpn;
    if let (Some(hold), Some(_), Some(write), 2) = (
        &ctx.hold,
        &ctx.body,
        peer.options.write_timeout,
        alpn.get_max_http_version(),
    ) {
        hold.watch(write, alpn.get_min_http_version() == 2);
    }
}

/// A connection is there, new or reused.
pub(super) fn connected(
    session: &Session,
    ctx: &Context,
    reused: bool,
    outbound: Option<&Arc<Outbound>>,
) {
    if let Some(outbound) = outbound {
        outbound.begin(ctx.hold.is_some());
        if has_body_here(session, ctx) {
            outbound.goes_on();
        }
    }
    if let Some(hold) = &ctx.hold {
        hold.connect(outbound.cloned());
    }
    // One that was begun beside another is counted already.
    if let (Some(upstream), None) = (ctx.upstream(), &ctx.attempts.ticket) {
        count_connection(upstream, reused);
    }
}

/// Whether there is a body that is sent right after its head.
fn has_body_here(session: &Session, ctx: &Context) -> bool {
    if let Some(length) = ctx.sent_len() {
        return length > 0;
    }
    let client = session.as_ref().as_http1();
    let requests = client.and_then(|client| client.stream().as_any().downcast_ref::<Requests>());
    requests.is_some_and(Requests::is_whole)
        && body::declared_length(session).is_some_and(|length| length > 0)
}

/// Counts an attempt for which there is a connection.
pub(super) fn count_connection(upstream: &Upstream, reused: bool) {
    if reused {
        upstream.metrics.reused.inc()
    } else {
        upstream.metrics.connected.inc()
    }
}

/// No connection could be made.
pub(super) fn connect_failed(ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
    hedge::settle(ctx);
    tried::failed(ctx, &error);
    let now = clock::now();
    if is_outrun(&error) {
        lose(ctx, now);
    } else {
        if let Some(upstream) = ctx.upstream() {
            upstream.metrics.connect_failed.inc();
        }
        judge(ctx, Verdict::Bad, &error, now);
    }
    let next = target::next(ctx, now, true);
    go_on(ctx, &mut error, next);
    error
}

/// The connection failed after the request began to be sent.
pub(super) fn failed(
    ctx: &mut Context,
    session: &mut Session,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    hedge::settle(ctx);
    if let Some(fault) = fault(&error) {
        error = unwelcome(fault.as_str());
    }
    tried::failed(ctx, &error);
    let late = is_late(&error);
    let overdue = is_overdue(&error);
    let outrun = is_outrun(&error);
    let reused = reused && ctx.attempts.ticket.is_none();
    let by_upstream = *error.esource() == ErrorSource::Upstream || late;
    if let Some(upstream) = ctx.upstream() {
        let metrics = &upstream.metrics;
        match error.etype() {
            etype if *etype == UNWELCOME => metrics.bad_answer.inc(),
            _ if late || overdue => metrics.late.inc(),
            _ if by_upstream => metrics.failed.inc(),
            _ => {}
        }
    }
    // Reading tells by `ReusedOnly`; writing a body fails when the close came before it.
    let was_closed = reused
        && (matches!(error.retry, RetryType::ReusedOnly)
            || matches!(error.etype(), ErrorType::WriteError));
    let now = clock::now();
    // One that had all of the time is to blame that it is over.
    let is_to_blame = by_upstream && !was_closed || overdue && ctx.attempts.made == 1;
    if is_to_blame {
        judge(ctx, Verdict::Bad, &error, now);
    }
    if outrun {
        lose(ctx, now);
    }
    let decided = ctx.attempts.next.take();
    let open = (by_upstream || outrun) && !ctx.attempts.answered && !ctx.client_left();
    let has_tries = ctx.attempts_max() > 1 && ctx.attempts.made < TRIES_MAX && !ctx.is_hedged();
    if open && was_closed && has_tries && is_kept(ctx, session) {
        count_next(ctx, Next::Endpoint);
        error.set_retry(true);
    } else {
        let next = decided.filter(|_| open).or_else(|| {
            let may_repeat = open && may_repeat(ctx, session);
            let is_paid = late && ctx.attempts.has_price;
            may_repeat.then(|| target::next(ctx, now, is_paid))?
        });
        go_on(ctx, &mut error, next);
    }
    if error.retry() {
        forget_answer(ctx);
    }
    error
}

/// The attempt beside the one under way was sooner, which says how long this one takes at
/// least.
fn lose(ctx: &mut Context, now: Duration) {
    if let Some(flight) = &ctx.attempts.flight {
        flight.first_byte(now);
    }
    hedge::was_outrun(ctx);
}

/// An attempt has failed for good, and the request goes on there.
fn go_on(ctx: &mut Context, error: &mut Error, next: Option<Next>) {
    ctx.attempts.counted += 1;
    ctx.attempts.next = next;
    error.set_retry(next.is_some());
    let Some(next) = next else { return };
    count_next(ctx, next);
    let upstream = ctx.upstream().map(|upstream| upstream.name.as_str());
    let endpoint = ctx.attempts.endpoint.as_ref();
    let endpoint = endpoint.map(|endpoint| &*endpoint.label);
    let to = match next {
        Next::Endpoint => "another endpoint",
        Next::Beside if is_outrun(error) => {
            return debug!(upstream, endpoint, "attempt ended, another one was sooner");
        }
        Next::Beside => "the one beside it",
        Next::Target(_) => "the next target",
    };
    warn!(upstream, endpoint, %error, "attempt failed, trying {to}");
}

/// Whether the request is here to be sent again.
fn is_kept(ctx: &Context, session: &mut Session) -> bool {
    ctx.hold.is_some() || session.is_body_empty()
}

/// Whether the attempt under way may be followed by another one that the upstream may work
/// on as well.
fn may_repeat(ctx: &Context, session: &mut Session) -> bool {
    is_kept(ctx, session)
        && ctx.has_attempt_left()
        && does_no_harm(session.req_header(), ctx.exchange.dialect())
}

/// What a status says of how its endpoint does.
pub(super) fn verdict(status: u16) -> Verdict {
    match status {
        500 | 502..=504 => Verdict::Bad,
        429 => Verdict::Unclear,
        _ => Verdict::Good,
    }
}

/// The client gets to see the answer, whose status is known.
pub(super) fn began(ctx: &mut Context, now: Duration) {
    // To fail quickly must not attract requests.
    if verdict(ctx.status) == Verdict::Good {
        if let Some(flight) = &ctx.attempts.flight {
            flight.first_byte(now);
        }
        judge(ctx, Verdict::Good, &"", now);
    }
}

/// The head of the answer is there. It may say that the endpoint does badly; that it does
/// well is certain only when the answer has [begun](began).
pub(super) fn answered(ctx: &mut Context, head: &ResponseHeader, now: Duration) {
    let Some(mut flight) = ctx.attempts.flight.take() else {
        return;
    };
    let mut refusals = std::mem::take(&mut ctx.attempts.refusals);
    if let (Some(upstream), Some(endpoint)) = (ctx.upstream(), &ctx.attempts.endpoint) {
        let source = Source {
            upstream,
            endpoint,
            credential: ctx.attempts.credential.as_ref(),
        };
        heed(&source, &mut refusals, &mut flight, head, now);
    }
    ctx.attempts.refusals = refusals;
    ctx.attempts.flight = Some(flight);
}

/// Who has answered, and what it was asked with.
pub(super) struct Source<'c> {
    pub(super) upstream: &'c Upstream,
    pub(super) endpoint: &'c Arc<Endpoint>,
    pub(super) credential: Option<&'c Arc<Credential>>,
}

/// Takes down what an answer's head says against its endpoint, or against the credential
/// that it was asked with, and does as it asks.
pub(super) fn heed(
    source: &Source<'_>,
    refusals: &mut Vec<Refused>,
    flight: &mut Flight,
    head: &ResponseHeader,
    now: Duration,
) {
    let Source {
        upstream, endpoint, ..
    } = *source;
    let verdict = verdict(head.status.as_u16());
    if verdict != Verdict::Good {
        upstream.judge(endpoint, flight, verdict, &head.status, now);
    }
    let asked = unavailable::pause_asked(head, now);
    let until = credentials::answered(source, refusals, head.status, asked, now);
    let Some(until) = until else {
        return;
    };
    if upstream.pool().pause(flight, until, now) {
        let endpoint = &*endpoint.label;
        let time = until.saturating_sub(now);
        info!(upstream = upstream.name.as_str(), endpoint, status = %head.status, ?time, "endpoint asks for a pause");
    }
}

/// Takes down how the endpoint did.
fn judge(ctx: &mut Context, verdict: Verdict, reason: &dyn Display, now: Duration) {
    let Some(mut flight) = ctx.attempts.flight.take() else {
        return;
    };
    if let (Some(upstream), Some(endpoint)) = (ctx.upstream(), &ctx.attempts.endpoint) {
        upstream.judge(endpoint, &mut flight, verdict, reason, now);
    }
    ctx.attempts.flight = Some(flight);
}

/// Whether a request may be worked on twice.
pub(super) fn does_no_harm(head: &RequestHeader, dialect: Dialect) -> bool {
    dialect != Dialect::Plain || head.method.is_idempotent()
}

/// Takes back what the answer of a failed attempt has left.
fn forget_answer(ctx: &mut Context) {
    ctx.held = None;
    ctx.readers = Readers::default();
    ctx.status = 0;
    ctx.exchange.forget_answer();
    if let Some(edits) = ctx.response_edits.clone() {
        ctx.exchange.response = edits;
    }
}

/// An answer with this status is a failed attempt, if another one may follow.
pub(super) fn refuses(
    session: &mut Session,
    ctx: &mut Context,
    status: StatusCode,
    now: Duration,
) -> bool {
    hedge::settle(ctx);
    let counts = |route: &Route| is_unwelcome(route, status);
    let helps = credentials::another_may_help(ctx, status, now);
    let counts = ctx.route().is_some_and(counts) || helps && status == StatusCode::UNAUTHORIZED;
    let fails = counts && may_repeat(ctx, session);
    ctx.attempts.spares_endpoint = helps;
    ctx.attempts.next = match fails {
        true => target::next(ctx, now, false),
        false => None,
    };
    ctx.attempts.next.is_some()
}

/// Whether the route counts an answer with this status as a failed attempt.
pub(super) fn is_unwelcome(route: &Route, status: StatusCode) -> bool {
    let mut statuses = route.retry().statuses.iter();
    statuses.any(|one| one.get() == status.as_u16())
}

/// An upstream's answer that counts as a failed attempt.
pub(super) fn unwelcome(why: impl Into<ImmutStr>) -> Box<Error> {
    Error::create(UNWELCOME, ErrorSource::Upstream, Some(why.into()), None)
}

/// The client's part of an attempt ended since no answer had begun in time.
pub(super) fn late() -> Box<Error> {
    Error::explain(LATE, "the answer did not begin in time")
}

/// Why an answer was an unwelcome one.
pub(super) fn unwelcome_for(error: &Error) -> Option<&str> {
    let why = error.context.as_ref().map(ImmutStr::as_str);
    why.filter(|_| *error.etype() == UNWELCOME)
}

/// What was wrong with an answer's head before it was parsed, if an attempt ended for that.
fn fault(error: &Error) -> Option<AnswerFault> {
    let read = error.root_cause().downcast_ref::<io::Error>()?;
    read.get_ref()?.downcast_ref().copied()
}

pub(super) fn is_late(error: &Error) -> bool {
    *error.etype() == LATE
}

/// The time for all attempts is over.
pub(super) fn overdue() -> Box<Error> {
    Error::explain(OVERDUE, "no answer had begun at the deadline")
}

pub(super) fn is_overdue(error: &Error) -> bool {
    *error.etype() == OVERDUE
}

/// An attempt ended since the one beside it had output first.
pub(super) fn outrun() -> Box<Error> {
    Error::explain(OUTRUN, "another attempt was sooner")
}

fn is_outrun(error: &Error) -> bool {
    *error.etype() == OUTRUN
}

/// Whether it was not for the client that its part of an attempt has ended.
pub(super) fn is_ours(error: &Error) -> bool {
    is_late(error) || is_overdue(error) || is_outrun(error)
}

/// Counts an attempt that is followed by another one.
fn count_next(ctx: &Context, next: Next) {
    let Some(upstream) = ctx.upstream() else {
        return;
    };
    match next {
        Next::Endpoint => upstream.metrics.retries.inc(),
        Next::Target(_) => upstream.metrics.fallbacks.inc(),
        Next::Beside => {}
    }
}

/// Makes the head that goes upstream.
pub(super) fn prepare_head(ctx: &mut Context, head: &mut RequestHeader) -> Result<()> {
    let length = ctx.sent_len();
    let Some(upstream) = ctx.upstream().filter(|_| ctx.attempts.ticket.is_none()) else {
        return Ok(());
    };
    let endpoint = ctx.attempts.endpoint.as_deref();
    let changes = &ctx.exchange.request;
    let refusals = &ctx.attempts.refusals;
    let credential = dress(upstream, endpoint, refusals, changes, length, head)?;
    credentials::remember(ctx, credential);
    Ok(())
}

/// Makes a client's head one for this endpoint of an upstream, with a credential that was
/// not refused if there is one. Gives that.
pub(super) fn dress(
    upstream: &Upstream,
    endpoint: Option<&Endpoint>,
    refusals: &[Refused],
    changes: &HeaderEdits,
    length: Option<usize>,
    head: &mut RequestHeader,
) -> Result<Option<Arc<Credential>>> {
    credentials::withhold(upstream, head);
    edits::apply(changes, head)?;
    let credential = credentials::present(upstream, endpoint, refusals, head)?;
    if let Some(host) = &upstream.host {
        head.insert_header(HOST, host.clone())?;
    }
    if let Some(length) = length {
        // The body is here in full: its length is known, and the client's wait for leave
        // to send it is over.
        head.remove_header(&TRANSFER_ENCODING);
        head.insert_header(CONTENT_LENGTH, length)?;
        head.remove_header(&EXPECT);
    }
    Ok(credential)
}
