//! Public keys as PEM (RFC 7468 section 13): SubjectPublicKeyInfo (RFC 5280 section
//! 4.1) in DER, of which this reads as much as the keys of tokens need.

use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::{PemObject, SectionKind};

use super::key::{Key, KeyFault, Material, UNCOMPRESSED};
use super::keys::{KEYS_MAX, KeysFault};

/// Reads every public key of a file. Anything else in it is a mistake: a certificate
/// is no key, and a private key does not belong here.
pub(super) fn keys(text: &[u8]) -> Result<Vec<Key>, KeysFault> {
    let mut keys = Vec::new();
    for (index, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(text).enumerate() {
        let (kind, der) = section.map_err(|_| KeysFault::Malformed("it is not PEM"))?;
        if index == KEYS_MAX {
            return Err(KeysFault::TooMany);
        }
        let material = match kind {
            SectionKind::PublicKey => public_key(&SubjectPublicKeyInfoDer::from(der)),
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                Err(KeyFault::Private)
            }
            _ => Err(KeyFault::Unsupported),
        };
        keys.push(Key {
            id: None,
            only: None,
            material: material.map_err(|fault| KeysFault::Key(index, fault))?,
        });
    }
    Ok(keys)
}

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const NULL: u8 = 0x05;

/// `rsaEncryption` (RFC 8017 appendix A.1).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// `id-ecPublicKey` (RFC 5480 section 2.1.1).
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// `secp256r1` (RFC 5480 section 2.1.1.1).
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// `secp384r1` (RFC 5480 section 2.1.1.1).
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// `id-Ed25519` (RFC 8410 section 3).
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

fn public_key(der: &[u8]) -> Result<Material, KeyFault> {
    let info = whole(der, SEQUENCE)?;
    let (algorithm, info) = element(info, SEQUENCE)?;
    let bits = whole(info, BIT_STRING)?;
    // Keys are whole bytes: none of the last one's bits is unused.
    let key = bits.strip_prefix(&[0]).ok_or(KeyFault::Malformed)?;
    let (kind, parameters) = element(algorithm, OBJECT_ID)?;
    match kind {
        RSA if whole(parameters, NULL) == Ok(&[]) => {
            let numbers = whole(key, SEQUENCE)?;
            let (n, rest) = element(numbers, INTEGER)?;
            Material::rsa(n, whole(rest, INTEGER)?)
        }
        EC => {
            let point = key.strip_prefix(&[UNCOMPRESSED]);
            let point = point.ok_or(KeyFault::Unsupported)?;
            let (x, y) = point.split_at(point.len() / 2);
            match whole(parameters, OBJECT_ID)? {
                P256 => Material::point("P-256", x, y),
                P384 => Material::point("P-384", x, y),
                _ => Err(KeyFault::Unsupported),
            }
        }
        ED25519 if parameters.is_empty() => Material::ed25519(key),
        RSA | ED25519 => Err(KeyFault::Malformed),
        _ => Err(KeyFault::Unsupported),
    }
}

/// The contents of the one element that `der` is.
fn whole(der: &[u8], tag: u8) -> Result<&[u8], KeyFault> {
    match element(der, tag)? {
        (contents, []) => Ok(contents),
        _ => Err(KeyFault::Malformed),
    }
}

/// The contents of the element that `der` begins with, and what follows it (X.690
/// sections 8.1.3 and 10.1: definite lengths in their shortest form, here of at most
/// two bytes).
fn element(der: &[u8], tag: u8) -> Result<(&[u8], &[u8]), KeyFault> {
    let (length, rest) = match der {
        [found, length @ 0..=0x7f, rest @ ..] if *found == tag => (usize::from(*length), rest),
        [found, 0x81, length @ 0x80..=0xff, rest @ ..] if *found == tag => {
            (usize::from(*length), rest)
        }
        [found, 0x82, high @ 1..=0xff, low, rest @ ..] if *found == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return Err(KeyFault::Malformed),
    };
    rest.split_at_checked(length).ok_or(KeyFault::Malformed)
}
