//! Countries of addresses, from a database in MaxMind's format.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};
use penstock_config::geoip::GeoIp;

use crate::build::{Materials, PluginError, Unreadable};
use crate::shared::Shared;

/// So many entries are looked at for one with a country. A database of something else, such
/// as of providers, has none.
const LOOKED_AT: usize = 1_000;

/// Where the country of an entry is.
const CODE: [PathElement<'_>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];

/// Knows the countries of addresses.
pub struct Countries(Reader<Bytes>);

impl Countries {
    /// The database that a configuration names. One that has not changed is kept in memory
    /// once, however many generations use it.
    ///
    /// # Errors
    /// It cannot be read, or tells no countries.
    pub fn read(
        config: &GeoIp,
        shared: &Shared,
        materials: &dyn Materials,
    ) -> Result<Arc<Self>, PluginError> {
        let bytes = materials.file(&config.file)?;
        let digest = blake3::hash(&bytes).to_hex();
        let countries =
            Self::new(bytes).map_err(|why| Unreadable::new(config.file.display(), why))?;
        Ok(shared.keep("geoip", &digest, || countries))
    }

    /// A database from its file's content.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, String> {
        let unfit =
            |error: MaxMindDbError| format!("it is no database in MaxMind's format: {error}");
        let countries = Self(Reader::from_source(bytes.into()).map_err(unfit)?);
        let networks = countries.0.networks(WithinOptions::default());
        for network in networks.map_err(unfit)?.take(LOOKED_AT) {
            let code: Option<&str> = network.and_then(|n| n.decode_path(&CODE)).map_err(unfit)?;
            if code.is_some() {
                return Ok(countries);
            }
        }
        let kind = &countries.0.metadata().database_type;
        let kind: String = kind.chars().take(64).flat_map(char::escape_debug).collect();
        Err(format!(
            "it tells no countries: no entry has `country.iso_code`, its type is `{kind}`"
        ))
    }

    /// The country where an address is, by its code; none if the database does not know.
    pub fn of(&self, address: IpAddr) -> Option<&str> {
        let found = self.0.lookup(address.to_canonical()).ok()?;
        found.decode_path(&CODE).ok()?
    }
}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Countries").field(self.0.metadata()).finish()
    }
}
