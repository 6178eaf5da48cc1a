//! What became of each attempt, for the access log, and for clients where the chain says so.

use std::fmt::{self, Display, Write};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use penstock_plugins::{Route, UpstreamId};
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;

use super::attempt;
use super::context::Context;
use super::hedge::{Failure, Sent};
use crate::generation::Generation;

const COUNT: HeaderName = HeaderName::from_static("x-penstock-attempt-count");

const LIST: HeaderName = HeaderName::from_static("x-penstock-attempts");

/// Longest list that a client is told. Servers and clients bound the heads that they take.
const LIST_BYTES_MAX: usize = 1024;

/// An attempt that is over, or whose answer has begun.
pub(super) struct Tried {
    upstream: UpstreamId,
    /// As the configuration names it.
    endpoint: Arc<str>,
    /// What came of it, in a word.
    how: Box<str>,
    time: Duration,
}

/// The attempt under way has failed.
pub(super) fn failed(ctx: &mut Context, error: &Error) {
    let tried = under_way(ctx, || word(error).into());
    ctx.attempts.failures.extend(tried);
    ctx.attempts.began = None;
}

/// One that was made beside another has failed.
pub(super) fn failed_beside(ctx: &mut Context, sent: &Sent, failure: Failure) {
    ctx.attempts.failures.push(Tried {
        upstream: sent.upstream,
        endpoint: sent.endpoint.label.clone(),
        how: failure.reason.into(),
        time: failure.time,
    });
}

/// What came of the attempt under way.
fn under_way(ctx: &Context, how: impl FnOnce() -> Box<str>) -> Option<Tried> {
    Some(Tried {
        time: ctx.attempts.began?.elapsed(),
        upstream: ctx.target.as_ref()?.upstream,
        endpoint: ctx.attempts.endpoint.as_ref()?.label.clone(),
        how: how(),
    })
}

fn word(error: &Error) -> &str {
    if let Some(why) = attempt::unwelcome_for(error) {
        return why;
    }
    // That the time is over is found in the client's part of an attempt, and not its doing.
    let is_clients = *error.esource() == ErrorSource::Downstream && !attempt::is_ours(error);
    match error.etype() {
        ErrorType::HTTPStatus(_) if is_clients => "refused",
        _ if is_clients => "client_gone",
        etype => etype.as_str(),
    }
}

/// The attempts in order, as an operator reads them; none unless one has failed.
pub(super) fn told(ctx: &Context) -> Option<impl Display> {
    let tried = !ctx.attempts.failures.is_empty();
    tried.then(|| All {
        generation: &ctx.generation,
        failures: &ctx.attempts.failures,
        last: under_way(ctx, || status(ctx)),
    })
}

fn status(ctx: &Context) -> Box<str> {
    match ctx.status {
        0 => "no_answer".into(),
        status => format!("status_{status}").into(),
    }
}

struct All<'c> {
    generation: &'c Generation,
    failures: &'c [Tried],
    last: Option<Tried>,
}

impl Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for tried in self.failures.iter().chain(&self.last) {
            f.write_str(comma)?;
            tried.write(f, Some(self.generation))?;
            comma = ", ";
        }
        Ok(())
    }
}

impl Tried {
    /// Words with a space between them; with the names of upstream and endpoint if there is
    /// a generation to find them in.
    fn write(&self, to: &mut impl Write, names: Option<&Generation>) -> fmt::Result {
        let Self { endpoint, how, .. } = self;
        if let Some(upstream) = names.and_then(|names| names.upstream(self.upstream)) {
            write!(to, "{} {endpoint} ", upstream.name)?;
        }
        write!(to, "{how} {:.1}ms", self.time.as_secs_f64() * 1e3)
    }
}

/// Puts into the head of an answer what its client is to know of the attempts.
pub(super) fn tell(ctx: &Context, head: &mut ResponseHeader) -> Result<()> {
    let chain = ctx.route().map(Route::chain);
    let chain = chain.unwrap_or(ctx.generation.routes.global());
    let Some(settings) = chain.attempt_headers() else {
        return Ok(());
    };
    head.insert_header(COUNT, ctx.attempts.made)?;
    head.remove_header(&LIST);
    let names = settings.endpoints.then_some(&*ctx.generation);
    let last = under_way(ctx, || status(ctx));
    let list = list(ctx.attempts.failures.iter().chain(&last), names);
    // Names, addresses and words are visible ASCII.
    match HeaderValue::try_from(list) {
        Ok(list) if !list.is_empty() => head.insert_header(LIST, list),
        _ => Ok(()),
    }
}

/// The attempts up to the longest list.
fn list<'t>(all: impl Iterator<Item = &'t Tried>, names: Option<&Generation>) -> String {
    let mut list = String::new();
    for tried in all {
        let comma = if list.is_empty() { "" } else { ", " };
        let before = list.len();
        list.push_str(comma);
        // Writing to a string cannot fail.
        let _ = tried.write(&mut list, names);
        if list.len() > LIST_BYTES_MAX - ", ...".len() {
            list.truncate(before);
            list.push_str(comma);
            list.push_str("...");
            break;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(how: &str) -> Tried {
        Tried {
            upstream: UpstreamId(0),
            endpoint: "127.0.0.1:8000".into(),
            how: how.into(),
            time: Duration::from_micros(12_345),
        }
    }

    #[test]
    fn a_list_is_in_order_and_bounded() {
        assert_eq!(list([].iter(), None), "");
        let two = [tried("status_503"), tried("status_200")];
        assert_eq!(
            list(two.iter(), None),
            "status_503 12.3ms, status_200 12.3ms"
        );
        let long = "x".repeat(200);
        let many: Vec<_> = (0..16).map(|_| tried(&long)).collect();
        let text = list(many.iter(), None);
        assert!(text.len() <= LIST_BYTES_MAX, "{}", text.len());
        assert!(text.ends_with("ms, ..."), "{text}");
        assert_eq!(text.matches("ms").count(), 4);
        assert_eq!(list([tried(&"x".repeat(2_000))].iter(), None), "...");
    }
}
