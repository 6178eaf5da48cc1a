//! An issuer's keys at one moment.

use std::fmt;

use penstock_config::plugin::jwt::Algorithm;

use super::compact::Compact;
use super::fault::Fault;
use super::key::{Key, KeyFault};
use super::{jwks, pem};

/// Most keys of a set.
pub(super) const KEYS_MAX: usize = 256;

/// Most keys that one token is tried with. Several are when it names none, or when a
/// set has several of one name.
const TRIES_MAX: usize = 8;

/// An issuer's keys at one moment: at least one that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    keys: Box<[Key]>,
    skipped: Box<[Skipped]>,
}

/// A key of a set that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its place in the set, from 0.
    pub index: usize,
    /// Why.
    pub fault: KeyFault,
}

impl Keys {
    /// The public keys of a PEM file (RFC 7468 section 13), all of which must be of use
    /// for one of the algorithms.
    ///
    /// # Errors
    /// The file is malformed, or a key in it cannot be used.
    pub fn from_pem(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeysFault> {
        let keys = pem::keys(text)?;
        let unfit = |key: &Key| !algorithms.iter().any(|algorithm| key.fits(*algorithm));
        if let Some(index) = keys.iter().position(unfit) {
            return Err(KeysFault::Key(index, KeyFault::OtherUse));
        }
        Self::new(keys, Vec::new())
    }

    /// The public keys of a JWK Set (RFC 7517 section 5). Those that cannot be used are
    /// skipped: a set may well hold keys for other purposes.
    ///
    /// # Errors
    /// The text is no JWK Set, or none of its keys can be used.
    pub fn from_jwks(text: &[u8]) -> Result<Self, KeysFault> {
        let (keys, skipped) = jwks::public(text)?;
        Self::new(keys, skipped)
    }

    /// A shared secret: the bytes as they are; or a JWK Set of secrets, each with its own
    /// name, if they begin with `{`. All of them must be long enough for all of the
    /// algorithms.
    ///
    /// # Errors
    /// A secret is too short, or the text begins as a JWK Set and is none.
    pub fn from_secret(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeysFault> {
        let keys = match text.first() {
            Some(b'{') => jwks::secrets(text)?,
            _ => vec![Key {
                id: None,
                only: None,
                material: super::key::Material::secret(text)
                    .map_err(|fault| KeysFault::Key(0, fault))?,
            }],
        };
        // Each algorithm, not just one of them: otherwise a secret too short for HS512
        // would be found out by the first client that uses it.
        let short = |key: &Key| {
            !algorithms
                .iter()
                .all(|algorithm| key.material.fits(*algorithm))
        };
        if let Some(index) = keys.iter().position(short) {
            return Err(KeysFault::Key(index, KeyFault::ShortSecret));
        }
        Self::new(keys, Vec::new())
    }

    fn new(keys: Vec<Key>, skipped: Vec<Skipped>) -> Result<Self, KeysFault> {
        match keys.len() {
            0 => Err(match skipped.first() {
                Some(skipped) => KeysFault::Key(skipped.index, skipped.fault),
                None => KeysFault::Empty,
            }),
            1..=KEYS_MAX => Ok(Self {
                keys: keys.into(),
                skipped: skipped.into(),
            }),
            _ => Err(KeysFault::TooMany),
        }
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether one of them can check signatures of this algorithm.
    pub fn serve(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.fits(algorithm))
    }

    /// The keys of the set that are not used.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Checks that one of the keys signed the token, by one of the algorithms.
    ///
    /// A `kid` only chooses among the keys; keys without a name are tried for every
    /// token. No more than eight signatures are computed.
    ///
    /// # Errors
    /// [`Fault::Algorithm`], [`Fault::UnknownKey`], [`Fault::UnfitKey`] or
    /// [`Fault::Signature`].
    pub fn verify(&self, token: &Compact<'_>, algorithms: &[Algorithm]) -> Result<(), Fault> {
        let algorithm = token.header.algorithm.ok_or(Fault::Algorithm)?;
        if !algorithms.contains(&algorithm) {
            return Err(Fault::Algorithm);
        }
        let wanted = token.header.key_id.as_deref();
        let named = |key: &&Key| match (wanted, key.id.as_deref()) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        let mut tries = 0;
        let mut fault = Fault::UnknownKey;
        for key in self.keys.iter().filter(named) {
            if !key.fits(algorithm) {
                if fault == Fault::UnknownKey {
                    fault = Fault::UnfitKey;
                }
                continue;
            }
            if tries == TRIES_MAX {
                break;
            }
            tries += 1;
            if key
                .material
                .verifies(algorithm, token.signed, &token.signature)
            {
                return Ok(());
            }
            fault = Fault::Signature;
        }
        Err(fault)
    }

    /// Whether a fresh set might have a key that these lack: the token names one that
    /// is not here, or names none.
    pub(super) fn may_lack(&self, token: &Compact<'_>) -> bool {
        let wanted = token.header.key_id.as_deref();
        wanted.is_none() || !self.keys.iter().any(|key| key.id.as_deref() == wanted)
    }
}

/// Why a set of keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFault {
    /// Not what it should be.
    Malformed(&'static str),
    /// More than 256 keys.
    TooMany,
    /// No key at all.
    Empty,
    /// The key at this place, from 0.
    Key(usize, KeyFault),
}

impl fmt::Display for KeysFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => f.write_str(why),
            Self::TooMany => write!(f, "it holds more than {KEYS_MAX} keys"),
            Self::Empty => f.write_str("it holds no key"),
            Self::Key(index, fault) => {
                write!(f, "key {} cannot be used: {fault}", index + 1)
            }
        }
    }
}

impl std::error::Error for KeysFault {}
