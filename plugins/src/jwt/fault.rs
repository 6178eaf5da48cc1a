//! Why a token is refused.

use std::fmt;

/// Why a token is refused, in words that hold nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Longer than [`TOKEN_BYTES_MAX`](super::TOKEN_BYTES_MAX).
    TooLong,
    /// Not three parts with two dots between them. Encrypted tokens have five.
    Parts,
    /// A part is not base64url as RFC 7515 section 2 has it: padded, with other
    /// characters, or with bits that no encoder leaves set.
    Encoding,
    /// The header is not a JSON object of sane members, each once.
    Header,
    /// The header asks for something that must be understood (`crit`, `b64`) or undone
    /// (`zip`, `enc`), and is not.
    Extension,
    /// `typ` names another kind of token.
    Type,
    /// The claims are not a JSON object with each member once.
    Claims,
    /// `iss` is not the name of a configured issuer.
    Issuer,
    /// `alg` is not one of those that the issuer is pinned to.
    Algorithm,
    /// The issuer has no key of the token's `kid`.
    UnknownKey,
    /// The issuer's keys of the token's `kid` are not for its `alg`.
    UnfitKey,
    /// The signature is not by any of the issuer's keys.
    Signature,
    /// `exp` is missing, or a date is not a number between the years 1970 and 9999.
    Date,
    /// The token is no longer valid.
    Expired,
    /// The token is not valid yet, or from the future.
    Premature,
    /// The token is for someone else.
    Audience,
    /// A claim that the configuration requires is missing or has another value.
    Required,
    /// A claim that says who the client is or what it may do is missing or cannot be
    /// read.
    Identity,
    /// The issuer's keys have not been fetched yet, or are being fetched because of
    /// this token: it may be good in a moment.
    KeysPending,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 19] = [
        Self::TooLong,
        Self::Parts,
        Self::Encoding,
        Self::Header,
        Self::Extension,
        Self::Type,
        Self::Claims,
        Self::Issuer,
        Self::Algorithm,
        Self::UnknownKey,
        Self::UnfitKey,
        Self::Signature,
        Self::Date,
        Self::Expired,
        Self::Premature,
        Self::Audience,
        Self::Required,
        Self::Identity,
        Self::KeysPending,
    ];

    /// What is wrong, for the log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "the token is too long",
            Self::Parts => "the token does not have three parts",
            Self::Encoding => "the token is not canonical base64url",
            Self::Header => "the token's header is malformed",
            Self::Extension => "the token's header uses an extension that is not supported",
            Self::Type => "the token is of another type",
            Self::Claims => "the token's claims are malformed",
            Self::Issuer => "the token's issuer is not configured",
            Self::Algorithm => "the token's algorithm is not allowed for its issuer",
            Self::UnknownKey => "the token's key is not known",
            Self::UnfitKey => "the token's key is not for its algorithm",
            Self::Signature => "the token's signature is wrong",
            Self::Date => "the token's dates are missing or malformed",
            Self::Expired => "the token has expired",
            Self::Premature => "the token is not valid yet",
            Self::Audience => "the token is for another audience",
            Self::Required => "a claim that is required is missing or different",
            Self::Identity => "a claim that tells who the client is is missing or malformed",
            Self::KeysPending => "the issuer's keys are being fetched",
        }
    }

    /// Whether what was looked at is no token at all.
    pub const fn is_of_form(self) -> bool {
        matches!(
            self,
            Self::TooLong | Self::Parts | Self::Encoding | Self::Header
        )
    }

    /// Whether it is the keys that are at fault and not the token, so that the same
    /// token may be good a moment later.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::KeysPending)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Fault {}
