//! Answers a request as an equal one was answered before.
//!
//! Requests are equal when a tenant's clients ask the same of the same model: whatever
//! the order of fields, the spacing and the escapes in the body (`canonical`), and
//! whatever of it does not change the answer (`endpoint`). The tenant is part of every
//! key and there is no way to leave it out. A client that nobody has identified has its
//! credentials in the tenant's place, since its upstream alone knows what it may see.
//!
//! The upstream that the request would go to and the model that it would ask for are
//! part of the key too. So the router chooses first, and a canary's answer is never
//! given as the answer of what it is compared with.
//!
//! Stored is what the upstream sent, before any plugin changed it, and only if it is a
//! whole answer and no error (`verdict`). A hit passes the response filters, the
//! readers and the observers as the upstream's answer did.
//!
//! # Why Pingora's cache does not carry this
//!
//! `pingora-cache` 0.9.1 is made for what HTTP calls a cache (RFC 9111), and its parts
//! were looked at one by one:
//!
//! - Storage, eviction, prediction and locks must all be `&'static`, so that a store
//!   cannot go with the last generation of the configuration that uses it.
//! - Its one store, `MemCache`, is a map without bounds, "for testing only, not for
//!   production use".
//! - Its eviction managers are LRU lists beside the store. One pass over entries that
//!   nobody asks for again empties such a list; `store` holds against that.
//! - An answer is admitted when its transfer has ended properly. That a stream lacks its
//!   last event, or holds an error, is not seen.
//! - Its lookup belongs to the phases of the proxy's session, which this crate does not
//!   know; here it is a role that is tested with a request's head and body.
//!
//! What is left is the parsing of `cache-control`; of its directives a request needs
//! five (`control`).

mod canonical;
mod control;
mod endpoint;
mod entry;
mod events;
mod key;
mod recorder;
mod store;
mod verdict;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AGE, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, StatusCode, request};
use penstock_config::plugin;

use crate::exchange::Exchange;
use crate::media_type;
use crate::refusal::{Kind, Refusal};
use crate::role::{CacheKey, CachePolicy, Destination, Lookup};
use canonical::Canonical;
use control::Control;
use endpoint::Endpoint;

pub use entry::{Entry, Pieces};
pub use recorder::Recorder;
pub use store::{Purge, Purged, Stats, Store};

/// Says in the answer and in the access log what the cache did.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// The key's beginning, by which an entry can be purged.
const X_CACHE_KEY: HeaderName = HeaderName::from_static("x-cache-key");

/// Digits of the key that the client reads.
const SHOWN_DIGITS: usize = 32;

/// Largest request body that is looked at: bringing it into canonical form occupies a
/// worker for some milliseconds.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Key of what the cache did in the access log.
const NOTE: &str = "cache";

/// The plugin: see [`plugin::Cache`] for what the operator writes.
pub struct Cache {
    store: Arc<Store>,
    ttl: Duration,
    entry_bytes_max: usize,
    streams: bool,
    only_deterministic: bool,
    vary: Arc<[HeaderName]>,
}

impl Cache {
    /// The plugin as configured, in front of a store that others may share.
    pub fn new(config: &plugin::Cache, store: Arc<Store>) -> Self {
        let mut vary: Vec<HeaderName> = config
            .vary
            .iter()
            .map(|name| name.as_ref().clone())
            .collect();
        vary.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        vary.dedup();
        Self {
            store,
            ttl: config.ttl.get(),
            entry_bytes_max: usize::try_from(config.max_entry.bytes()).unwrap_or(usize::MAX),
            streams: config.stream,
            only_deterministic: config.only_deterministic,
            vary: vary.into(),
        }
    }

