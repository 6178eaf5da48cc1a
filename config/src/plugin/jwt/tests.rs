//! What an issuer may be, and what is refused.

use serde_json::{Value, json};

use super::{Algorithm, Audiences, ClaimPath, JwksUrl, JwtIssuer, Keys, Required};
use crate::unit::Duration;

fn issuer(changes: Value) -> Result<JwtIssuer, String> {
    let mut issuer = json!({
        "issuer": "https://id.example.com/",
        "audiences": ["penstock"],
        "algorithms": ["RS256"],
        "keys": { "jwks": "keys.json" },
    });
    for (key, value) in changes.as_object().unwrap() {
        issuer[key] = value.clone();
    }
    serde_json::from_value(issuer).map_err(|error| error.to_string())
}

fn refused(changes: Value, part: &str) {
    let message = issuer(changes.clone()).expect_err(&changes.to_string());
    assert!(
        message.contains(part),
        "{changes} is refused with {message:?}, which should say {part:?}"
    );
}

#[test]
fn defaults() {
    let issuer = issuer(json!({})).unwrap();
    assert_eq!(issuer.leeway, Duration::seconds(60));
    assert_eq!(issuer.claims.consumer.as_str(), "sub");
    assert!(issuer.types.is_empty() && issuer.required_claims.is_empty());
    let url = json!({ "keys": { "jwks_url": "https://id.example.com/jwks" } });
    let Keys::Url {
        refresh,
        cooldown,
        ca,
        ..
    } = self::issuer(url).unwrap().trust.keys().clone()
    else {
        panic!("a URL is a URL")
    };
    assert_eq!(refresh, Duration::seconds(600));
    assert_eq!(cooldown, Duration::seconds(30));
    assert_eq!(ca, None);
    let fast = json!({ "keys": { "jwks_url": "https://a.example/", "refresh": "5s" } });
    assert!(
        matches!(
            self::issuer(fast).unwrap().trust.keys(),
            Keys::Url { cooldown, .. } if *cooldown == Duration::seconds(5)
        ),
        "the default cooldown is not longer than a short refresh"
    );
}

#[test]
fn what_is_written_back_reads_as_the_same_issuer() {
    for changes in [
        json!({}),
        json!({ "audiences": "any", "algorithms": ["HS512", "HS256", "HS256"],
                "keys": { "secret": { "env": "JWT_SECRET" } } }),
        json!({ "algorithms": ["RS256", "RS512"], "keys": { "pem": "key.pem" } }),
        json!({ "algorithms": ["RS256", "PS256", "ES256", "ES384", "EdDSA"],
                "keys": { "jwks_url": "https://id.example.com/jwks?a=b", "ca": "ca.pem",
                          "refresh": "1h", "cooldown": "1m" } }),
        json!({ "types": ["at+jwt"], "leeway": "5m",
                "required_claims": { "email_verified": true, "scope": ["chat", "embed"],
                                     "/org/id": 7, "jti": "any" },
                "claims": { "consumer": "client_id", "tenant": "/org/id",
                            "roles": "/realm_access/roles", "models": "https://example.com/models",
                            "metadata": { "plan": "/org/plan" } } }),
    ] {
        let issuer = issuer(changes).unwrap();
        let written = serde_json::to_value(&issuer).unwrap();
        let again: JwtIssuer = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(again, issuer, "came back different from {written}");
    }
}

#[test]
fn keys_and_algorithms_must_fit() {
    let secret = json!({ "secret": { "file": "secret" } });
    let pem = json!({ "pem": "key.pem" });
    let url = json!({ "jwks_url": "https://id.example.com/jwks" });
    for keys in [&pem, &json!({ "jwks": "keys.json" }), &url] {
        refused(
            json!({ "algorithms": ["HS256"], "keys": keys }),
            "`HS256` needs a `secret`, not public keys",
        );
    }
    for algorithm in ["RS256", "PS512", "ES384", "EdDSA"] {
        refused(
            json!({ "algorithms": [algorithm], "keys": secret }),
            "needs a public key, not a `secret`",
        );
        refused(
            json!({ "algorithms": [algorithm, "HS256"], "keys": url }),
            "pin the one that the issuer signs with",
        );
    }
    for mix in [["RS256", "ES256"], ["RS256", "PS256"], ["ES256", "EdDSA"]] {
        refused(json!({ "algorithms": mix, "keys": pem }), "of one family");
        assert!(issuer(json!({ "algorithms": mix, "keys": url })).is_ok());
    }
    for none in [
        "none", "None", "NONE", "rs256", "RS1", "ES512", "HS256 ", "",
    ] {
        refused(json!({ "algorithms": [none] }), "unknown variant");
    }
    refused(json!({ "algorithms": [] }), "the list is empty");
}

#[test]
fn keys_stand_in_one_place() {
    let exactly = "exactly one of `pem`, `jwks`, `jwks_url` and `secret`";
    for keys in [
        json!({}),
        json!({ "pem": "a", "jwks": "b" }),
        json!({ "jwks": "b", "jwks_url": "https://a.example/" }),
        json!({ "pem": "a", "secret": { "env": "A" } }),
        json!({ "refresh": "1m" }),
    ] {
        refused(json!({ "keys": keys }), exactly);
    }
    for keys in [
        json!({ "pem": "a", "refresh": "1m" }),
        json!({ "jwks": "a", "cooldown": "1m" }),
        json!({ "jwks": "a", "ca": "b" }),
    ] {
        refused(json!({ "keys": keys }), "belong to `jwks_url`");
    }
    let keys = |refresh: &str, cooldown: &str| {
        json!({ "keys": { "jwks_url": "https://a.example/",
                          "refresh": refresh, "cooldown": cooldown } })
    };
    refused(keys("500ms", "100ms"), "`refresh` must be at least 1s");
    refused(keys("1m", "2m"), "must not be longer than `refresh`");
    refused(
        json!({ "keys": { "jwk_url": "https://a.example/" } }),
        "unknown field",
    );
    refused(
        json!({ "algorithms": ["HS256"], "keys": { "secret": "hunter2-hunter2" } }),
        "a secret must not be in this file",
    );
}

