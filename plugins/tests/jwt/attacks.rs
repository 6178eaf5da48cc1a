//! Attacks on what a token says about its own making: algorithm, key and extensions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use penstock_config::plugin::jwt::Algorithm;
use penstock_plugins::jwt::Fault;
use ring::hmac;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::signer::{RSA_PEM, Signer, b64, claims, mac};
use crate::{MAIN, MANY, SECRETIVE, forms};

/// Attacks as they are collected.
pub(crate) struct Attacks<'a> {
    pub(crate) signer: &'a Signer,
    /// Name, token, and what is wrong with it.
    list: Vec<(String, Vec<u8>, Fault)>,
}

impl Attacks<'_> {
    pub(crate) fn add(&mut self, name: impl Into<String>, token: impl Into<Vec<u8>>, fault: Fault) {
        self.list.push((name.into(), token.into(), fault));
    }

    /// A token of the first issuer with this header, rightly signed by RS256.
    pub(crate) fn header(&mut self, name: &str, header: &str, fault: Fault) {
        let token = self
            .signer
            .token(Algorithm::RS256, header, &claims(MAIN, json!({})));
        self.add(name, token, fault);
    }

    /// A token of the first issuer with these claims, rightly signed.
    pub(crate) fn claims(&mut self, name: &str, claims: &str, fault: Fault) {
        let token = self.signer.token(Algorithm::RS256, HEADER, claims);
        self.add(name, token, fault);
    }
}

/// The header of a good token.
pub(crate) const HEADER: &str = r#"{"alg":"RS256","kid":"RS256","typ":"JWT"}"#;

/// Every attack: its name, the token, and what is wrong with it.
pub(crate) fn attacks(signer: &Signer) -> Vec<(String, Vec<u8>, Fault)> {
    let mut attacks = Attacks {
        signer,
        list: Vec::new(),
    };
    algorithms(&mut attacks);
    confusion(&mut attacks);
    brought_along(&mut attacks);
    extensions(&mut attacks);
    key_ids(&mut attacks);
    forms::encoding(&mut attacks);
    forms::json_oddities(&mut attacks);
    forms::dates(&mut attacks);
    forms::who(&mut attacks);
    forms::signatures(&mut attacks);
    attacks.list
}

