//! JSON Web Tokens (RFC 7519): who a client is, by the word of an issuer that the
//! operator trusts.
//!
//! The rules are those of RFC 8725. What signs a token is chosen by the configuration
//! and never by the token: its `alg` must be one that the issuer is pinned to, and its
//! `kid` only picks among the issuer's keys. What a token brings along to be verified
//! with is not looked at. Everything has one reading or none: three parts, canonical
//! base64url, no member twice.
//!
//! The parsing is our own and the arithmetic is ring's, which the proxy speaks TLS
//! with already. The crate `jsonwebtoken` (11.1, "passively maintained") was weighed
//! and left: it does not look at `crit`, drops a JWK's `use`, `key_ops`, `alg` and `crv`
//! when it makes a key of it, asks no key for its size, and wants a second library for
//! the arithmetic, be it AWS-LC or one in which `rsa` has an advisory without a remedy
//! (RUSTSEC-2023-0071).

mod build;
mod cache;
mod claims;
mod compact;
mod fault;
mod json;
mod jwks;
mod key;
mod key_set;
mod keys;
mod pem;

use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;

use penstock_config::plugin::jwt::JwtIssuer;

pub use build::KIND;
pub use compact::{Compact, TOKEN_BYTES_MAX};
pub use fault::Fault;
pub use key::KeyFault;
pub use key_set::{KeySet, Status};
pub use keys::{Keys, KeysFault, Skipped};

use crate::identity::Identity;
use cache::Cache;

/// Judges tokens of several issuers.
pub struct Verifier {
    issuers: Box<[Issuer]>,
    cache: Cache<Identity>,
}

struct Issuer {
    rules: JwtIssuer,
    keys: Arc<KeySet>,
}

impl Verifier {
    /// A verifier for these issuers, each with its keys. Of two issuers of one name the
    /// first one counts.
    pub fn new(issuers: impl IntoIterator<Item = (JwtIssuer, Arc<KeySet>)>) -> Self {
        let issuers = issuers.into_iter();
        Self {
            issuers: issuers
                .map(|(rules, keys)| Issuer { rules, keys })
                .collect(),
            cache: Cache::new(RandomState::new()),
        }
    }

    /// Who a client is by its token, if that is genuine and valid. A token that was so a
    /// moment ago costs a look into a table and allocates nothing.
    ///
    /// # Errors
    /// What is wrong with the token. A fault that [is passing](Fault::is_passing) is of
    /// the keys: the same token may be good a moment later.
    pub fn verify(&self, token: &[u8], now: Duration) -> Result<Arc<Identity>, Fault> {
        let generation = |issuer: usize| Some(self.issuers.get(issuer)?.keys.snapshot().generation);
        if let Some(identity) = self.cache.find(token, now, generation) {
            return Ok(identity);
        }
        let compact = Compact::parse(token)?;
        let claims = json::object(compact.payload()).ok_or(Fault::Claims)?;
        let named = claims::issuer(&claims).ok_or(Fault::Issuer)?;
        let mut issuers = self.issuers.iter().enumerate();
        let issuer = issuers.find(|(_, issuer)| issuer.rules.issuer.as_str() == named);
        let (index, issuer) = issuer.ok_or(Fault::Issuer)?;
        let generation = issuer.verify(&compact, now)?;
        let typ = compact.header.typ.as_deref();
        let (identity, until) = claims::check(&issuer.rules, typ, &claims, now)?;
        let identity = Arc::new(identity);
        let state = (index, generation);
        self.cache
            .keep(token, state, (now, until), Arc::clone(&identity));
        Ok(identity)
    }

    /// Whether a token may keep its client to some models, so that the bodies of
    /// requests must be waited for.
    pub fn restricts_models(&self) -> bool {
        let mut issuers = self.issuers.iter();
        issuers.any(|issuer| issuer.rules.claims.models.is_some())
    }
}

impl Issuer {
    /// Checks that the issuer signed a token. Gives the state of the keys that say so.
    fn verify(&self, token: &Compact<'_>, now: Duration) -> Result<u64, Fault> {
        let snapshot = self.keys.snapshot();
        let Some(keys) = &snapshot.keys else {
            return Err(Fault::KeysPending);
        };
        match keys.verify(token, self.rules.trust.algorithms()) {
            Ok(()) => Ok(snapshot.generation),
            Err(Fault::Algorithm) => Err(Fault::Algorithm),
            Err(fault) if keys.may_lack(token) => match self.keys.want(now) {
                true => Err(Fault::KeysPending),
                false => Err(fault),
            },
            Err(fault) => Err(fault),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.issuers.iter();
        let issuers = issuers.map(|issuer| (issuer.rules.issuer.as_str(), &issuer.keys));
        f.debug_map().entries(issuers).finish()
    }
}