#[test]
fn urls() {
    for (text, tls, host, target) in [
        ("https://id.example.com", true, "id.example.com:443", "/"),
        (
            "https://id.example.com:8443/a/b?c=d",
            true,
            "id.example.com:8443",
            "/a/b?c=d",
        ),
        (
            "http://127.0.0.1:8080/jwks",
            false,
            "127.0.0.1:8080",
            "/jwks",
        ),
        ("http://[::1]/jwks", false, "[::1]:80", "/jwks"),
        ("http://localhost:1/", false, "localhost:1", "/"),
    ] {
        let url: JwksUrl = text.parse().unwrap();
        let shown = (url.tls(), url.host().to_string(), url.target().to_owned());
        assert_eq!(shown, (tls, host.to_owned(), target.to_owned()), "{text}");
        assert_eq!(url.to_string(), text);
    }
    for (text, part) in [
        ("", "is not a JWKS URL"),
        ("id.example.com/jwks", "is not a JWKS URL"),
        ("/jwks", "start it with `https://`"),
        ("ftp://id.example.com/", "start it with `https://`"),
        ("file:///etc/passwd", "is not a JWKS URL"),
        ("http://id.example.com/", "write `https://`"),
        ("http://10.0.0.1/", "write `https://`"),
        ("http://localhost.example.com/", "write `https://`"),
        ("http://127.0.0.1.example.com/", "write `https://`"),
        ("http://0.0.0.0/", "write `https://`"),
        ("https://user:secret@id.example.com/", "drop the user"),
        ("http://127.0.0.1@id.example.com/", "drop the user"),
        ("https://id.example.com/#keys", "drop what follows `#`"),
        ("https://", "is not a JWKS URL"),
        ("https://id.example.com:0/", "port"),
        ("https://id.example.com/a b", "is not a JWKS URL"),
    ] {
        let message = text.parse::<JwksUrl>().expect_err(text).to_string();
        assert!(message.contains(part), "{text} is refused with {message}");
    }
    let long = format!("https://id.example.com/{}", "a".repeat(2048));
    assert!(long.parse::<JwksUrl>().is_err());
}

#[test]
fn claims() {
    for (text, parts) in [
        ("sub", vec!["sub"]),
        ("/sub", vec!["sub"]),
        ("/realm_access/roles", vec!["realm_access", "roles"]),
        (
            "https://example.com/roles",
            vec!["https://example.com/roles"],
        ),
        ("/a~1b/c~0d", vec!["a/b", "c~d"]),
        ("/a.b", vec!["a.b"]),
        ("cognito:groups", vec!["cognito:groups"]),
    ] {
        let path: ClaimPath = text.parse().unwrap();
        assert_eq!(path.parts().collect::<Vec<_>>(), parts, "{text}");
    }
    for (text, part) in [
        ("", "write its name"),
        (
            "realm_access.roles",
            "write `/realm_access/roles` for a claim inside others, `/realm_access.roles`",
        ),
        ("/a//b", "one of its parts is empty"),
        ("/", "one of its parts is empty"),
        ("/a~2", "write `~0`"),
        ("/a~", "write `~0`"),
        ("/a~é", "write `~0`"),
        ("/1/2/3/4/5/6/7/8/9", "at most 8 parts"),
        ("a\nb", "control character"),
    ] {
        let message = text.parse::<ClaimPath>().expect_err(text).to_string();
        assert!(message.contains(part), "{text:?} is refused with {message}");
    }
    let taken = issuer(json!({ "audiences": "any",
        "required_claims": { "a": "any", "b": ["any"], "c": false } }))
    .unwrap();
    assert_eq!(taken.audiences, Audiences::Any);
    let required: Vec<_> = taken.required_claims.into_values().collect();
    let one = |text: &str| Required::OneOf(vec![text.parse().unwrap()]);
    assert_eq!(required, [Required::Present, one("any"), one("false")]);
    refused(
        json!({ "required_claims": { "a": [] } }),
        "the list is empty",
    );
    refused(
        json!({ "required_claims": { "a": null } }),
        "invalid type: null",
    );
    refused(json!({ "audiences": [] }), "the list is empty");
    refused(
        json!({ "audiences": vec!["a"; 33] }),
        "at most 32 audiences",
    );
    refused(json!({ "leeway": "6m" }), "write at most 5m");
    let metadata: serde_json::Map<_, _> = (0..17).map(|n| (format!("m{n}"), json!("a"))).collect();
    refused(
        json!({ "claims": { "metadata": metadata } }),
        "at most 16 claims",
    );
}

#[test]
fn algorithms_by_name() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::named(algorithm.as_str()), Some(algorithm));
        let written = serde_json::to_value(algorithm).unwrap();
        assert_eq!(
            written,
            algorithm.as_str(),
            "the file uses the token's name"
        );
    }
    assert_eq!(Algorithm::named("none"), None);
    assert_eq!(Algorithm::named("rs256"), None);
}
