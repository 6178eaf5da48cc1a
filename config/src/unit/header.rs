//! Names of header fields and of methods.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// Name of a header field: a token (RFC 9110 section 5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderName(http::HeaderName);

text_value!(HeaderName, "a header's name", {
    "type": "string",
    "title": "header name",
    "description": "Name of a header field; upper and lower case are the same.",
    "pattern": r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$",
    "examples": ["x-request-id", "authorization"]
});

impl HeaderName {
    /// Longest name. The `http` crate takes more, but no server does.
    const CHARS_MAX: usize = 256;
    /// Names whose fields mean something for one connection or frame the message
    /// (RFC 9110 section 7.6.1, RFC 9112 section 6). A proxy must own them.
    const OF_CONNECTION: [&str; 8] = [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];

    /// For defaults, which are constants of this crate.
    pub(crate) const fn from_static(name: &'static str) -> Self {
        Self(http::HeaderName::from_static(name))
    }

    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the field belongs to one connection or frames the message, so that
    /// nothing that an operator configures may set it.
    pub fn is_of_connection(&self) -> bool {
        Self::OF_CONNECTION.contains(&self.as_str())
    }
}

impl FromStr for HeaderName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > Self::CHARS_MAX {
            return Err(Invalid::new(format!(
                "{} is not a header's name: write at most 256 characters",
                shown(text)
            )));
        }
        if let Some(name) = text.strip_suffix(':') {
            return Err(Invalid::new(format!(
                "{} is not a header's name: drop the colon and write {}",
                shown(text),
                shown(name)
            )));
        }
        text.parse().map(Self).map_err(|_| {
            Invalid::new(format!(
                "{} is not a header's name: use letters, digits and `-`",
                shown(text)
            ))
        })
    }
}

impl From<HeaderName> for http::HeaderName {
    fn from(name: HeaderName) -> Self {
        name.0
    }
}

impl AsRef<http::HeaderName> for HeaderName {
    fn as_ref(&self) -> &http::HeaderName {
        &self.0
    }
}

impl Ord for HeaderName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for HeaderName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request method (RFC 9110 section 9.1): a token in upper case, as in `POST`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Method(http::Method);

text_value!(Method, "a method such as `POST`", {
    "type": "string",
    "title": "method",
    "description": "A request method, in upper case.",
    "pattern": r"^[!#$%&'*+\-.^_`|~0-9A-Z]{1,32}$",
    "examples": ["GET", "POST"]
});

impl Method {
    const CHARS_MAX: usize = 32;

    /// The method as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Method {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.bytes().any(|b| b.is_ascii_lowercase()) {
            let upper = text.to_ascii_uppercase();
            return Err(Invalid::new(format!(
                "{} is not a method: methods are in upper case, write {}",
                shown(text),
                shown(&upper)
            )));
        }
        match http::Method::from_bytes(text.as_bytes()) {
            Ok(method) if text.len() <= Self::CHARS_MAX => Ok(Self(method)),
            _ => Err(Invalid::new(format!(
                "{} is not a method: write one as in `POST`",
                shown(text)
            ))),
        }
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        method.0
    }
}

impl AsRef<http::Method> for Method {
    fn as_ref(&self) -> &http::Method {
        &self.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
