//! The roles that a plugin can fill, one small trait each.
//!
//! A plugin is one or several objects that fill roles; which ones, it says by the
//! [`Parts`](crate::chain::Parts) that it is built into. What an object learns about
//! an exchange in one role it leaves for its next role in a [`Slot`](crate::Slot).
//!
//! No method waits for anything: what needs the network (key sets, shared counters)
//! is fetched beside the requests and read here. A method that must refuse on doubt
//! does so by returning a [`Refusal`].

use bytes::Bytes;
use http::{request, response};

use crate::ending::Ending;
use crate::exchange::Exchange;
use crate::refusal::Refusal;
use crate::router::Target;

/// Whether a request may go on.
pub type Verdict = Result<(), Box<Refusal>>;

/// Sees a request's head before anything is sent anywhere.
pub trait RequestFilter: Send + Sync {
    /// Judges the head. The first refusal ends the request: later filters are not
    /// asked.
    fn request(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict;
}

/// Sees the whole body of a request. A route with such a filter keeps its request
/// bodies in memory up to `server.limits.request_body`.
pub trait BodyFilter: Send + Sync {
    /// Judges the body, which is as the client sent it: a model name is replaced
    /// after the filters.
    fn body(&self, exchange: &mut Exchange, head: &request::Parts, body: &Bytes) -> Verdict;
}

/// Sees the head of the answer that the client gets, and its body if it wants to.
pub trait ResponseFilter: Send + Sync {
    /// Called once with the final head (never with a 1xx one). It may ask for
    /// changes in [`Exchange::response`], and returns a reader if it wants to see
    /// the body; one that returns none costs nothing per chunk.
    fn response(
        &self,
        exchange: &mut Exchange,
        head: &response::Parts,
    ) -> Option<Box<dyn BodyReader>>;
}

/// Reads one answer's body as it streams past, keeping its own state.
pub trait BodyReader: Send + Sync {
    /// Called with each piece in order; `last` is true for the final one, which may
    /// be empty. When the client or the upstream vanishes there is no last piece,
    /// so what must survive that belongs in a slot.
    fn chunk(&mut self, exchange: &mut Exchange, chunk: &Bytes, last: bool);
}

/// Decides which requests share an answer.
pub trait CachePolicy: Send + Sync {
    /// The key under which the answer may be stored and found; none to bypass the
    /// cache.
    fn key(&self, exchange: &Exchange, head: &request::Parts, body: &Bytes) -> Option<CacheKey>;
}

/// A digest of everything that an answer depends on, the tenant included. 256 bits
/// of a collision-resistant hash, so that no client can craft another's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(pub [u8; 32]);

/// Decides where a request goes.
pub trait Router: Send + Sync {
    /// The target, asked for once per exchange, after the filters. A retry stays
    /// with the target's upstream and only takes another endpoint.
    fn target(&self, exchange: &Exchange, head: &request::Parts) -> &Target;
}

/// Hears how exchanges end.
pub trait Observer: Send + Sync {
    /// Called exactly once for each exchange that entered the chain, whatever
    /// became of it: refused (also by a filter before this plugin's own), failed,
    /// or abandoned by the client. Notes that it adds reach the access log.
    fn ended(&self, exchange: &mut Exchange, ending: &Ending<'_>);
}
