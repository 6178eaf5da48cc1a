//! Headers that say who asks: the client's are taken away, ours are put there.

use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};
use penstock_config::credential_headers;

use crate::edit::HeaderEdits;
use crate::identity::Identity;

const CONSUMER: HeaderName = HeaderName::from_static("x-penstock-consumer");
const TENANT: HeaderName = HeaderName::from_static("x-penstock-tenant");
const KEY: HeaderName = HeaderName::from_static("x-penstock-key");
/// The roles, with commas between them.
const ROLES: HeaderName = HeaderName::from_static("x-penstock-roles");

/// What never travels upstream as the client sent it: its credential, which is for us,
/// and what an upstream would take for our word.
pub(super) static STRIPPED: LazyLock<[HeaderName; 9]> = LazyLock::new(|| {
    let [a, b, c, d, e] = credential_headers::ALL;
    [a, b, c, d, e, CONSUMER, TENANT, KEY, ROLES]
});

/// Tells the upstream who asks. What a header cannot hold unambiguously is left out:
/// the upstream then knows less, and nothing wrong.
pub(super) fn tell(identity: &Identity, headers: &mut HeaderEdits) {
    for (name, text) in [
        (CONSUMER, &identity.consumer),
        (TENANT, &identity.tenant),
        (KEY, &identity.key),
    ] {
        if let Some(value) = value(text) {
            headers.set(name, value);
        }
    }
    let is_plain = |role: &&str| {
        role.bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b',')
    };
    let roles: Vec<&str> = identity
        .roles
        .iter()
        .map(|role| &**role)
        .filter(is_plain)
        .collect();
    if let Some(roles) = value(&roles.join(",")) {
        headers.set(ROLES, roles);
    }
}

/// A value of visible characters, or with spaces within.
fn value(text: &str) -> Option<HeaderValue> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let is_whole = !text.is_empty() && text.trim_ascii() == text;
    (is_plain && is_whole).then(|| HeaderValue::from_str(text).ok())?
}