fn algorithms(attacks: &mut Attacks<'_>) {
    let payload = b64(claims(MAIN, json!({})));
    for none in ["none", "None", "NONE", "nOnE", "none ", "", "null", "plain"] {
        let header = b64(json!({ "alg": none }).to_string());
        attacks.add(
            format!("alg {none:?}, no signature"),
            format!("{header}.{payload}."),
            Fault::Algorithm,
        );
        let signed = attacks.signer.good(Algorithm::RS256, MAIN);
        let signature = signed.rsplit('.').next().unwrap();
        let token = format!("{header}.{payload}.{signature}");
        attacks.add(
            format!("alg {none:?}, some signature"),
            token,
            Fault::Algorithm,
        );
    }
    let bare = |header: &str| format!("{}.{payload}.", b64(header));
    attacks.add("no alg", bare(r#"{"kid":"RS256"}"#), Fault::Header);
    attacks.add("alg null", bare(r#"{"alg":null}"#), Fault::Header);
    attacks.add("alg a list", bare(r#"{"alg":["RS256"]}"#), Fault::Header);
    attacks.add("alg a number", bare(r#"{"alg":256}"#), Fault::Header);
    for alg in [
        "rs256", "RS256 ", "RS1", "ES256K", "ES512", "Ed25519", "RSA-OAEP", "dir", "A128KW", "HS1",
    ] {
        let header = json!({ "alg": alg, "kid": "RS256" }).to_string();
        attacks.header(&format!("alg {alg:?}"), &header, Fault::Algorithm);
    }
    for alg in ["RS384", "PS256", "EdDSA", "HS256"] {
        let algorithm = Algorithm::named(alg).unwrap();
        let token = attacks.signer.good(algorithm, MAIN);
        attacks.add(
            format!("{alg} for an issuer pinned to others"),
            token,
            Fault::Algorithm,
        );
    }
    let p2 = r#"{"alg":"PBES2-HS256+A128KW","p2s":"c2FsdA","p2c":2147483647}"#;
    attacks.header(
        "PBES2 with two thousand million rounds",
        p2,
        Fault::Algorithm,
    );
}

/// Public keys as secrets, and keys for algorithms that they are not for.
fn confusion(attacks: &mut Attacks<'_>) {
    let signer = attacks.signer;
    let der = SubjectPublicKeyInfoDer::from_pem_slice(RSA_PEM.as_bytes()).unwrap();
    let jwk = signer.jwk(Algorithm::RS256);
    let set = json!({ "keys": [jwk.clone()] });
    let texts: [(&str, Vec<u8>); 7] = [
        ("PEM", RSA_PEM.into()),
        ("PEM without its last line break", RSA_PEM.trim_end().into()),
        ("DER", der.to_vec()),
        ("JWK", jwk.to_string().into()),
        ("JWK Set", set.to_string().into()),
        ("modulus", jwk["n"].as_str().unwrap().into()),
        (
            "point",
            attacks.signer.jwk(Algorithm::ES256)["x"]
                .as_str()
                .unwrap()
                .into(),
        ),
    ];
    for (what, secret) in texts {
        for issuer in [MAIN, MANY] {
            for kid in [
                json!({ "alg": "HS256" }),
                json!({ "alg": "HS256", "kid": "RS256" }),
            ] {
                let signed = format!(
                    "{}.{}",
                    b64(kid.to_string()),
                    b64(claims(issuer, json!({})))
                );
                let tag = mac(hmac::HMAC_SHA256, &secret, signed.as_bytes());
                let token = format!("{signed}.{}", b64(tag));
                let name = format!("HS256 with the public key's {what} as secret, {issuer} {kid}");
                attacks.add(name, token, Fault::Algorithm);
            }
        }
    }
    for (name, secret) in [
        ("empty", &b""[..]),
        ("zeros", &[0; 32]),
        ("a guess", b"secret"),
    ] {
        let signed = format!(
            "{}.{}",
            b64(r#"{"alg":"HS256"}"#),
            b64(claims(SECRETIVE, json!({})))
        );
        let tag = mac(hmac::HMAC_SHA256, secret, signed.as_bytes());
        attacks.add(
            format!("HS256 with {name} as secret"),
            format!("{signed}.{}", b64(tag)),
            Fault::Signature,
        );
    }
    let with = |algorithm: Algorithm, kid: &str, issuer: &str| {
        let header = json!({ "alg": algorithm.as_str(), "kid": kid }).to_string();
        signer.token(algorithm, &header, &claims(issuer, json!({})))
    };
    attacks.add(
        "ES256 with the RSA key's kid",
        with(Algorithm::ES256, "RS256", MAIN),
        Fault::UnfitKey,
    );
    attacks.add(
        "RS256 with the EC key's kid",
        with(Algorithm::RS256, "ES256", MAIN),
        Fault::UnfitKey,
    );
    attacks.add(
        "ES384 with the Ed25519 key's kid",
        with(Algorithm::ES384, "EdDSA", MANY),
        Fault::UnfitKey,
    );
    attacks.add(
        "RS512 with a key for RS256",
        with(Algorithm::RS512, "RS256", MANY),
        Fault::UnfitKey,
    );
    attacks.add(
        "PS256 with a key for RS256",
        with(Algorithm::PS256, "RS256", MANY),
        Fault::UnfitKey,
    );
    attacks.add(
        "a key with use enc",
        with(Algorithm::ES256, "enc", MAIN),
        Fault::UnknownKey,
    );
    attacks.add(
        "a key with key_ops wrapKey",
        with(Algorithm::ES256, "wrap", MAIN),
        Fault::UnknownKey,
    );
    // The same claims, signed by PKCS #1 and labelled as PSS.
    let signed = format!(
        "{}.{}",
        b64(r#"{"alg":"PS256","kid":"PS256"}"#),
        b64(claims(MANY, json!({})))
    );
    let signature = signer.sign(Algorithm::RS256, signed.as_bytes());
    attacks.add(
        "a PKCS #1 signature as PSS",
        format!("{signed}.{}", b64(signature)),
        Fault::Signature,
    );
    let good = with(Algorithm::RS256, "RS256", MANY)
        .replace(&b64(claims(MANY, json!({}))), &b64(claims(MAIN, json!({}))));
    attacks.add("another issuer's signature", good, Fault::Signature);
}

/// Keys that the token brings along, all of which sign it rightly.
fn brought_along(attacks: &mut Attacks<'_>) {
    let stranger = Signer::default();
    let jwk = stranger.jwk(Algorithm::ES256);
    for header in [
        json!({ "alg": "ES256", "jwk": jwk.clone() }),
        json!({ "alg": "ES256", "kid": "ES256", "jwk": jwk.clone() }),
        json!({ "alg": "ES256", "jku": "https://attacker.example/jwks.json" }),
        json!({ "alg": "ES256", "kid": "ES256", "jku": "http://169.254.169.254/latest/meta-data" }),
        json!({ "alg": "ES256", "x5u": "file:///etc/passwd" }),
        json!({ "alg": "ES256", "x5c": [STANDARD.encode([0x30, 0x82, 0x01, 0x00])] }),
        json!({ "alg": "ES256", "kid": "ES256", "x5t": b64([1; 20]), "x5t#S256": b64([1; 32]) }),
    ] {
        let token = stranger.token(
            Algorithm::ES256,
            &header.to_string(),
            &claims(MAIN, json!({})),
        );
        attacks.add(
            format!("a stranger's signature with {header}"),
            token,
            Fault::Signature,
        );
    }
}

fn extensions(attacks: &mut Attacks<'_>) {
    for extension in [
        r#""crit":["exp"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":["b64"],"b64":true"#,
        r#""b64":false"#,
        r#""crit":["http://example.com/unknown"],"http://example.com/unknown":true"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
    ] {
        let header = format!(r#"{{"alg":"RS256","kid":"RS256",{extension}}}"#);
        attacks.header(extension, &header, Fault::Extension);
    }
    let bomb = b64([0x78; 9000]);
    let jwe = format!(
        "{}.{bomb}.aaaa.bbbb.cccc",
        b64(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#)
    );
    attacks.add("an encrypted token of five parts", jwe, Fault::Parts);
    for typ in [
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "JOSE",
        "application/at+jwt2",
        "",
    ] {
        let header = json!({ "alg": "RS256", "kid": "RS256", "typ": typ }).to_string();
        attacks.header(&format!("typ {typ:?}"), &header, Fault::Type);
    }
}

fn key_ids(attacks: &mut Attacks<'_>) {
    for kid in [
        "../../../../etc/passwd",
        "/dev/null",
        "RS256\0",
        "rs256",
        "RS256' OR '1'='1",
        "",
        "|| id",
        "http://attacker.example/key",
        "file:///etc/passwd",
        "RS256\n",
    ] {
        let header = json!({ "alg": "RS256", "kid": kid }).to_string();
        attacks.header(&format!("kid {kid:?}"), &header, Fault::UnknownKey);
    }
    let header = json!({ "alg": "RS256", "kid": "a".repeat(257) }).to_string();
    attacks.header("a kid of 257 bytes", &header, Fault::Header);
    attacks.header("kid a number", r#"{"alg":"RS256","kid":1}"#, Fault::Header);
    attacks.header(
        "kid a list",
        r#"{"alg":"RS256","kid":["RS256"]}"#,
        Fault::Header,
    );
}
