//! Refuses what a client's roles do not allow.
//!
//! A role allows a request if its routes, its methods and its models all do: what two
//! roles would allow together, each in part, is not allowed. Route and method are known
//! before the body is read; the model is looked at afterwards, together with them.
//!
//! [`plugin::Authorize`] says what the operator writes.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode, request};
use penstock_config::plugin;

use crate::chain::Parts;
use crate::exchange::Exchange;
use crate::identity::Globs;
use crate::refusal::{Kind, Refusal};
use crate::role::{BodyFilter, RequestFilter, Verdict};

/// The role of a request that nobody is known to have sent.
const ANONYMOUS: &str = "anonymous";

/// The plugin.
pub struct Authorize {
    roles: BTreeMap<Box<str>, Role>,
}

struct Role {
    routes: Globs,
    models: Option<Globs>,
    methods: Option<Box<[Method]>>,
}

/// What is known of the model that a request is for.
#[derive(Clone, Copy)]
enum Model<'e> {
    /// The body was not read yet, so that it may be any.
    Open,
    /// The request has no body, so that it is for none.
    NoBody,
    /// What path and body say. Nothing, if neither names one.
    Named(&'e Exchange),
}

impl Authorize {
    /// The plugin as configured. Only where a role is restricted to some models are
    /// bodies waited for.
    pub fn build(config: &plugin::Authorize) -> Parts {
        let roles = config.roles.iter();
        let roles: BTreeMap<_, _> = roles
            .map(|(name, role)| (name.as_str().into(), Role::new(role)))
            .collect();
        let by_model = roles.values().any(|role| role.models.is_some());
        let authorize = Arc::new(Self { roles });
        Parts {
            body: by_model.then(|| Arc::clone(&authorize) as _),
            request: Some(authorize),
            ..Parts::default()
        }
    }

    fn judge(&self, exchange: &Exchange, head: &request::Parts, model: Model<'_>) -> Verdict {
        let Some(route) = exchange.route() else {
            // Without a route there is nowhere to go.
            return Ok(());
        };
        let allows = |role: &str| {
            let role = self.roles.get(role);
            role.is_some_and(|role| role.allows(route.as_str(), &head.method, model))
        };
        match exchange.identity() {
            Some(identity) if identity.roles.iter().any(|role| allows(role)) => Ok(()),
            Some(identity) => Err(refusal(model).because(format!(
                "no role of {} allows this on the route {route}",
                identity.key
            ))),
            None if allows(ANONYMOUS) => Ok(()),
            None => Err(refusal(model).because("no identity, and no role for those without one")),
        }
    }
}

impl RequestFilter for Authorize {
    fn request(&self, exchange: &mut Exchange, head: &request::Parts) -> Verdict {
        self.judge(exchange, head, Model::Open)
    }
}

impl BodyFilter for Authorize {
    fn body(&self, exchange: &mut Exchange, head: &request::Parts, body: &Bytes) -> Verdict {
        let model = match body.is_empty() && exchange.deployment().is_none() {
            true => Model::NoBody,
            false => Model::Named(exchange),
        };
        self.judge(exchange, head, model)
    }
}

impl Role {
    fn new(config: &plugin::Role) -> Self {
        let methods = config.methods.as_ref();
        Self {
            routes: config.routes.iter().cloned().collect(),
            models: config
                .models
                .as_ref()
                .map(|globs| globs.iter().cloned().collect()),
            methods: methods.map(|methods| methods.iter().cloned().map(Method::from).collect()),
        }
    }

    fn allows(&self, route: &str, method: &Method, model: Model<'_>) -> bool {
        let by_model = match (&self.models, model) {
            (None, _) | (_, Model::Open | Model::NoBody) => true,
            (Some(models), Model::Named(exchange)) => {
                exchange.model().is_some() && exchange.models().all(|model| models.allows(model))
            }
        };
        by_model
            && self
                .methods
                .as_ref()
                .is_none_or(|methods| methods.contains(method))
            && self.routes.allows(route)
    }
}

fn refusal(model: Model<'_>) -> Box<Refusal> {
    let (code, message) = match model {
        Model::Open | Model::NoBody => ("not_allowed", "You are not allowed to do this."),
        Model::Named(exchange) if exchange.model().is_some() => (
            "model_not_allowed",
            "You are not allowed to use this model.",
        ),
        Model::Named(_) => (
            "model_not_allowed",
            "You are allowed to use certain models only, and the request's body has no `model` \
             that could be one of them. Send a JSON object with a `model`.",
        ),
    };
    Refusal::new(StatusCode::FORBIDDEN, Kind::Permission, code, message)
}
