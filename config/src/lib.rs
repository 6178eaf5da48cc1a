//! What the operator wrote, as valid values.
//!
//! [`parse`] turns the text of a configuration file into a [`Config`], or into a
//! [`Report`] that names every mistake in the file with its line and column.
//! This crate reads the text that it is given and nothing else: a secret or a
//! certificate that the file refers to is a path or a variable name here, and is
//! read by whoever builds from the configuration.
#![forbid(unsafe_code)]

pub mod credential_headers;
pub mod diff;
pub mod geoip;
pub mod keys;
pub mod plugin;
pub mod route;
pub mod server;
pub mod unit;
pub mod upstream;

mod field;
mod located;
mod report;
mod schema;
mod yaml;

use serde::{Deserialize, Serialize};

pub use diff::Diff;
pub use geoip::GeoIp;
pub use located::parse;
pub use plugin::Plugin;
pub use report::{Mistake, Report};
pub use route::Route;
pub use schema::schema;
pub use server::Server;
pub use upstream::Upstream;
pub use yaml::to_yaml;

/// A whole configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What stays fixed until a restart: listeners, transport, workers, limits.
    #[serde(default)]
    pub server: Server,
    /// Where addresses are. Only for routes that match by country, which need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geoip: Option<GeoIp>,
    /// Where requests can go, by name. At most 1,000.
    #[serde(default)]
    pub upstreams: std::collections::BTreeMap<unit::Name, Upstream>,
    /// Plugins that apply to every route, in order.
    #[serde(default)]
    pub chain: Vec<Plugin>,
    /// Which requests go where. The first route that matches wins; a request
    /// that none matches is answered with 404. At most 10,000.
    #[serde(default)]
    pub routes: Vec<Route>,
}

#[cfg(test)]
mod tests;