    /// The call that a request makes and its body; none if it is not for the cache.
    fn judge<'b>(
        &self,
        head: &request::Parts,
        body: &'b Bytes,
    ) -> Option<(Endpoint, Canonical<'b>)> {
        let endpoint = Endpoint::of(&head.method, head.uri.path())?;
        let mut types = head.headers.get_all(CONTENT_TYPE).iter();
        let is_json = types.next().is_some_and(media_type::is_json) && types.next().is_none();
        let is_coded = head.headers.contains_key(CONTENT_ENCODING);
        if !is_json || is_coded || body.len() > BODY_BYTES_MAX {
            return None;
        }
        let body = Canonical::new(body)?;
        let bypassed = endpoint.keeps_state(&body)
            || (self.only_deterministic && !endpoint.is_deterministic(&body))
            || (!self.streams && body.is_true("stream"));
        (!bypassed).then_some((endpoint, body))
    }

    /// The entry for this key, if the client accepts it.
    fn find(&self, key: &CacheKey, control: &Control, now: Duration) -> Option<Arc<Entry>> {
        if control.no_cache {
            return None;
        }
        let entry = self.store.find(key, now)?;
        let age = entry.age(now);
        // A reload may have shortened the time since the entry was stored.
        let left = entry.ttl().min(self.ttl).checked_sub(age)?;
        let accepted = !left.is_zero()
            && left >= control.min_fresh
            && control
                .max_age
                .is_none_or(|most| !most.is_zero() && age <= most);
        accepted.then_some(entry)
    }
}

impl CachePolicy for Cache {
    fn look_up(
        &self,
        exchange: &mut Exchange,
        head: &request::Parts,
        body: &Bytes,
        destination: Destination<'_>,
    ) -> Result<Lookup, Box<Refusal>> {
        let control = Control::new(&head.headers);
        let judged = match control.no_store {
            true => None,
            false => self.judge(head, body),
        };
        let Some((endpoint, canonical)) = judged else {
            return say(exchange, Lookup::Bypass, &control);
        };
        let edits: Vec<&[u8]> = exchange.body_edits.iter().map(|edit| &*edit.new).collect();
        let tenant = exchange.identity().map(|identity| &*identity.tenant);
        let subject = key::Subject {
            tenant,
            route: exchange.route().map_or("", |name| name.as_str()),
            upstream: destination.upstream,
            host: destination.host,
            model: destination.model,
            edits: &edits,
            method: &head.method,
            path_and_query: head
                .uri
                .path_and_query()
                .map_or("", |target| target.as_str()),
            headers: &head.headers,
            vary: &self.vary,
            body: &canonical,
            ignored: endpoint.ignored(),
        };
        let key = subject.key();
        let now = exchange.arrived_at();
        let lookup = match self.find(&key, &control, now) {
            Some(entry) => Lookup::Hit(entry),
            None => Lookup::Miss(Box::new(Recorder {
                store: Arc::clone(&self.store),
                key,
                ttl: self.ttl,
                size_max: self.entry_bytes_max,
                endpoint,
                wants_stream: canonical.is_true("stream"),
                tenant: tenant.map(Into::into),
                model: destination.model.or(exchange.model()).map(Into::into),
                vary: Arc::clone(&self.vary),
                purges: self.store.purges(),
                taken: recorder::Taken::default(),
            })),
        };
        if let Ok(value) = HeaderValue::from_str(&key.digits(SHOWN_DIGITS)) {
            exchange.response.set(X_CACHE_KEY, value);
        }
        say(exchange, lookup, &control)
    }
}

/// Tells the client and the log what the cache does. A client that wants nothing but a
/// stored answer is told that there is none (RFC 9111 section 5.2.1.7).
fn say(exchange: &mut Exchange, lookup: Lookup, control: &Control) -> Result<Lookup, Box<Refusal>> {
    let word = match &lookup {
        Lookup::Hit(entry) => {
            exchange.answer_from_cache();
            let age = entry.age(exchange.arrived_at()).as_secs();
            exchange.response.set(AGE, age.into());
            "hit"
        }
        Lookup::Miss(_) => {
            // The answer is to be given to clients that take other codings, or none.
            let identity = HeaderValue::from_static("identity");
            exchange.request.set(ACCEPT_ENCODING, identity);
            "miss"
        }
        Lookup::Bypass => "bypass",
    };
    exchange.note(NOTE, word);
    exchange
        .response
        .set(X_CACHE, HeaderValue::from_static(word));
    if control.only_if_cached && !matches!(lookup, Lookup::Hit(_)) {
        return Err(Refusal::new(
            StatusCode::GATEWAY_TIMEOUT,
            Kind::Api,
            "not_cached",
            "No stored answer matches the request, and it asks for no other (only-if-cached).",
        ));
    }
    Ok(lookup)
}
