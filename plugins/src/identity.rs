//! Who a request comes from, once that is established.

use std::collections::BTreeMap;
use std::fmt;

use penstock_config::unit::Glob;

/// The client behind a request, as an authenticator established it. One is made when
/// the keys are loaded or a token is first seen, and shared by the requests that it
/// makes. It holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Who sends requests: a person, a team or a program.
    pub consumer: Box<str>,
    /// Whom it belongs to. Nothing is ever shared between two tenants.
    pub tenant: Box<str>,
    /// The public name of the key, or the subject of the token; never the secret.
    pub key: Box<str>,
    /// What it may do, by name.
    pub roles: Box<[Box<str>]>,
    /// Models that it may use; none when there is no such restriction.
    pub models: Option<Globs>,
    /// Routes that it may take; none when there is no such restriction.
    pub routes: Option<Globs>,
    /// Numbers of its own for some limits, by the limits' names.
    pub limits: BTreeMap<Box<str>, u64>,
    /// What else is known of it, a token's claims included, by name.
    pub metadata: BTreeMap<Box<str>, Box<str>>,
}

impl Identity {
    /// Whether it may use a model.
    pub fn may_use_model(&self, model: &str) -> bool {
        allows(&self.models, model)
    }

    /// Whether it may take a route.
    pub fn may_take_route(&self, route: &str) -> bool {
        allows(&self.routes, route)
    }

    /// Whether it has a role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|has| **has == *role)
    }
}

fn allows(globs: &Option<Globs>, name: &str) -> bool {
    globs.as_ref().is_none_or(|globs| globs.allows(name))
}

/// A set of names, given by patterns. An empty one has no names in it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Globs(Box<[Glob]>);

impl Globs {
    /// Whether a pattern matches the whole name. Allocates nothing.
    pub fn allows(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches_text(name))
    }

    /// The patterns.
    pub fn iter(&self) -> std::slice::Iter<'_, Glob> {
        self.0.iter()
    }
}

impl FromIterator<Glob> for Globs {
    fn from_iter<I: IntoIterator<Item = Glob>>(globs: I) -> Self {
        Self(globs.into_iter().collect())
    }
}

impl fmt::Debug for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&*self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(patterns: &[&str]) -> Globs {
        let patterns = patterns.iter().map(|pattern| pattern.parse().unwrap());
        patterns.collect()
    }

    #[test]
    fn a_set_holds_the_names_that_one_of_its_patterns_matches() {
        let models = globs(&["gpt-4o*", "meta-llama/*"]);
        assert!(models.allows("gpt-4o-mini") && models.allows("meta-llama/3/8B"));
        assert!(!models.allows("gpt-4") && !models.allows(""));
        assert!(!globs(&[]).allows("gpt-4o"), "nothing is in an empty set");
    }

    #[test]
    fn what_is_not_restricted_is_allowed() {
        let anyone = Identity::default();
        assert!(anyone.may_use_model("m") && anyone.may_take_route("chat"));
        assert!(!anyone.has_role("admin"), "a role must be given");
        let narrow = Identity {
            roles: Box::new(["reader".into()]),
            models: Some(globs(&["m"])),
            routes: Some(globs(&[])),
            ..Identity::default()
        };
        assert!(narrow.may_use_model("m") && !narrow.may_use_model("n"));
        assert!(!narrow.may_take_route("chat"));
        assert!(narrow.has_role("reader") && !narrow.has_role("read"));
    }
}
