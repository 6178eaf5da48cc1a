//! What a token must claim, and who the client is by its claims.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_config::plugin::jwt::{Audiences, ClaimPath, JwtIssuer, Required};
use serde_json::{Map, Value};

use super::fault::Fault;
use crate::identity::{Globs, Identity};

/// The last second of the year 9999. A later date is a mistake of units.
const DATE_MAX: f64 = 253_402_300_799.0;
/// Longest text that is taken over from a claim, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Most elements of a list that is taken over.
const LIST_MAX: usize = 256;
/// Kinds of token that are accepted if the configuration names none: RFC 7519 section
/// 5.1 and RFC 9068 section 2.1. A token for something else, as for logging out or for
/// proving a key, names another (RFC 8725 section 3.11).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Checks the claims of a token that its issuer signed. Gives who the client is, and
/// when the token stops being valid.
pub(super) fn check(
    issuer: &JwtIssuer,
    typ: Option<&str>,
    claims: &Map<String, Value>,
    now: Duration,
) -> Result<(Identity, Duration), Fault> {
    check_type(issuer, typ)?;
    let until = check_dates(issuer.leeway.get(), claims, now)?;
    check_audience(&issuer.audiences, claims)?;
    for (path, required) in &issuer.required_claims {
        if !satisfies(find(claims, path), required, is_scope(path)) {
            return Err(Fault::Required);
        }
    }
    Ok((identity(issuer, claims)?, until))
}

/// Who the client is by the claims. What is mapped and cannot be read is a fault, and a
/// list that is not there is empty: no mistake of an issuer opens anything.
fn identity(issuer: &JwtIssuer, claims: &Map<String, Value>) -> Result<Identity, Fault> {
    let wanted = &issuer.claims;
    let text = |path: &ClaimPath| find(claims, path).and_then(text).ok_or(Fault::Identity);
    let list = |path: &ClaimPath| find(claims, path).map_or(Ok(Vec::new()), list);
    let consumer = text(&wanted.consumer)?;
    let tenant = match &wanted.tenant {
        Some(path) => text(path)?,
        // Another issuer may know somebody else by that name, and so may the keys, whose
        // tenants have no space in them.
        None => format!("{} {consumer}", issuer.issuer).into(),
    };
    let roles = wanted.roles.as_ref().map_or(Ok(Vec::new()), list)?;
    let models = match &wanted.models {
        Some(path) => Some(globs(&list(path)?)?),
        None => None,
    };
    let mut metadata = BTreeMap::new();
    for (name, path) in &wanted.metadata {
        if let Some(value) = find(claims, path) {
            let value = self::text(value).ok_or(Fault::Identity)?;
            metadata.insert(name.as_str().into(), value);
        }
    }
    let subject = claims.get("sub").and_then(self::text);
    Ok(Identity {
        key: subject.unwrap_or_else(|| consumer.clone()),
        consumer,
        tenant,
        roles: roles.into(),
        models,
        routes: None,
        limits: BTreeMap::new(),
        metadata,
    })
}

/// The issuer that the claims name.
pub(super) fn issuer(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("iss")?.as_str()
}

/// Compares `typ` as RFC 7515 section 4.1.9 wants it: without regard to case, and with
/// `application/` understood.
fn check_type(issuer: &JwtIssuer, typ: Option<&str>) -> Result<(), Fault> {
    let Some(typ) = typ else {
        return match issuer.types.is_empty() {
            true => Ok(()),
            false => Err(Fault::Type),
        };
    };
    let bare = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix("application/")
            .unwrap_or(&name)
            .to_owned()
    };
    let typ = bare(typ);
    let fits = match issuer.types.is_empty() {
        true => TYPES.contains(&typ.as_str()),
        false => issuer
            .types
            .iter()
            .any(|wanted| bare(wanted.as_str()) == typ),
    };
    if fits { Ok(()) } else { Err(Fault::Type) }
}

