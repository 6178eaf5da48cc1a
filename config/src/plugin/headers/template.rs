//! A header's value with places to fill in.

use std::fmt;
use std::str::FromStr;

use crate::unit::{Invalid, shown, text_value};

/// A header's value, in which `{name}` stands for what is known of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

text_value!(Template, "a header's value such as `{tenant}`", {
    "type": "string",
    "title": "header value",
    "description": "A header's value; `{consumer}`, `{tenant}`, `{key}`, `{roles}`, `{claim:NAME}`, `{client_certificate}`, `{route}`, `{model}`, `{request_id}` and `{client_address}` are filled in.",
    "minLength": 1,
    "maxLength": 4096,
    "examples": ["{tenant}", "team={tenant}; user={consumer}"]
});

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands for itself: visible ASCII and spaces.
    Text(String),
    /// What is filled in.
    Variable(Variable),
}

/// What a template can fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Who asks.
    Consumer,
    /// Whom that belongs to.
    Tenant,
    /// The public identifier of the key or token.
    Key,
    /// The roles, with commas between.
    Roles,
    /// A claim of the token, or an entry of the key's metadata.
    Claim(String),
    /// The name of the client's certificate.
    ClientCertificate,
    /// The route's name.
    Route,
    /// The `model` of the request's body.
    Model,
    /// The request's identifier.
    RequestId,
    /// The client's IP address.
    ClientAddress,
}

impl Template {
    const BYTES_MAX: usize = 4096;

    /// The parts, first to last.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// What is filled in, first to last.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable),
            Piece::Text(_) => None,
        })
    }
}

impl Variable {
    const NAMES: &str = "`consumer`, `tenant`, `key`, `roles`, `claim:NAME`, `client_certificate`, `route`, `model`, `request_id` and `client_address`";

    /// Whether it says who the client was found to be.
    pub fn is_of_identity(&self) -> bool {
        match self {
            Self::Consumer | Self::Tenant | Self::Key | Self::Roles | Self::Claim(_) => true,
            // An upstream goes by it as it does by a name.
            Self::ClientAddress => true,
            Self::ClientCertificate => true,
            Self::Route | Self::Model | Self::RequestId => false,
        }
    }
}

impl FromStr for Template {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: String| {
            let shown = shown(text);
            Err(Invalid::new(format!(
                "{shown} is not a header's value: {why}"
            )))
        };
        if text.is_empty() {
            return refuse("to have no such header, write `remove`".to_owned());
        }
        if text.len() > Self::BYTES_MAX {
            return refuse(format!("write at most {} bytes", Self::BYTES_MAX));
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return refuse("a space at its end would not arrive".to_owned());
        }
        // RFC 9110 section 5.5, without the obsolete bytes above ASCII.
        if let Some(c) = text.chars().find(|c| !c.is_ascii_graphic() && *c != ' ') {
            return refuse(format!("a header cannot hold {c:?}"));
        }
        match pieces(text) {
            Ok(pieces) => Ok(Self(pieces)),
            Err(why) => refuse(why),
        }
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, found) = rest.split_at(at);
        plain.push_str(before);
        if let Some(brace) = ["{{", "}}"].iter().find(|brace| found.starts_with(**brace)) {
            plain.push_str(&brace[..1]);
            rest = &found[2..];
            continue;
        }
        let named = found
            .strip_prefix('{')
            .and_then(|named| named.split_once('}'));
        let Some((name, after)) = named else {
            return Err(match found.starts_with('{') {
                true => "a `{` is not closed: write `{{` for the character".to_owned(),
                false => "a `}` closes nothing: write `}}` for the character".to_owned(),
            });
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Variable(name.parse()?));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "consumer" => Self::Consumer,
            "tenant" => Self::Tenant,
            "key" => Self::Key,
            "roles" => Self::Roles,
            "client_certificate" => Self::ClientCertificate,
            "route" => Self::Route,
            "model" => Self::Model,
            "request_id" => Self::RequestId,
            "client_address" => Self::ClientAddress,
            _ => match name.strip_prefix("claim:") {
                Some("") => return Err("`{claim:}` names no claim".to_owned()),
                Some(claim) if claim.contains(['{', '}']) => {
                    return Err("a claim's name cannot hold braces".to_owned());
                }
                Some(claim) => Self::Claim(claim.to_owned()),
                None => {
                    let names = Self::NAMES;
                    let name = shown(&format!("{{{name}}}"));
                    return Err(format!("{name} is not known: there are {names}"));
                }
            },
        })
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consumer => "consumer",
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Roles => "roles",
            Self::Claim(name) => return write!(f, "claim:{name}"),
            Self::ClientCertificate => "client_certificate",
            Self::Route => "route",
            Self::Model => "model",
            Self::RequestId => "request_id",
            Self::ClientAddress => "client_address",
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Piece::Variable(variable) => write!(f, "{{{variable}}}"),
        })
    }
}
