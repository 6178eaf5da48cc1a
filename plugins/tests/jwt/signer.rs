//! Issuers of tokens, good and bad, for tests.
#![allow(dead_code, reason = "each test uses some of it")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use penstock_config::plugin::jwt::{Algorithm, JwtIssuer};
use penstock_plugins::jwt::{KeySet, Keys, Verifier};
use ring::rand::SystemRandom;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use ring::{hmac, rand};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

pub(crate) const RSA_PEM: &str = include_str!("rsa.pem");
const RSA_KEY_PEM: &str = include_str!("rsa.key.pem");

/// The time of all tests.
pub(crate) const NOW: u64 = 1_800_000_000;
/// The secret of the issuer that signs with one.
pub(crate) const SECRET: &[u8] =
    b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(crate) fn now() -> Duration {
    Duration::from_secs(NOW)
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The private halves of all keys.
pub(crate) struct Signer {
    pub(crate) rsa: RsaKeyPair,
    pub(crate) p256: EcdsaKeyPair,
    pub(crate) p384: EcdsaKeyPair,
    pub(crate) ed25519: Ed25519KeyPair,
    random: SystemRandom,
}

impl Default for Signer {
    fn default() -> Self {
        let random = SystemRandom::new();
        let rsa = PrivatePkcs8KeyDer::from_pem_slice(RSA_KEY_PEM.as_bytes()).unwrap();
        Self {
            rsa: RsaKeyPair::from_pkcs8(rsa.secret_pkcs8_der()).unwrap(),
            p256: ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            p384: ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, &random),
            ed25519: Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap(),
            random,
        }
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, random: &SystemRandom) -> EcdsaKeyPair {
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, random).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), random).unwrap()
}

impl Signer {
    /// The signature of `signed`.
    pub(crate) fn sign(&self, algorithm: Algorithm, signed: &[u8]) -> Vec<u8> {
        let rsa = |padding: &'static dyn signature::RsaEncoding| {
            let mut bytes = vec![0; self.rsa.public().modulus_len()];
            let random: &dyn rand::SecureRandom = &self.random;
            self.rsa.sign(padding, random, signed, &mut bytes).unwrap();
            bytes
        };
        let ec = |key: &EcdsaKeyPair| key.sign(&self.random, signed).unwrap().as_ref().to_vec();
        match algorithm {
            Algorithm::RS256 => rsa(&signature::RSA_PKCS1_SHA256),
            Algorithm::RS384 => rsa(&signature::RSA_PKCS1_SHA384),
            Algorithm::RS512 => rsa(&signature::RSA_PKCS1_SHA512),
            Algorithm::PS256 => rsa(&signature::RSA_PSS_SHA256),
            Algorithm::PS384 => rsa(&signature::RSA_PSS_SHA384),
            Algorithm::PS512 => rsa(&signature::RSA_PSS_SHA512),
            Algorithm::ES256 => ec(&self.p256),
            Algorithm::ES384 => ec(&self.p384),
            Algorithm::EdDSA => self.ed25519.sign(signed).as_ref().to_vec(),
            Algorithm::HS256 => mac(hmac::HMAC_SHA256, SECRET, signed),
            Algorithm::HS384 => mac(hmac::HMAC_SHA384, SECRET, signed),
            Algorithm::HS512 => mac(hmac::HMAC_SHA512, SECRET, signed),
        }
    }

    /// A token of this header and these claims, as texts so that they can be odd.
    pub(crate) fn token(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header), b64(claims));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", b64(signature))
    }

    /// A good token of an issuer.
    pub(crate) fn good(&self, algorithm: Algorithm, issuer: &str) -> String {
        let header = format!(r#"{{"alg":"{algorithm}","kid":"{algorithm}","typ":"JWT"}}"#);
        self.token(algorithm, &header, &claims(issuer, json!({})))
    }

    /// The public half of the key that signs by this algorithm.
    pub(crate) fn jwk(&self, algorithm: Algorithm) -> Value {
        let mut jwk = match algorithm.as_str().get(..2) {
            Some("RS" | "PS") => {
                let public: signature::RsaPublicKeyComponents<Vec<u8>> = self.rsa.public().into();
                json!({ "kty": "RSA", "n": b64(&public.n), "e": b64(&public.e) })
            }
            Some("ES") => {
                let (key, curve) = match algorithm {
                    Algorithm::ES256 => (&self.p256, "P-256"),
                    _ => (&self.p384, "P-384"),
                };
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) })
            }
            Some("Ed") => {
                let x = b64(self.ed25519.public_key());
                json!({ "kty": "OKP", "crv": "Ed25519", "x": x })
            }
            _ => json!({ "kty": "oct", "k": b64(SECRET) }),
        };
        jwk["kid"] = algorithm.as_str().into();
        jwk["alg"] = algorithm.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }
}

pub(crate) fn mac(algorithm: hmac::Algorithm, secret: &[u8], signed: &[u8]) -> Vec<u8> {
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), signed);
    tag.as_ref().to_vec()
}

/// Claims that do, with changes; a change to null takes a claim away.
pub(crate) fn claims(issuer: &str, changes: Value) -> String {
    let mut claims = json!({
        "iss": issuer,
        "aud": ["other", "penstock"],
        "sub": "alice",
        "exp": NOW + 600,
        "nbf": NOW - 10,
        "iat": NOW - 10,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims.to_string()
}

/// An issuer's rules as the operator writes them.
pub(crate) fn rules(name: &str, changes: Value) -> JwtIssuer {
    let mut rules = json!({
        "issuer": name,
        "audiences": ["penstock"],
        "algorithms": ["RS256"],
        "keys": { "jwks": "keys.json" },
    });
    for (key, value) in changes.as_object().unwrap() {
        rules[key] = value.clone();
    }
    serde_json::from_value(rules).unwrap()
}

/// A verifier for one issuer with these public keys.
pub(crate) fn verifier(rules: JwtIssuer, jwks: &Value) -> Verifier {
    let keys = Keys::from_jwks(jwks.to_string().as_bytes()).unwrap();
    Verifier::new([(rules, Arc::new(KeySet::fixed(keys)))])
}
