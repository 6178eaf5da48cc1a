//! What an upstream knows the proxy by.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::field;
use crate::unit::{HeaderName, Name, Secret, Weight};

/// One credential of an upstream: where it goes, and where the secret is to be found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Credential {
    /// Name in logs and metrics. Default: its place in the list, from 1.
    pub name: Option<Name>,
    /// Share of the requests, relative to the other credentials. Default: 1.
    pub weight: Weight,
    /// The header that carries it.
    pub kind: Kind,
}

/// How a credential is carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `authorization: Bearer SECRET`, as OpenAI's API and most others read it
    /// (RFC 6750 section 2.1).
    Bearer(Secret),
    /// A header of any name, with the secret as its whole value.
    Header(HeaderName, Secret),
    /// `api-key: SECRET`, as Azure's API reads it.
    Azure(Secret),
    /// `x-goog-api-key: SECRET`, as Google's API reads it.
    Google(Secret),
    /// `x-api-key: SECRET`, as Anthropic's API reads it.
    Anthropic(Secret),
}

impl Kind {
    /// The header that carries it.
    pub fn header(&self) -> &str {
        match self {
            Self::Bearer(_) => "authorization",
            Self::Header(name, _) => name.as_str(),
            Self::Azure(_) => "api-key",
            Self::Google(_) => "x-goog-api-key",
            Self::Anthropic(_) => "x-api-key",
        }
    }

    /// What stands before the secret in the header's value.
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "Bearer ",
            Self::Header(..) | Self::Azure(_) | Self::Google(_) | Self::Anthropic(_) => "",
        }
    }

    /// Where the secret is to be found.
    pub fn secret(&self) -> &Secret {
        match self {
            Self::Bearer(secret)
            | Self::Header(_, secret)
            | Self::Azure(secret)
            | Self::Google(secret)
            | Self::Anthropic(secret) => secret,
        }
    }
}

impl fmt::Display for Credential {
    /// The header and the reference; the reference is no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.kind.header(), self.kind.secret())
    }
}

/// The spelling: one of the kinds as a key.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Name>,
    weight: Weight,
    #[serde(skip_serializing_if = "Option::is_none")]
    bearer: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    azure: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    google: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anthropic: Option<Secret>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(deserialize_with = "field::own_header")]
    name: HeaderName,
    value: Secret,
}

impl TryFrom<Written> for Credential {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written {
            name,
            weight,
            bearer,
            header,
            azure,
            google,
            anthropic,
        } = written;
        let kinds = [
            bearer.map(Kind::Bearer),
            header.map(|header| Kind::Header(header.name, header.value)),
            azure.map(Kind::Azure),
            google.map(Kind::Google),
            anthropic.map(Kind::Anthropic),
        ];
        let mut given = kinds.into_iter().flatten();
        let (Some(kind), None) = (given.next(), given.next()) else {
            return Err(
                "a credential is one of `bearer`, `header`, `azure`, `google` and `anthropic`, as in `bearer: { env: OPENAI_API_KEY }`"
                    .to_owned(),
            );
        };
        Ok(Self { name, weight, kind })
    }
}

impl From<Credential> for Written {
    fn from(credential: Credential) -> Self {
        let Credential { name, weight, kind } = credential;
        let mut written = Self {
            name,
            weight,
            ..Self::default()
        };
        match kind {
            Kind::Bearer(secret) => written.bearer = Some(secret),
            Kind::Header(name, value) => written.header = Some(Header { name, value }),
            Kind::Azure(secret) => written.azure = Some(secret),
            Kind::Google(secret) => written.google = Some(secret),
            Kind::Anthropic(secret) => written.anthropic = Some(secret),
        }
        written
    }
}

/// Most credentials of one upstream.
const CREDENTIALS_MAX: usize = 64;

/// The credentials of an upstream, if it has any.
pub(super) fn list<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Credential>, D::Error> {
    let refuse = |why: String| Err(serde::de::Error::custom(why));
    let list: Vec<Credential> = field::at_least_one(deserializer)?;
    if list.len() > CREDENTIALS_MAX {
        let count = list.len();
        return refuse(format!(
            "{count} credentials are too many: at most {CREDENTIALS_MAX} are read"
        ));
    }
    if list.iter().all(|credential| credential.weight.get() == 0) {
        return refuse(
            "every credential has the weight 0, so that none can be chosen: give one of them a greater `weight`"
                .to_owned(),
        );
    }
    let names = || {
        list.iter()
            .filter_map(|credential| credential.name.as_ref())
    };
    for (index, name) in names().enumerate() {
        if names().take(index).any(|earlier| earlier == name) {
            return refuse(format!("two credentials are named `{name}`"));
        }
    }
    Ok(list)
}

impl JsonSchema for Credential {
    fn schema_name() -> Cow<'static, str> {
        "Credential".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let secret = generator.subschema_for::<Secret>();
        let name = generator.subschema_for::<Name>();
        let mut weight = generator.subschema_for::<Weight>();
        weight.insert("default".to_owned(), 1.into());
        let header = generator.subschema_for::<HeaderName>();
        let carried = |description: &str| {
            let mut value = secret.clone();
            value.insert("description".to_owned(), description.into());
            value
        };
        json_schema!({
            "type": "object",
            "description": "One credential of an upstream: where it goes, and where the secret is to be found.",
            "properties": {
                "name": name,
                "weight": weight,
                "bearer": carried("`authorization: Bearer SECRET`, as most APIs read it."),
                "header": {
                    "type": "object",
                    "description": "A header of any name, with the secret as its whole value.",
                    "properties": { "name": header, "value": secret },
                    "required": ["name", "value"],
                    "additionalProperties": false,
                },
                "azure": carried("`api-key: SECRET`, as Azure's API reads it."),
                "google": carried("`x-goog-api-key: SECRET`, as Google's API reads it."),
                "anthropic": carried("`x-api-key: SECRET`, as Anthropic's API reads it."),
            },
            "additionalProperties": false,
            "oneOf": [
                { "required": ["bearer"] },
                { "required": ["header"] },
                { "required": ["azure"] },
                { "required": ["google"] },
                { "required": ["anthropic"] },
            ],
        })
    }
}