/// Checks `exp`, `nbf` and `iat`, and gives when the token stops being valid.
fn check_dates(
    leeway: Duration,
    claims: &Map<String, Value>,
    now: Duration,
) -> Result<Duration, Fault> {
    let until = date(claims, "exp")?.ok_or(Fault::Date)? + leeway;
    if now >= until {
        return Err(Fault::Expired);
    }
    for name in ["nbf", "iat"] {
        if date(claims, name)?.is_some_and(|date| date > now + leeway) {
            return Err(Fault::Premature);
        }
    }
    Ok(until)
}

/// A NumericDate (RFC 7519 section 2): seconds since the epoch, maybe with a fraction.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<Duration>, Fault> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value.as_f64().filter(|_| value.is_number());
    let seconds = seconds.filter(|seconds| (0.0..=DATE_MAX).contains(seconds));
    let date = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    date.map(Some).ok_or(Fault::Date)
}

/// `aud` is one text or a list of texts (RFC 7519 section 4.1.3).
fn check_audience(audiences: &Audiences, claims: &Map<String, Value>) -> Result<(), Fault> {
    let Audiences::OneOf(wanted) = audiences else {
        return Ok(());
    };
    let is_wanted = |found: &str| wanted.iter().any(|wanted| wanted.as_str() == found);
    let fits = match claims.get("aud") {
        Some(Value::String(found)) => is_wanted(found),
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string)
                && list.iter().filter_map(Value::as_str).any(is_wanted)
        }
        _ => false,
    };
    if fits { Ok(()) } else { Err(Fault::Audience) }
}

/// Whether a claim is a list with spaces between its elements (RFC 8693 section 4.2).
fn is_scope(path: &ClaimPath) -> bool {
    matches!(path.as_str(), "scope" | "scp")
}

fn satisfies(found: Option<&Value>, required: &Required, scope: bool) -> bool {
    let Required::OneOf(wanted) = required else {
        return found.is_some();
    };
    let is_wanted = |found: &str| wanted.iter().any(|wanted| wanted.as_str() == found);
    let scalar = |value: &Value| match value {
        Value::String(text) => is_wanted(text),
        Value::Bool(true) => is_wanted("true"),
        Value::Bool(false) => is_wanted("false"),
        Value::Number(number) => is_wanted(&number.to_string()),
        _ => false,
    };
    match found {
        Some(Value::String(text)) if scope => text.split(' ').any(is_wanted),
        Some(Value::Array(list)) => list.iter().any(scalar),
        Some(value) => scalar(value),
        None => false,
    }
}

/// The claim at a path; none when it is not there or null.
fn find<'a>(claims: &'a Map<String, Value>, path: &ClaimPath) -> Option<&'a Value> {
    let mut parts = path.parts();
    let mut value = claims.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    Some(value).filter(|value| !value.is_null())
}

/// A text, or a whole number as a text; none when it is neither, empty, too long, or
/// holds what could not stand in a header or a log line.
fn text(value: &Value) -> Option<Box<str>> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    let sane = (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    sane.then(|| text.into())
}

/// A list of texts, or a text with spaces between the elements.
fn list(value: &Value) -> Result<Vec<Box<str>>, Fault> {
    let list: Option<Vec<_>> = match value {
        Value::Array(items) if items.len() <= LIST_MAX => items.iter().map(text).collect(),
        Value::String(text) if text.chars().any(char::is_control) => None,
        Value::String(text) => {
            let words = text.split(' ').filter(|word| !word.is_empty());
            Some(words.take(LIST_MAX + 1).map(Into::into).collect())
        }
        _ => None,
    };
    list.filter(|list| list.len() <= LIST_MAX)
        .ok_or(Fault::Identity)
}

fn globs(patterns: &[Box<str>]) -> Result<Globs, Fault> {
    let globs = patterns.iter().map(|pattern| pattern.parse());
    globs.collect::<Result<_, _>>().map_err(|_| Fault::Identity)
}
