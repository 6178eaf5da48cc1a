//! Where key sets are fetched from.

use std::fmt;
use std::str::FromStr;

use http::Uri;

use crate::unit::{HostPort, Invalid, shown, text_value};

/// The URL of a JWK Set: `https`, or `http` to this machine itself (`127.0.0.1`,
/// `[::1]`, `localhost`), since whoever can change the keys can be anyone. No user, no
/// fragment, at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JwksUrl {
    source: String,
    tls: bool,
    host: HostPort,
    target: String,
}

text_value!(JwksUrl, "a URL such as `https://id.example.com/jwks.json`", {
    "type": "string",
    "title": "JWKS URL",
    "description": "URL of a JWK Set: https, or http to this machine itself.",
    "pattern": r"^https?://[^@#]+$",
    "maxLength": 2048,
    "examples": ["https://id.example.com/.well-known/jwks.json"]
});

impl JwksUrl {
    const BYTES_MAX: usize = 2048;

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether to speak TLS.
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// Host and port to connect to.
    pub const fn host(&self) -> &HostPort {
        &self.host
    }

    /// What stands in the request line: path and query.
    pub fn target(&self) -> &str {
        &self.target
    }
}

impl FromStr for JwksUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| Invalid::new(format!("{} is not a JWKS URL: {why}", shown(text)));
        if text.len() > Self::BYTES_MAX {
            return Err(refuse("write at most 2048 bytes"));
        }
        if text.contains('#') {
            return Err(refuse("drop what follows `#`, no server sees it"));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| refuse("write it as in `https://id.example.com/jwks.json`"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse("start it with `https://`")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| refuse("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("drop the user, it would be a secret in this file"));
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let host: HostPort = format!("{}:{port}", authority.host())
            .parse()
            .map_err(|why| refuse(&format!("{why}")))?;
        if !tls && !is_loopback(&host) {
            return Err(refuse(
                "whoever is on the way could change the keys: write `https://`",
            ));
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            source: text.to_owned(),
            tls,
            host,
            target: target.to_owned(),
        })
    }
}

fn is_loopback(host: &HostPort) -> bool {
    host.host() == "localhost" || host.ip().is_some_and(|address| address.is_loopback())
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}
