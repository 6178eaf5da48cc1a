//! Keys that check signatures.

use std::fmt;

use penstock_config::plugin::jwt::{Algorithm, Family};
use ring::{hmac, signature};

/// Least size of an RSA modulus, in bits (RFC 7518 section 3.3).
const RSA_BITS_MIN: usize = 2048;
/// Greatest size of an RSA modulus, in bits: the time to check a signature grows with
/// its square.
const RSA_BITS_MAX: usize = 8192;
/// Longest RSA exponent, in bytes. 65537 has three; ring takes up to 33 bits.
const RSA_EXPONENT_BYTES_MAX: usize = 4;
/// Longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 4096;

/// A key, and what it may be used for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The name that tokens know it by; none if it is to be tried for all.
    pub(super) id: Option<Box<str>>,
    /// The one algorithm that it is for, if its publisher says so.
    pub(super) only: Option<Algorithm>,
    pub(super) material: Material,
}

/// The key itself. Which kind it is decides which algorithms it can serve, so that a
/// public key is never taken for a secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Material {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Box<[u8]>, e: Box<[u8]> },
    /// An uncompressed point on P-256 (SEC 1 section 2.3.3).
    P256(Box<[u8]>),
    /// An uncompressed point on P-384.
    P384(Box<[u8]>),
    /// A public key of RFC 8032 section 5.1.5.
    Ed25519(Box<[u8]>),
    /// A shared secret.
    Secret(Box<[u8]>),
}

impl Key {
    /// Whether it may check signatures of this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.only.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }
}

impl Material {
    /// An RSA key that is strong enough. Leading zeros are dropped: some issuers keep
    /// the sign byte of their big numbers.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyFault> {
        let (n, e) = (significant(n), significant(e));
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if bits < RSA_BITS_MIN {
            return Err(KeyFault::ShortModulus);
        }
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        if bits > RSA_BITS_MAX || !odd(n) {
            return Err(KeyFault::Malformed);
        }
        // 1 signs everything, and an even exponent belongs to no key.
        if e == [1] || !odd(e) || e.len() > RSA_EXPONENT_BYTES_MAX {
            return Err(KeyFault::Exponent);
        }
        Ok(Self::Rsa {
            n: n.into(),
            e: e.into(),
        })
    }

    /// A point on P-256 (32 bytes each) or P-384 (48 bytes each).
    pub(super) fn point(curve: &str, x: &[u8], y: &[u8]) -> Result<Self, KeyFault> {
        let point = [&[UNCOMPRESSED], x, y].concat().into_boxed_slice();
        match (curve, x.len(), y.len()) {
            ("P-256", 32, 32) => Ok(Self::P256(point)),
            ("P-384", 48, 48) => Ok(Self::P384(point)),
            ("P-256" | "P-384", _, _) => Err(KeyFault::Malformed),
            _ => Err(KeyFault::Unsupported),
        }
    }

    /// A key on Curve25519.
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, KeyFault> {
        match x.len() {
            32 => Ok(Self::Ed25519(x.into())),
            _ => Err(KeyFault::Malformed),
        }
    }

    /// A secret that is as long as the hash of the weakest algorithm at least; those
    /// that need a longer one do not fit a shorter one (RFC 7518 section 3.2).
    pub(super) fn secret(bytes: &[u8]) -> Result<Self, KeyFault> {
        match bytes.len() {
            0..32 => Err(KeyFault::ShortSecret),
            32..=SECRET_BYTES_MAX => Ok(Self::Secret(bytes.into())),
            _ => Err(KeyFault::Malformed),
        }
    }

    /// Whether the key can serve this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => matches!(algorithm.family(), Family::RsaPkcs1 | Family::RsaPss),
            Self::P256(_) => algorithm == Algorithm::ES256,
            Self::P384(_) => algorithm == Algorithm::ES384,
            Self::Ed25519(_) => algorithm == Algorithm::EdDSA,
            Self::Secret(secret) => match algorithm {
                Algorithm::HS256 => secret.len() >= 32,
                Algorithm::HS384 => secret.len() >= 48,
                Algorithm::HS512 => secret.len() >= 64,
                _ => false,
            },
        }
    }

    /// Whether `signed` was signed with this key's other half by `algorithm`.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let plain = |parameters, key: &[u8]| {
            signature::UnparsedPublicKey::new(parameters, key)
                .verify(signed, signature)
                .is_ok()
        };
        match self {
            Self::Rsa { n, e } => rsa_parameters(algorithm).is_some_and(|parameters| {
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(parameters, signed, signature).is_ok()
            }),
            Self::P256(point) => plain(&signature::ECDSA_P256_SHA256_FIXED, point),
            Self::P384(point) => plain(&signature::ECDSA_P384_SHA384_FIXED, point),
            Self::Ed25519(key) => plain(&signature::ED25519, key),
            Self::Secret(secret) => hmac_algorithm(algorithm).is_some_and(|algorithm| {
                // In constant time, and over the whole tag.
                hmac::verify(&hmac::Key::new(algorithm, secret), signed, signature).is_ok()
            }),
        }
    }
}

/// First byte of an uncompressed point (SEC 1 section 2.3.3).
pub(super) const UNCOMPRESSED: u8 = 4;

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

fn hmac_algorithm(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(hmac::HMAC_SHA256),
        Algorithm::HS384 => Some(hmac::HMAC_SHA384),
        Algorithm::HS512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}

impl fmt::Debug for Key {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("only", &self.only)
            .field("material", &self.material)
            .finish()
    }
}

impl fmt::Debug for Material {
    /// Only the kind: the others are public, but a secret is not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa { .. } => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::Ed25519(_) => "Ed25519",
            Self::Secret(_) => "secret",
        })
    }
}

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyFault {
    /// Not a key, or with parts of the wrong size.
    Malformed,
    /// Of a type or on a curve that no algorithm here uses.
    Unsupported,
    /// For encryption, or for another algorithm.
    OtherUse,
    /// An RSA modulus of less than 2048 bits (RFC 7518 section 3.3).
    ShortModulus,
    /// An RSA exponent that is 1, even or too great.
    Exponent,
    /// A secret shorter than 256 bits (RFC 7518 section 3.2).
    ShortSecret,
    /// The private half of a key, where only the public one belongs.
    Private,
    /// A shared secret among public keys, where anyone may read it.
    Misplaced,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is malformed",
            Self::Unsupported => "its type or curve is not supported",
            Self::OtherUse => "it is for another use or algorithm",
            Self::ShortModulus => "its RSA modulus is shorter than 2048 bits",
            Self::Exponent => "its RSA exponent is not an odd number from 3 to 2^32",
            Self::ShortSecret => "a secret must be at least 32 bytes long, and no shorter than the hash of its algorithm",
            Self::Private => "it holds a private key, which is to be kept by its owner",
            Self::Misplaced => "a secret and public keys cannot stand in one set",
        })
    }
}

impl std::error::Error for KeyFault {}
