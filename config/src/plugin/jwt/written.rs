//! An issuer as it stands in the file, where combinations that make no sense can still
//! be written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Algorithm, Audiences, ClaimPath, ClaimText, Claims, Family, JwksUrl, Keys, Required, Trust,
};
use crate::field;
use crate::unit::{Duration, Invalid, Name, Secret};

/// Most elements of the lists and mappings of an issuer.
const ELEMENTS_MAX: usize = 32;
/// Most claims that are kept.
const METADATA_MAX: usize = 16;
/// Greatest difference between clocks. A token that is valid for longer than it says
/// should not be so for much longer.
const LEEWAY_MAX: Duration = Duration::seconds(5 * 60);
/// Least time between regular fetches.
const REFRESH_MIN: Duration = Duration::seconds(1);

/// An issuer of JSON Web Tokens (RFC 7519). A token is judged by the issuer that its
/// `iss` names, and by no other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// The whole value of `iss`, byte for byte. Unique in its list.
    issuer: ClaimText,
    /// Values of which `aud` must be or hold one, 1 to 32; or `any` to accept tokens that
    /// were made for someone else.
    audiences: WrittenAudiences,
    /// The algorithms that tokens may be signed with, 1 to 12. A token cannot choose
    /// another, and there is no `none`. `HS256` and its like need a secret; all others
    /// need public keys.
    #[serde(deserialize_with = "field::at_least_one")]
    #[schemars(length(min = 1, max = 12))]
    algorithms: Vec<Algorithm>,
    /// Where the keys are.
    keys: Keys,
    /// Media types that a token's `typ` may name, without `application/`, at most 32; a
    /// token without `typ` is refused then. Default: `JWT`, `at+jwt` or no `typ`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    types: Vec<ClaimText>,
    /// By how much the issuer's clock may differ from ours, at most `5m`. Default: `60s`.
    #[serde(default = "leeway_default", deserialize_with = "leeway")]
    leeway: Duration,
    /// Claims that a token must have, and what they must be, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    required_claims: BTreeMap<ClaimPath, Required>,
    /// Which claims say what about the client.
    #[serde(default)]
    claims: Claims,
}

/// A list of audiences, or `any`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct WrittenAudiences(Required);

/// Where keys are: exactly one of `pem`, `jwks`, `jwks_url` and `secret`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenKeys {
    /// PEM file with one or several public keys (`BEGIN PUBLIC KEY`), all tried in
    /// turn. Read again at each reload.
    #[serde(
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    pem: Option<PathBuf>,
    /// File with a JWK Set (RFC 7517). Read again at each reload.
    #[serde(
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    jwks: Option<PathBuf>,
    /// URL of a JWK Set, fetched beside the requests and kept through reloads and
    /// while the URL does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_url: Option<JwksUrl>,
    /// PEM file of the authorities to trust for `jwks_url`. Default: the system's.
    #[serde(
        deserialize_with = "field::optional_file",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(length(min = 1))]
    ca: Option<PathBuf>,
    /// How often `jwks_url` is fetched, at least every second. Default: `10m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<Duration>,
    /// Least time between two fetches of `jwks_url`, however many tokens name keys that
    /// are not known. Default: `30s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown: Option<Duration>,
    /// A secret that the issuer and this proxy share: its bytes, without a line break
    /// at the end. At least as long as the hash of each algorithm (RFC 7518 section
    /// 3.2). Or a JWK Set of such secrets, for rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Secret>,
}

fn leeway_default() -> Duration {
    Duration::seconds(60)
}

fn leeway<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let leeway = Duration::deserialize(deserializer)?;
    if leeway > LEEWAY_MAX {
        return Err(D::Error::custom(format!(
            "`{leeway}` is out of range: write at most {LEEWAY_MAX}"
        )));
    }
    Ok(leeway)
}

/// Reads the claims that are kept.
pub(super) fn metadata<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Name, ClaimPath>, D::Error> {
    let claims = BTreeMap::deserialize(deserializer)?;
    if claims.len() > METADATA_MAX {
        return Err(D::Error::custom(format!(
            "write at most {METADATA_MAX} claims"
        )));
    }
    Ok(claims)
}

impl TryFrom<Issuer> for super::JwtIssuer {
    type Error = Invalid;

    fn try_from(written: Issuer) -> Result<Self, Invalid> {
        let audiences = match written.audiences.0 {
            Required::Present => Audiences::Any,
            Required::OneOf(list) => Audiences::OneOf(list),
        };
        let most = |what: &str, count: usize| match count > ELEMENTS_MAX {
            true => Err(Invalid::new(format!("write at most {ELEMENTS_MAX} {what}"))),
            false => Ok(()),
        };
        if let Audiences::OneOf(list) = &audiences {
            most("audiences", list.len())?;
        }
        most("types", written.types.len())?;
        most("required claims", written.required_claims.len())?;
        Ok(Self {
            issuer: written.issuer,
            audiences,
            trust: trust(written.algorithms, written.keys)?,
            types: written.types,
            leeway: written.leeway,
            required_claims: written.required_claims,
            claims: written.claims,
        })
    }
}

