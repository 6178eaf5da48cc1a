//! Where a request is sent: the target that was chosen for it, and those that it goes on to
//! when that one fails it.
//!
//! A target is left when it has no other endpoint to try, when its upstream's budget of
//! retries is spent, or when the attempts that are left are needed for the targets to come:
//! each is to get one. An upstream that is asked for the first time is sent a request like
//! any other, which takes no retry of its budget and earns it a part of one. Otherwise an
//! upstream that fails altogether would be relieved of no more requests than it may be sent
//! twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Version};
use penstock_plugins::balance::Ask;
use penstock_plugins::{Target, UpstreamId};
use pingora_proxy::Session;

use super::body::Body;
use super::context::Context;
use super::{credentials, edits, replay};
use crate::retries::Retries;

/// Where a request goes whose attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To an endpoint of the same target.
    Endpoint,
    /// Where it was sent beside the attempt that has failed.
    Beside,
    /// To the target at this place among the route's fallbacks.
    Target(usize),
}

/// Sends the request to the target that was chosen for it.
pub(super) fn begin(session: &mut Session, ctx: &mut Context, target: Target) {
    aim(session, ctx, target);
    if ctx.body.is_some() {
        return;
    }
    let http2 = targets(ctx).any(|target| {
        let upstream = ctx.generation.upstream(target.upstream);
        upstream.is_some_and(|upstream| upstream.http2)
    });
    let head = session.req_header();
    let is_special = head.version < Version::HTTP_11 || head.method == Method::HEAD;
    let drains = ctx.generation.drains(ctx.route).is_some();
    let hedges = ctx.generation.hedges(ctx.route).is_some();
    // It says itself what it takes of an answer, of which no more is to be read meanwhile.
    let paces = head.version == Version::HTTP_2;
    let is_watched = paces || http2 && is_special || ctx.deadline().is_some() || drains || hedges;
    if is_watched && session.is_body_empty() && !session.is_upgrade_req() {
        // There is nothing to play, but what such a client cannot take is to be kept from
        // it, its leaving from Pingora, and the time is to be looked at.
        replay::install(session, ctx, [].into());
    }
}

/// Sends the request to another target of the route than before.
pub(super) fn fall_back(session: &mut Session, ctx: &mut Context, place: usize) {
    let fallback = ctx.route().and_then(|route| route.fallback().get(place));
    let Some(target) = fallback.cloned() else {
        return;
    };
    // What another upstream or another model says is no answer to what the cache was
    // asked for.
    ctx.recorder = None;
    credentials::forget(ctx);
    ctx.attempts.fallbacks = place + 1;
    ctx.attempts.at_target = 0;
    ctx.attempts.endpoint = None;
    // By their addresses, which another upstream may have as well.
    ctx.attempts.failed.clear();
    ctx.attempts.passed.extend(ctx.target.take());
    aim(session, ctx, target);
}

/// Makes the body what the target's upstream is to get.
fn aim(session: &mut Session, ctx: &mut Context, target: Target) {
    let upstream = ctx.generation.upstream(target.upstream);
    let body = ctx.body.as_ref().map(Body::pieces).unwrap_or_default();
    ctx.attempts.key =
        upstream.and_then(|upstream| upstream.key(session.req_header(), &ctx.exchange, body));
    if let Some(mut body) = ctx.body.take() {
        let edits = edits::of_body(ctx, &target);
        let route = ctx.route();
        let is_timed = ctx.generation.hedges(ctx.route).is_some()
            || route.is_some_and(|route| {
                route.retry().first_token.is_some() || route.deadline().is_some()
            });
        let is_last = route.is_none_or(|route| route.fallback().is_empty());
        let pieces = body.edited(&edits, is_timed.then_some(replay::PIECES_MAX));
        if is_last {
            body.forget_original();
        }
        match &ctx.hold {
            Some(hold) => hold.play(pieces.into()),
            None => replay::install(session, ctx, pieces.into()),
        }
        ctx.body = Some(body);
    }
    ctx.target = Some(target);
}

/// Where the request goes now that an attempt has failed, if it may go anywhere. It is paid
/// for from the budget of the upstream that it goes to, unless that is done already.
pub(super) fn next(ctx: &mut Context, now: Duration, is_paid: bool) -> Option<Next> {
    if ctx.is_over() || !ctx.has_attempt_left() {
        return None;
    }
    let failed = ctx.attempts.endpoint.as_ref();
    let failed = failed.filter(|_| !ctx.attempts.spares_endpoint);
    ctx.attempts
        .failed
        .extend(failed.map(|endpoint| endpoint.seed));
    if ctx.is_hedged() {
        return Some(Next::Beside);
    }
    let upstream = ctx.target.as_ref()?.upstream;
    if may_stay(ctx, now) && (is_paid || is_affordable(ctx, upstream)) {
        return Some(Next::Endpoint);
    }
    let mut targets = fallbacks(ctx).filter(|(_, target)| has_room(ctx, now, target.upstream));
    let next = targets.find(|(_, target)| is_paid || is_free(ctx, target.upstream));
    next.map(|(place, _)| Next::Target(place))
}

