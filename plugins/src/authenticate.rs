//! Establishes who a client is, by its API key or its JSON Web Token.
//!
//! It runs before anything of the body is read and before a route is looked for. What
//! it found is shared by all requests of the key, so that a request costs one hash, one
//! look into a table and one more reference, and allocates nothing.
//!
//! [`plugin::Authenticate`] says what the operator writes. What a key alone opens, its
//! models and its routes, is looked at here too, where route and model are known.

mod credential;
mod headers;
mod keyring;
mod refusal;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request;
use penstock_config::plugin::{self, Anonymous, KeySource};
use penstock_config::unit::Name;

use crate::build::{Materials, PluginError};
use crate::chain::Parts;
use crate::exchange::Exchange;
use crate::identity::Identity;
use crate::jwt::Verifier;
use crate::refusal::Refusal;
use crate::role::{Authenticator, BodyFilter, RequestFilter, Verdict};
use crate::shared::Shared;
use keyring::{Entry, Keyring, Twice};

pub use credential::is_presentable;
pub use keyring::{KEY_BYTES_MAX, hash};

/// The plugin.
pub struct Authenticate {
    keys: Keyring,
    /// None where no issuer is trusted.
    tokens: Option<Verifier>,
    anonymous: Anonymous,
    identity_headers: bool,
}

impl Authenticate {
    /// The plugin as configured, in the roles that its keys need: only where one is
    /// restricted to some models are bodies waited for. `limits` are those that a key may
    /// have a number of its own for.
    ///
    /// # Errors
    /// The file of keys cannot be read, has mistakes, or repeats what the configuration
    /// has; or the keys of an issuer cannot be read or used.
    pub fn build(
        config: &plugin::Authenticate,
        limits: &BTreeSet<Name>,
        shared: &Shared,
        materials: &dyn Materials,
    ) -> Result<Parts, PluginError> {
        let keys = read_keys(&config.keys, limits, materials)?;
        let any = |restricted: fn(&Identity) -> bool| keys.identities().any(restricted);
        let by_route = any(|identity| identity.routes.is_some());
        let tokens = match config.jwt.as_slice() {
            [] => None,
            issuers => Some(Verifier::build(issuers, shared, materials)?),
        };
        let by_model = any(|identity| identity.models.is_some())
            || tokens.as_ref().is_some_and(Verifier::restricts_models);
        let authenticate = Arc::new(Self {
            keys,
            tokens,
            anonymous: config.anonymous,
            identity_headers: config.identity_headers,
        });
        Ok(Parts {
            request: by_route.then(|| Arc::new(KeyRoutes) as _),
            body: by_model.then(|| Arc::new(KeyModels) as _),
            authenticator: Some(authenticate),
            ..Parts::default()
        })
    }
}

fn read_keys(
    source: &KeySource,
    limits: &BTreeSet<Name>,
    materials: &dyn Materials,
) -> Result<Keyring, PluginError> {
    let file = match &source.file {
        Some(path) => {
            let bytes = materials.file(path)?;
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| PluginError::Unfit(format!("{} is not UTF-8 text", path.display())))?;
            penstock_config::keys::parse_each(text, Some(limits), Entry::new)
                .map_err(|report| PluginError::file(path.clone(), &report))?
        }
        None => Default::default(),
    };
    Keyring::new(file, &source.inline).map_err(|Twice(id)| {
        PluginError::Unfit(format!(
            "the key `{id}` stands in the file of keys and under `inline`"
        ))
    })
}

impl Authenticator for Authenticate {
    fn authenticate(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict {
        exchange.request.strip(headers::STRIPPED.as_slice());
        let Some(credential) = credential::presented(&head.headers).map_err(refusal::unreadable)?
        else {
            return match self.anonymous {
                Anonymous::Allow => Ok(()),
                Anonymous::Refuse => Err(refusal::missing()),
            };
        };
        let identity = self.identity(credential, exchange.arrived_at())?;
        if self.identity_headers {
            headers::tell(&identity, &mut exchange.request);
        }
        exchange.identify(identity);
        Ok(())
    }
}

impl Authenticate {
    /// Whose credential this is. What has two dots is a token where tokens are accepted;
    /// but a key may have dots too, so that what is no token at all is looked for among
    /// the keys.
    fn identity(&self, credential: &[u8], now: Duration) -> Result<Arc<Identity>, Box<Refusal>> {
        let key = || self.keys.find(credential, now).map(Arc::clone);
        match &self.tokens {
            Some(tokens) if is_token(credential) => {
                tokens
                    .verify(credential, now)
                    .or_else(|fault| match fault.is_of_form() {
                        true => key().map_err(|_| refusal::wrong_token(fault)),
                        false => Err(refusal::wrong_token(fault)),
                    })
            }
            _ => key().map_err(refusal::wrong_key),
        }
    }
}

fn is_token(credential: &[u8]) -> bool {
    memchr::memchr_iter(b'.', credential).nth(1).is_some()
}

/// Keeps a key to its routes.
struct KeyRoutes;

impl RequestFilter for KeyRoutes {
    fn request(&self, exchange: &mut Exchange, _: &request::Parts) -> Verdict {
        let (Some(identity), Some(route)) = (exchange.identity(), exchange.route()) else {
            // Without a route there is nowhere to go.
            return Ok(());
        };
        match identity.may_take_route(route.as_str()) {
            true => Ok(()),
            false => Err(refusal::closed_route(identity, route)),
        }
    }
}

/// Keeps a key to its models.
struct KeyModels;

impl BodyFilter for KeyModels {
    fn body(&self, exchange: &mut Exchange, _: &request::Parts, body: &Bytes) -> Verdict {
        let Some(identity) = exchange.identity() else {
            return Ok(());
        };
        let Some(allowed) = &identity.models else {
            return Ok(());
        };
        if exchange.model().is_none() {
            // Without a body it asks for no model: a list of them, the state of a batch.
            return match body.is_empty() {
                true => Ok(()),
                false => Err(refusal::no_model(identity)),
            };
        }
        match exchange.models().all(|model| allowed.allows(model)) {
            true => Ok(()),
            false => Err(refusal::closed_model(identity)),
        }
    }
}
