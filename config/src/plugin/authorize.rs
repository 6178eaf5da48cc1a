//! What a client may do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;
use crate::unit::{Glob, Identifier, Method};

/// Lets a request pass if one of its identity's roles allows it, and refuses it with
/// 403 if none does. Needs an `authenticate` that says who asks. A request without an
/// identity has the role `anonymous`, if one of that name is defined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// What each role allows, at most 256 roles. An identity's roles that are not
    /// defined here allow nothing.
    #[serde(deserialize_with = "field::short_map::<_, _, _, 256>")]
    #[schemars(extend("maxProperties" = 256))]
    pub roles: BTreeMap<Identifier, Role>,
}

/// What a role allows: a request for which all three hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Names of routes, at most 256 patterns. `["*"]` is every route.
    #[serde(deserialize_with = "field::some_list::<_, _, 256>")]
    #[schemars(length(min = 1, max = 256))]
    pub routes: Vec<Glob>,
    /// Models, by the names that clients use; at most 256 patterns. A request with a
    /// body is then not allowed if no model is found. It is looked for in the body's
    /// `model` and in paths like Azure's `/openai/deployments/{model}/chat/completions`;
    /// where both name one, both must be allowed. Other paths and queries are not looked
    /// at. Default: every model.
    #[serde(
        default,
        deserialize_with = "field::optional_list::<_, _, 256>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 256))]
    pub models: Option<Vec<Glob>>,
    /// Methods, at most 64. Default: every method.
    #[serde(
        default,
        deserialize_with = "field::optional_list::<_, _, 64>",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1, max = 64))]
    pub methods: Option<Vec<Method>>,
}
