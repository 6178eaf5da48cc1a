//! From what the operator wrote to a verifier.

use std::path::Path;
use std::sync::Arc;

use penstock_config::plugin::jwt::{JwtIssuer, Keys as Written};

use super::{KeySet, Keys, KeysFault, Verifier};
use crate::build::{Materials, PluginError};
use crate::shared::Shared;

/// Under which kind the key sets of URLs are kept in [`Shared`].
pub const KIND: &str = "jwks";

impl Verifier {
    /// A verifier as configured. Keys of files are read now; those of a URL are kept
    /// from an earlier generation, or will be fetched by whoever looks after the
    /// [`KeySet`]s in [`Shared`].
    ///
    /// # Errors
    /// Two issuers have one name, or keys cannot be read or used.
    pub fn build(
        issuers: &[JwtIssuer],
        shared: &Shared,
        materials: &dyn Materials,
    ) -> Result<Self, PluginError> {
        let mut built: Vec<(JwtIssuer, Arc<KeySet>)> = Vec::with_capacity(issuers.len());
        for issuer in issuers {
            if built.iter().any(|(other, _)| other.issuer == issuer.issuer) {
                let message = format!("the issuer `{}` stands here twice", issuer.issuer);
                return Err(PluginError::Unfit(message));
            }
            built.push((issuer.clone(), key_set(issuer, shared, materials)?));
        }
        Ok(Self::new(built))
    }
}

fn key_set(
    issuer: &JwtIssuer,
    shared: &Shared,
    materials: &dyn Materials,
) -> Result<Arc<KeySet>, PluginError> {
    let algorithms = issuer.trust.algorithms();
    let in_file = |path: &Path, keys: Result<Keys, KeysFault>| {
        let keys = keys.map_err(|fault| unfit(issuer, &path.display().to_string(), &fault))?;
        if algorithms.iter().any(|algorithm| keys.serve(*algorithm)) {
            return Ok(Arc::new(KeySet::fixed(keys)));
        }
        Err(PluginError::Unfit(format!(
            "issuer `{}`: none of the keys in {} is for one of its algorithms",
            issuer.issuer,
            path.display()
        )))
    };
    match issuer.trust.keys() {
        Written::Pem(path) => in_file(path, Keys::from_pem(&materials.file(path)?, algorithms)),
        Written::Jwks(path) => in_file(path, Keys::from_jwks(&materials.file(path)?)),
        Written::Secret(secret) => {
            let bytes = materials.secret(secret)?;
            let keys = Keys::from_secret(bytes.expose(), algorithms)
                .map_err(|fault| unfit(issuer, &secret.to_string(), &fault))?;
            Ok(Arc::new(KeySet::fixed(keys)))
        }
        Written::Url {
            url,
            ca,
            refresh,
            cooldown,
        } => {
            let (refresh, cooldown) = (refresh.get(), cooldown.get());
            // Two that are fetched from one place but trust different authorities may
            // not share what one of them got. No URL holds a space.
            let name = match ca {
                Some(ca) => format!("{url} {}", ca.display()),
                None => url.to_string(),
            };
            let set = shared.keep(KIND, &name, || {
                KeySet::remote(url.clone(), ca.clone(), refresh, cooldown)
            });
            set.set_pace(refresh, cooldown);
            Ok(set)
        }
    }
}

fn unfit(issuer: &JwtIssuer, place: &str, fault: &KeysFault) -> PluginError {
    let name = &issuer.issuer;
    PluginError::Unfit(format!("issuer `{name}`: {place} is unusable: {fault}"))
}

#[cfg(test)]
mod tests;