/// The next target of a request for which the present one has no endpoint.
pub(super) fn next_target(ctx: &Context) -> Option<usize> {
    let mut targets = fallbacks(ctx);
    let next = targets.find(|(_, target)| is_free(ctx, target.upstream));
    next.map(|(place, _)| place)
}

/// The upstream's retries of which one must be taken to end an attempt before its time.
/// None if that costs nothing, since the request can go to an upstream that is not asked
/// yet.
pub(super) fn price(ctx: &Context, now: Duration) -> Option<Arc<Retries>> {
    let mut targets = fallbacks(ctx).map(|(_, target)| target.upstream);
    if targets.any(|upstream| !was_asked(ctx, upstream) && has_room(ctx, now, upstream)) {
        return None;
    }
    ctx.generation
        .retries(ctx.target.as_ref()?.upstream)
        .cloned()
}

/// Whether the target may be tried again at another endpoint, as far as that is not a matter
/// of its budget. The last one may be tried at the same.
fn may_stay(ctx: &Context, now: Duration) -> bool {
    let to_come = fallbacks(ctx).count();
    if to_come == 0 {
        return true;
    }
    let ask = Ask {
        now,
        key: ctx.attempts.key,
        tried: &ctx.attempts.failed,
    };
    // The attempt that has failed is not counted yet.
    ctx.attempts.counted + 1 + to_come < ctx.attempts_max()
        && ctx
            .upstream()
            .is_some_and(|upstream| upstream.pool().has_other(ask))
}

/// Whether there are targets to go on to.
pub(super) fn has_fallback(ctx: &Context) -> bool {
    fallbacks(ctx).next().is_some()
}

/// The targets to come, with their places among the route's fallbacks, without those that
/// have failed.
pub(super) fn fallbacks(ctx: &Context) -> impl Iterator<Item = (usize, &Target)> {
    let all = ctx.route().map_or(&[][..], |route| route.fallback());
    let to_come = all.iter().enumerate().skip(ctx.attempts.fallbacks);
    let is_past = |target| {
        ctx.target
            .iter()
            .chain(&ctx.attempts.passed)
            .any(|past| past == target)
    };
    to_come.filter(move |(_, target)| !is_past(*target))
}

/// The present target and those to come.
fn targets(ctx: &Context) -> impl Iterator<Item = &Target> {
    let to_come = fallbacks(ctx).map(|(_, target)| target);
    ctx.target.iter().chain(to_come)
}

/// Whether an upstream may be sent requests at all.
fn has_room(ctx: &Context, now: Duration, upstream: UpstreamId) -> bool {
    let ask = Ask {
        now,
        key: None,
        tried: &[],
    };
    let upstream = ctx.generation.upstream(upstream);
    upstream.is_some_and(|upstream| upstream.pool().has_other(ask))
}

/// Whether the request was sent to this upstream before it came to the present target, or is
/// there.
fn was_asked(ctx: &Context, upstream: UpstreamId) -> bool {
    let mut targets = ctx.target.iter().chain(&ctx.attempts.passed);
    targets.any(|target| target.upstream == upstream)
}

/// Whether an upstream is sent the request, which costs a retry if it has had it before.
fn is_free(ctx: &Context, upstream: UpstreamId) -> bool {
    !was_asked(ctx, upstream) || is_affordable(ctx, upstream)
}

/// Takes one of an upstream's retries, if there is one.
fn is_affordable(ctx: &Context, upstream: UpstreamId) -> bool {
    let retries = ctx.generation.retries(upstream);
    retries.is_none_or(|retries| retries.spend(Instant::now()))
}

/// The request is sent to an upstream for the first time, from which its budget grows.
pub(super) fn earn(ctx: &Context) {
    let Some(target) = &ctx.target else { return };
    let mut passed = ctx.attempts.passed.iter();
    let is_first =
        ctx.attempts.at_target == 0 && !passed.any(|before| before.upstream == target.upstream);
    if is_first
        && ctx.attempts_max() > 1
        && let Some(retries) = ctx.generation.retries(target.upstream)
    {
        retries.earn();
    }
}
