//! The compact form of a signed token (RFC 7515 section 7.1): three parts with two
//! dots between them, each in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use penstock_config::plugin::jwt::Algorithm;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::json;

/// Longest token that is looked at, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Longest `kid`, in bytes. It is only ever compared with the names of keys that we
/// have, never part of a path, a query or a log line.
const KEY_ID_BYTES_MAX: usize = 256;

/// Members of a header that change what is signed or how it is read. Whoever does not
/// understand them must not accept the token (RFC 7515 section 4.1.11, RFC 7797
/// section 3, RFC 7516 section 4.1).
const EXTENSIONS: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// A token taken apart. Nothing in it is known to be true.
#[derive(Clone, Debug)]
pub struct Compact<'a> {
    /// What the header says that is of use here.
    pub(super) header: Header,
    /// The signed bytes: header and payload as they were sent.
    pub(super) signed: &'a [u8],
    /// The payload, decoded.
    pub(super) payload: Vec<u8>,
    /// The signature, decoded.
    pub(super) signature: Vec<u8>,
}

/// What is of use in a header. Keys and addresses of keys that a token brings along
/// (`jwk`, `jku`, `x5u`, `x5c` and their digests) are not: some issuers send them in
/// good faith, and anyone can sign with a key of their own, so they are not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// None for an algorithm that no issuer can be pinned to.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) key_id: Option<String>,
    pub(super) typ: Option<String>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. Reads each byte of it a few times at most.
    ///
    /// # Errors
    /// [`Fault::TooLong`], [`Fault::Parts`], [`Fault::Encoding`], [`Fault::Header`] or
    /// [`Fault::Extension`].
    pub fn parse(token: &'a [u8]) -> Result<Self, Fault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let mut dots = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(Fault::Parts);
        };
        let (signed, signature) = cut(token, second)?;
        let (header, payload) = cut(signed, first)?;
        let header = json::object(&decoded(header)?).ok_or(Fault::Header)?;
        Ok(Self {
            header: Header::read(&header)?,
            signed,
            payload: decoded(payload)?,
            signature: decoded(signature)?,
        })
    }

    /// The payload, whatever it is. Only what [`Keys::verify`](super::Keys::verify)
    /// accepted was said by the issuer.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// What stands before and after the byte at `place`.
fn cut(text: &[u8], place: usize) -> Result<(&[u8], &[u8]), Fault> {
    let (before, rest) = text.split_at_checked(place).ok_or(Fault::Parts)?;
    let (_, after) = rest.split_first().ok_or(Fault::Parts)?;
    Ok((before, after))
}

/// Decodes a part. This engine refuses padding, characters outside the alphabet and
/// last characters with bits that are not used.
fn decoded(part: &[u8]) -> Result<Vec<u8>, Fault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Encoding)
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, Fault> {
        if EXTENSIONS.iter().any(|name| members.contains_key(*name)) {
            return Err(Fault::Extension);
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Fault::Header),
        };
        let algorithm = text("alg")?.ok_or(Fault::Header)?;
        let key_id = text("kid")?;
        if key_id.is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(Fault::Header);
        }
        Ok(Self {
            algorithm: Algorithm::named(algorithm),
            key_id: key_id.map(str::to_owned),
            typ: text("typ")?.map(str::to_owned),
        })
    }
}
