//! Keys as JSON: JWK and JWK Set (RFC 7517), with the key types of RFC 7518 section 6
//! and RFC 8037 section 2.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use penstock_config::plugin::jwt::Algorithm;
use serde_json::{Map, Value};

use super::json;
use super::key::{Key, KeyFault, Material};
use super::keys::{KEYS_MAX, KeysFault, Skipped};

/// Longest name of a key, in bytes.
const ID_BYTES_MAX: usize = 256;

/// The members of a key that only its owner may have (RFC 7518 section 6).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// The public keys of a set, and those that cannot be used.
///
/// Two keys of one name are both kept, as RFC 7517 section 4.5 lets issuers have them.
pub(super) fn public(text: &[u8]) -> Result<(Vec<Key>, Vec<Skipped>), KeysFault> {
    let (mut keys, mut skipped) = (Vec::new(), Vec::new());
    for (index, jwk) in set(text)?.iter().enumerate() {
        let key = key(jwk).and_then(|key| match key.material {
            Material::Secret(_) => Err(KeyFault::Misplaced),
            _ => Ok(key),
        });
        match key {
            Ok(key) => keys.push(key),
            Err(fault) => skipped.push(Skipped { index, fault }),
        }
    }
    Ok((keys, skipped))
}

/// The secrets of a set. The operator wrote it, so that whatever is odd about it is a
/// mistake: a public key among secrets, two of one name, one that cannot be used.
pub(super) fn secrets(text: &[u8]) -> Result<Vec<Key>, KeysFault> {
    let mut keys: Vec<Key> = Vec::new();
    for (index, jwk) in set(text)?.iter().enumerate() {
        let refuse = |fault| KeysFault::Key(index, fault);
        let key = key(jwk).map_err(refuse)?;
        if !matches!(key.material, Material::Secret(_)) {
            return Err(refuse(KeyFault::Misplaced));
        }
        if keys.iter().any(|other| other.id == key.id) {
            return Err(KeysFault::Malformed("two of its keys have the same `kid`"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn set(text: &[u8]) -> Result<Vec<Value>, KeysFault> {
    let mut members = json::object(text).ok_or(KeysFault::Malformed(
        "it is not a JSON object with each member once",
    ))?;
    match members.remove("keys") {
        Some(Value::Array(keys)) if keys.len() <= KEYS_MAX => Ok(keys),
        Some(Value::Array(_)) => Err(KeysFault::TooMany),
        _ => Err(KeysFault::Malformed("it has no list of `keys`")),
    }
}

fn key(jwk: &Value) -> Result<Key, KeyFault> {
    let jwk = jwk.as_object().ok_or(KeyFault::Malformed)?;
    let kind = text(jwk, "kty")?.ok_or(KeyFault::Malformed)?;
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(KeyFault::Private);
    }
    let material = match kind {
        "RSA" => Material::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?),
        "EC" => {
            let curve = text(jwk, "crv")?.ok_or(KeyFault::Malformed)?;
            Material::point(curve, &bytes(jwk, "x")?, &bytes(jwk, "y")?)
        }
        "OKP" => match text(jwk, "crv")? {
            Some("Ed25519") => Material::ed25519(&bytes(jwk, "x")?),
            _ => Err(KeyFault::Unsupported),
        },
        "oct" => Material::secret(&bytes(jwk, "k")?),
        _ => Err(KeyFault::Unsupported),
    }?;
    let id = text(jwk, "kid")?;
    if id.is_some_and(|id| id.len() > ID_BYTES_MAX) {
        return Err(KeyFault::Malformed);
    }
    Ok(Key {
        id: id.map(Into::into),
        only: purpose(jwk, &material)?,
        material,
    })
}

/// The one algorithm that a key is for, if it says so. Its `use`, `key_ops` and `alg`
/// must agree that it checks signatures (RFC 7517 sections 4.2 to 4.4).
fn purpose(jwk: &Map<String, Value>, material: &Material) -> Result<Option<Algorithm>, KeyFault> {
    if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(KeyFault::OtherUse);
    }
    match jwk.get("key_ops") {
        None => {}
        Some(Value::Array(operations)) if operations.iter().any(|of| of == "verify") => {}
        Some(Value::Array(_)) => return Err(KeyFault::OtherUse),
        Some(_) => return Err(KeyFault::Malformed),
    }
    let Some(name) = text(jwk, "alg")? else {
        return Ok(None);
    };
    let algorithm = Algorithm::named(name).ok_or(KeyFault::OtherUse)?;
    match material {
        Material::Secret(_) if !material.fits(algorithm) => Err(KeyFault::ShortSecret),
        _ if !material.fits(algorithm) => Err(KeyFault::OtherUse),
        _ => Ok(Some(algorithm)),
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFault> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyFault::Malformed),
    }
}

/// A member in base64url (RFC 7515 section 2).
fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFault> {
    let text = text(jwk, name)?.ok_or(KeyFault::Malformed)?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyFault::Malformed)
}
