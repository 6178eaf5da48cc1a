//! Which stored answers an operator wants purged.

use penstock_plugins::cache::Purge;

/// Longest key in hexadecimal digits.
const KEY_DIGITS_MAX: usize = 64;

/// Reads the query of a request to purge: `tenant`, `model` and `key`, each at most once.
/// Without any, everything is meant.
///
/// # Errors
/// What is wrong with it. A misspelled parameter must not purge everything.
pub(super) fn parse(query: Option<&str>) -> Result<Purge, String> {
    let mut purge = Purge::default();
    for parameter in query.unwrap_or_default().split('&') {
        if parameter.is_empty() {
            continue;
        }
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let place = match name {
            "tenant" => &mut purge.tenant,
            "model" => &mut purge.model,
            "key" => &mut purge.key,
            _ => return Err("write `tenant`, `model` or `key`, or nothing for all".to_owned()),
        };
        let value = decoded(value).ok_or_else(|| format!("`{name}` is not encoded properly"))?;
        if place.replace(value).is_some() {
            return Err(format!("`{name}` stands there twice"));
        }
    }
    let is_key = |key: &String| {
        (1..=KEY_DIGITS_MAX).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if !purge.key.as_ref().is_none_or(is_key) {
        return Err("`key` is the beginning of a key, 1 to 64 hexadecimal digits".to_owned());
    }
    Ok(purge)
}

/// A value without its percent-encoding (RFC 3986 section 2.1); `+` is itself.
fn decoded(value: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        rest = after;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let [high, low] = *digits;
        decoded.push((digit(high)? << 4 | digit(low)?) as u8);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(tenant: Option<&str>, model: Option<&str>, key: Option<&str>) -> Purge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Purge {
            tenant: owned(tenant),
            model: owned(model),
            key: owned(key),
        }
    }

    #[test]
    fn parameters_are_read_with_their_escapes() {
        assert_eq!(parse(None), Ok(Purge::default()));
        assert_eq!(parse(Some("")), Ok(Purge::default()));
        let all = parse(Some("tenant=a%20%C3%A9+b&model=gpt-4o&key=0aF"));
        assert_eq!(all, Ok(purge(Some("a é+b"), Some("gpt-4o"), Some("0aF"))));
        assert_eq!(parse(Some("tenant=")), Ok(purge(Some(""), None, None)));
        assert_eq!(parse(Some("tenant")), Ok(purge(Some(""), None, None)));
    }

    #[test]
    fn what_is_not_understood_purges_nothing() {
        for query in [
            "tenants=a",
            "Tenant=a",
            "tenant=a&tenant=b",
            "tenant=%",
            "tenant=%2",
            "tenant=%zz",
            "tenant=%ff",
            "key=",
            "key=xyz",
            "all",
        ] {
            assert!(parse(Some(query)).is_err(), "{query}");
        }
        assert!(parse(Some(&format!("key={}", "0".repeat(65)))).is_err());
    }
}
