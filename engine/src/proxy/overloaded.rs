//! Requests that are refused since there is no room for them now.

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use penstock_plugins::{Kind, Refusal};
use pingora_proxy::Session;

use super::Proxy;
use super::context::Context;
use crate::overload::Shed;
use crate::telemetry::Outcome;

/// What its client is told: to come back in one to three seconds. Pressure is looked at twenty
/// times a second, so that it is gone as a rule by then; not all come back at once.
pub(super) fn refusal(why: Shed, id: u128) -> Box<Refusal> {
    let refusal = Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        Kind::Overloaded,
        "overloaded",
        "The proxy is overloaded. Please try again later.",
    );
    let seconds = HeaderValue::from(1 + (id % 3) as u64);
    refusal
        .because(format!("overloaded: {}", why.as_str()))
        .with_header(RETRY_AFTER, seconds)
}

/// Whether there is room for the request now, before anything is done for it.
pub(super) fn look(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &Context,
) -> Result<(), Box<Refusal>> {
    let overload = proxy.live.overload();
    if overload.closes_connections() {
        session.set_keepalive(None);
    }
    let looked = overload.look();
    looked.map_err(|why| refuse(proxy, session, ctx, why))
}

/// Lets the request through to an upstream, if there is room for it.
pub(super) fn admit(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<(), Box<Refusal>> {
    match proxy.live.overload().admit() {
        Ok(admitted) => {
            ctx.admitted = Some(admitted);
            Ok(())
        }
        Err(why) => Err(refuse(proxy, session, ctx, why)),
    }
}

/// Counts a refusal, with which the connection is closed: what it takes is needed.
pub(super) fn refuse(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &Context,
    why: Shed,
) -> Box<Refusal> {
    proxy.telemetry.overload.shed(why);
    session.set_keepalive(None);
    refusal(why, ctx.arrival.id)
}
