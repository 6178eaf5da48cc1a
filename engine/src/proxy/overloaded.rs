//! Requests that are refused since there is no room for them now.

use std::future::pending;
use std::sync::Arc;

use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, StatusCode};
use penstock_config::server::Priority;
use penstock_config::unit::Identifier;
use penstock_plugins::{Exchange, Kind, Refusal};
use pingora_error::Error;
use pingora_proxy::Session;

use super::Proxy;
use super::context::Context;
use super::request::Stop;
use crate::overload::{Entrance, Shed};
use crate::telemetry::Outcome;

/// In which clients that may do so say how urgent a request is.
static PRIORITY: HeaderName = HeaderName::from_static("x-penstock-priority");

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

/// Lets the request through to an upstream, at once or when it is its turn.
pub(super) async fn admit(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &mut Context,
) -> Result<(), Stop> {
    let class = class(proxy, session, ctx);
    if session.req_header().headers.contains_key(&PRIORITY) {
        ctx.exchange.request.remove(PRIORITY.clone());
    }
    let exchange = &ctx.exchange;
    let entrance = proxy.live.overload().admit(class, || tenant(exchange));
    let admitted = match entrance {
        Ok(Entrance::Open(admitted)) => Ok(admitted),
        Ok(Entrance::Wait(mut waiting)) => tokio::select! {
            biased;
            admitted = waiting.turn() => admitted,
            error = leaving(session) => return Err(Stop::Client(error)),
        },
        Err(why) => Err(why),
    };
    match admitted {
        Ok(admitted) => {
            ctx.admitted = Some(admitted);
            Ok(())
        }
        Err(why) => Err(refuse(proxy, session, ctx, why).into()),
    }
}

/// How urgent the request is: as its client says, if it may; else as a role of the client or
/// the route has it.
fn class(proxy: &Proxy, session: &Session, ctx: &Context) -> Priority {
    let queue = &proxy.live.server().overload.queue;
    let identity = ctx.exchange.identity();
    let has_one_of = |roles: &[Identifier]| {
        let has = |role: &Identifier| identity.is_some_and(|who| who.has_role(role.as_str()));
        roles.iter().any(has)
    };
    let said = session.req_header().headers.get(&PRIORITY);
    let said = Priority::ALL
        .into_iter()
        .find(|class| said.is_some_and(|said| said == class.as_str()));
    let routes = &ctx.generation.config.routes;
    match said {
        Some(class) if has_one_of(&queue.header_roles) => class,
        _ if has_one_of(&queue.high_roles) => Priority::High,
        _ if has_one_of(&queue.low_roles) => Priority::Low,
        _ => {
            let route = ctx.route.and_then(|route| routes.get(route));
            route.map_or(Priority::default(), |route| route.priority)
        }
    }
}

/// With whom a request takes turns: its tenant, else whoever has its address.
fn tenant(exchange: &Exchange) -> Arc<str> {
    match (exchange.identity(), exchange.client()) {
        // Neither can look like the other.
        (Some(identity), _) => format!("tenant {}", identity.tenant).into(),
        (None, Some(client)) => client.to_string().into(),
        (None, None) => "".into(),
    }
}

/// Ends when the client has gone. One that is still sending is not listened to: its body
/// streams through.
async fn leaving(session: &mut Session) -> Box<Error> {
    if !session.is_body_done() {
        return pending().await;
    }
    match session.downstream_session.read_body_or_idle(true).await {
        // What a client sends past its body is the next request, and waits for its turn.
        Ok(_) => pending().await,
        Err(error) => error,
    }
}

/// Counts a refusal. Where what the connection takes is needed, it is closed with that.
pub(super) fn refuse(
    proxy: &Proxy,
    session: &mut Session,
    ctx: &Context,
    why: Shed,
) -> Box<Refusal> {
    proxy.telemetry.overload.shed(why);
    if why.closes() {
        session.set_keepalive(None);
    }
    refusal(why, ctx.arrival.id)
}
