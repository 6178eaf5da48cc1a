//! Where clients are.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field;

/// Where addresses are, for routes that match by country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeoIp {
    /// A database of countries in MaxMind's format (`.mmdb`): GeoLite2-Country,
    /// GeoIP2-Country or one of another maker whose entries have `country.iso_code`
    /// (<https://maxmind.github.io/MaxMind-DB/>). At most 64 MiB. It is kept in memory, and
    /// read again at each reload.
    #[serde(deserialize_with = "field::file")]
    pub file: PathBuf,
}