impl TryFrom<WrittenKeys> for Keys {
    type Error = Invalid;

    fn try_from(written: WrittenKeys) -> Result<Self, Invalid> {
        let of_url =
            written.ca.is_some() || written.refresh.is_some() || written.cooldown.is_some();
        let keys = match (written.pem, written.jwks, written.jwks_url, written.secret) {
            (Some(path), None, None, None) => Self::Pem(path),
            (None, Some(path), None, None) => Self::Jwks(path),
            (None, None, None, Some(secret)) => Self::Secret(secret),
            (None, None, Some(url), None) => {
                let refresh = written.refresh.unwrap_or(Duration::seconds(10 * 60));
                if refresh < REFRESH_MIN {
                    return Err(Invalid::new(format!(
                        "`refresh` must be at least {REFRESH_MIN}"
                    )));
                }
                let cooldown = written
                    .cooldown
                    .unwrap_or(Duration::seconds(30).min(refresh));
                if cooldown > refresh {
                    return Err(Invalid::new(format!(
                        "`cooldown` ({cooldown}) must not be longer than `refresh` ({refresh})"
                    )));
                }
                return Ok(Self::Url {
                    url,
                    ca: written.ca,
                    refresh,
                    cooldown,
                });
            }
            _ => {
                return Err(Invalid::new(
                    "`keys` must have exactly one of `pem`, `jwks`, `jwks_url` and `secret`",
                ));
            }
        };
        if of_url {
            return Err(Invalid::new(
                "`ca`, `refresh` and `cooldown` belong to `jwks_url`: drop them",
            ));
        }
        Ok(keys)
    }
}

/// Puts algorithms and keys together, if they fit each other.
fn trust(mut algorithms: Vec<Algorithm>, keys: Keys) -> Result<Trust, Invalid> {
    algorithms.sort_unstable();
    algorithms.dedup();
    let of_secret = |algorithm: &&Algorithm| algorithm.family() == Family::Hmac;
    let secret = algorithms.iter().find(of_secret);
    let public = algorithms.iter().find(|algorithm| !of_secret(algorithm));
    let refuse = |why: String| Err(Invalid::new(why));
    if let (Some(secret), Some(public)) = (secret, public) {
        return refuse(format!(
            "`{secret}` needs a secret and `{public}` a public key: pin the one that the issuer \
             signs with"
        ));
    }
    match (&keys, secret, public) {
        (Keys::Secret(_), _, Some(public)) => refuse(format!(
            "`{public}` needs a public key, not a `secret`: write `pem`, `jwks` or `jwks_url`"
        )),
        (Keys::Pem(_) | Keys::Jwks(_) | Keys::Url { .. }, Some(secret), _) => refuse(format!(
            "`{secret}` needs a `secret`, not public keys, which anyone may know"
        )),
        (Keys::Pem(_), _, Some(public))
            if algorithms
                .iter()
                .any(|other| other.family() != public.family()) =>
        {
            refuse(
                "the keys of a `pem` file serve algorithms of one family: RS, PS, ES or EdDSA"
                    .to_owned(),
            )
        }
        _ => Ok(Trust { algorithms, keys }),
    }
}

impl From<super::JwtIssuer> for Issuer {
    fn from(issuer: super::JwtIssuer) -> Self {
        Self {
            issuer: issuer.issuer,
            audiences: WrittenAudiences(match issuer.audiences {
                Audiences::Any => Required::Present,
                Audiences::OneOf(list) => Required::OneOf(list),
            }),
            algorithms: issuer.trust.algorithms,
            keys: issuer.trust.keys,
            types: issuer.types,
            leeway: issuer.leeway,
            required_claims: issuer.required_claims,
            claims: issuer.claims,
        }
    }
}

impl From<Keys> for WrittenKeys {
    fn from(keys: Keys) -> Self {
        let mut written = Self::default();
        match keys {
            Keys::Pem(path) => written.pem = Some(path),
            Keys::Jwks(path) => written.jwks = Some(path),
            Keys::Secret(secret) => written.secret = Some(secret),
            Keys::Url {
                url,
                ca,
                refresh,
                cooldown,
            } => {
                written.jwks_url = Some(url);
                written.ca = ca;
                written.refresh = Some(refresh);
                written.cooldown = Some(cooldown);
            }
        }
        written
    }
}
