//! The roles that a plugin can fill, one small trait each.
//!
//! A plugin is one or several objects that fill roles; which ones, it says by the
//! [`Parts`](crate::chain::Parts) that it is built into. What an object learns about
//! an exchange in one role it leaves for its next role in a [`Slot`](crate::Slot).
//!
//! Of one exchange they are called in this order: the global chain's taggers and
//! authenticators, the route's own, request filters, body filters, the router, the cache
//! policy, response filters and their readers, and observers at the end, whatever it was.
//! In each role the global chain's come first.
//!
//! No method waits for anything: what needs the network (key sets, shared counters)
//! is fetched beside the requests and read here. A method that must refuse on doubt
//! does so by returning a [`Refusal`].

use std::sync::Arc;

use bytes::Bytes;
use http::{request, response};

use crate::cache::{Entry, Recorder};
use crate::ending::Ending;
use crate::exchange::Exchange;
use crate::refusal::Refusal;
use crate::router::Target;

/// Whether a request may go on.
pub type Verdict = Result<(), Box<Refusal>>;

/// Gives a request a name of its own.
pub trait Tagger: Send + Sync {
    /// Called when the head has arrived, before anyone may refuse the request, so that a
    /// refusal can be found in the log by what the client was told.
    fn tag(&self, exchange: &mut Exchange, head: &request::Parts);
}

/// Establishes who a request comes from.
pub trait Authenticator: Send + Sync {
    /// Judges the head before any byte of the body is read and before all other roles but taggers;
    /// those of the global chain even before the route is known, so that a client whom
    /// nobody knows learns nothing about routes. It leaves whom it found in
    /// [`Exchange::identify`]; where several are configured, each decides what to make
    /// of an identity that is already there. Whatever it finds, it strips the headers of
    /// credentials from the [`Exchange::request`]: they are for us, and nobody else takes
    /// them out of what goes upstream.
    fn authenticate(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict;
}

/// Sees a request's head before anything is sent anywhere.
pub trait RequestFilter: Send + Sync {
    /// Judges the head. The first refusal ends the request: later filters are not
    /// asked.
    fn request(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict;
}

/// Sees the whole body of a request. A route with such a filter keeps its request
/// bodies in memory up to `server.limits.request_body`.
pub trait BodyFilter: Send + Sync {
    /// Judges the body, which is as the client sent it: what is asked for in
    /// [`Exchange::body_edits`] is done after the filters, and so is giving the model
    /// another name. [`Exchange::facts`] are there, and a body that could be understood
    /// in two ways was refused.
    fn body(&self, exchange: &mut Exchange, head: &request::Parts, body: &Bytes) -> Verdict;
}

/// Sees the head of the answer that the client gets, and its body if it wants to.
pub trait ResponseFilter: Send + Sync {
    /// Called once with the final head (never with a 1xx one). It may ask for
    /// changes in [`Exchange::response`], and returns a reading if it wants to see
    /// the body; one that returns none costs nothing per chunk.
    fn response(&self, exchange: &mut Exchange, head: &response::Parts) -> Option<Reading>;
}

/// What a response filter wants with an answer's body.
pub struct Reading {
    /// Whoever sees the pieces.
    pub reader: Box<dyn BodyReader>,
    /// Whether the pieces that it gives back may be others than it got. The answer then
    /// goes out without a declared length.
    pub rewrites: bool,
}

impl Reading {
    /// The reader gives back each piece as it is.
    pub fn watch(reader: impl BodyReader + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            rewrites: false,
        }
    }

    /// The reader may give back other pieces, of other lengths.
    pub fn rewrite(reader: impl BodyReader + 'static) -> Self {
        Self {
            reader: Box::new(reader),
            rewrites: true,
        }
    }
}

/// Reads one answer's body as it streams past, keeping its own state.
pub trait BodyReader: Send + Sync {
    /// Called with each piece in order, and gives back what the next reader sees and at
    /// last the client gets; an empty piece for nothing yet. `last` is true for the
    /// final one, which may be empty: what was held back must come now. When the client
    /// or the upstream vanishes there is no last piece, nor when the answer has no body
    /// at all, so what must survive that belongs in a slot.
    fn chunk(&mut self, exchange: &mut Exchange, chunk: Bytes, last: bool) -> Bytes;
}

/// Answers requests as equal ones were answered before.
pub trait CachePolicy: Send + Sync {
    /// Looks for an answer, asked for once per exchange: after all filters, so that who
    /// may not ask is not answered, and after the router, so that no upstream's answer is
    /// given for another's. The body is as the client sent it.
    ///
    /// It says in [`Exchange::response`] what it did.
    ///
    /// # Errors
    /// The client wants nothing but a stored answer, and there is none.
    fn look_up(
        &self,
        exchange: &mut Exchange,
        head: &request::Parts,
        body: &Bytes,
        destination: Destination<'_>,
    ) -> Result<Lookup, Box<Refusal>>;
}

/// Where a request would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// Name of the upstream.
    pub upstream: &'a str,
    /// The host that the upstream would be asked for; none if it is the same for every client.
    pub host: Option<&'a str>,
    /// What the body's `model` would be replaced by; none leaves it alone.
    pub model: Option<&'a str>,
}

/// What a cache makes of a request.
#[derive(Debug)]
pub enum Lookup {
    /// This is the answer. It passes the response filters as the upstream's would.
    Hit(Arc<Entry>),
    /// The upstream is to be asked, and its answer shown to the recorder as it comes,
    /// before any filter changes it.
    Miss(Box<Recorder>),
    /// The upstream is to be asked, and its answer concerns nobody else.
    Bypass,
}

/// A digest of everything that an answer depends on, the tenant included. 256 bits
/// of a collision-resistant hash, so that no client can craft another's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey(pub [u8; 32]);

impl CacheKey {
    /// The first `digits` of its 64 hexadecimal digits.
    pub fn digits(&self, digits: usize) -> String {
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let characters = nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16));
        characters.take(digits).collect()
    }
}

/// Decides where a request goes.
pub trait Router: Send + Sync {
    /// The target, asked for once per exchange, after the filters. A retry takes another
    /// endpoint of the target's upstream, or the next target of the route's
    /// [fallback](crate::Route::fallback).
    fn target(&self, exchange: &Exchange, head: &request::Parts) -> &Target;

    /// Every target that it may choose, with its share of the requests in percent as
    /// configured, for an operator to read.
    fn targets(&self) -> Vec<(f64, &Target)>;
}

/// Hears how exchanges end.
pub trait Observer: Send + Sync {
    /// Called exactly once for each exchange that entered the chain, whatever
    /// became of it: refused (also by a filter before this plugin's own), failed,
    /// or abandoned by the client. Notes that it adds reach the access log.
    fn ended(&self, exchange: &mut Exchange, ending: &Ending<'_>);
}
