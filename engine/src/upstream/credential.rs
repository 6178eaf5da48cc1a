//! What an upstream knows the proxy by: read when a generation is built, shown nowhere.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use penstock_config::upstream as config;
use penstock_plugins::build::{Materials, Unreadable};
use penstock_plugins::split::Distribution;

/// Longest secret.
const SECRET_BYTES_MAX: usize = 8 * 1024;

/// Shortest secret that is looked for in answers: a shorter one stands in many by chance.
const SOUGHT_BYTES_MIN: usize = 8;

/// The credentials of an upstream.
pub struct Credentials {
    choice: Distribution<Arc<Credential>>,
    /// The headers that carry any of them.
    headers: Box<[HeaderName]>,
}

/// One of them.
pub struct Credential {
    /// Its name, or its place in the list.
    pub name: Box<str>,
    /// Where it comes from and goes, without the secret.
    pub reference: Box<str>,
    header: HeaderName,
    /// Marked as sensitive, so that no `Debug` of a head shows it.
    value: HeaderValue,
    secret: Box<[u8]>,
}

impl Credentials {
    /// Reads the credentials of an upstream; none if it has none.
    ///
    /// # Errors
    /// One of them cannot be read, or cannot stand in a header.
    pub fn read(
        configured: &[config::Credential],
        materials: &dyn Materials,
    ) -> Result<Option<Credentials>, CredentialError> {
        if configured.is_empty() {
            return Ok(None);
        }
        let mut read = Vec::with_capacity(configured.len());
        for (place, credential) in configured.iter().enumerate() {
            let name = match &credential.name {
                Some(name) => name.to_string(),
                None => (place + 1).to_string(),
            };
            let built = Credential::read(&name, credential, materials).map_err(|cause| {
                let name = name.clone();
                CredentialError { name, cause }
            })?;
            read.push((credential.weight, Arc::new(built)));
        }
        let headers = read.iter().map(|(_, built)| built.header.clone()).collect();
        let choice = Distribution::new(read).map_err(|_| CredentialError {
            name: String::new(),
            cause: Cause::NoWeight,
        })?;
        Ok(Some(Credentials { choice, headers }))
    }

    /// The credential whose turn it is.
    pub fn pick(&self) -> &Arc<Credential> {
        self.choice.pick()
    }

    /// The headers that carry any of them.
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Whether there is a choice.
    pub fn are_several(&self) -> bool {
        self.choice.targets().len() > 1
    }

    /// Those that can be picked, with their shares in percent.
    pub fn shares(&self) -> impl Iterator<Item = (f64, &Arc<Credential>)> {
        self.choice.shares()
    }
}

impl Credential {
    fn read(
        name: &str,
        configured: &config::Credential,
        materials: &dyn Materials,
    ) -> Result<Credential, Cause> {
        let kind = &configured.kind;
        let secret = materials.secret(kind.secret()).map_err(Cause::Unreadable)?;
        let secret = secret.expose();
        if secret.len() > SECRET_BYTES_MAX {
            return Err(Cause::TooLong);
        }
        // A space within is as likely a file of another kind as a secret.
        if !secret.iter().all(u8::is_ascii_graphic) {
            return Err(Cause::NotAHeader);
        }
        let value = [kind.scheme().as_bytes(), secret].concat();
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| Cause::NotAHeader)?;
        value.set_sensitive(true);
        Ok(Credential {
            name: name.into(),
            reference: configured.to_string().into(),
            header: kind.header().parse().map_err(|_| Cause::NotAHeader)?,
            value,
            secret: secret.into(),
        })
    }

    /// The header that carries it.
    pub fn header(&self) -> (HeaderName, HeaderValue) {
        (self.header.clone(), self.value.clone())
    }

    /// The headers of an answer that hold the secret, under whatever name.
    pub fn leaks(&self, answer: &HeaderMap) -> Vec<HeaderName> {
        if self.secret.len() < SOUGHT_BYTES_MIN {
            return Vec::new();
        }
        let holds = |value: &HeaderValue| {
            value.len() >= self.secret.len()
                && memchr::memmem::find(value.as_bytes(), &self.secret).is_some()
        };
        let leaking = answer.iter().filter(|(_, value)| holds(value));
        leaking.map(|(name, _)| name.clone()).collect()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}: {})", self.name, self.reference)
    }
}

/// Why a credential cannot be used.
#[derive(Debug)]
pub struct CredentialError {
    name: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Unreadable(Unreadable),
    TooLong,
    NotAHeader,
    NoWeight,
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::NoWeight => f.write_str("no credential has a weight above zero"),
            Cause::Unreadable(error) => write!(f, "credential `{}`: {error}", self.name),
            Cause::TooLong => write!(
                f,
                "credential `{}`: it is longer than {SECRET_BYTES_MAX} bytes",
                self.name
            ),
            Cause::NotAHeader => write!(
                f,
                "credential `{}`: it holds characters that cannot stand in it: is it one line of visible ASCII?",
                self.name
            ),
        }
    }
}

impl std::error::Error for CredentialError {}

#[cfg(test)]
mod tests {
    use penstock_plugins::build::Given;

    use super::*;

    const SECRET: &str = "sk-very-secret-0123456789";

    fn read(configured: &str, secret: &str) -> Result<Option<Credentials>, CredentialError> {
        let given = Given {
            environment: [("KEY".to_owned(), secret.to_owned())].into(),
            ..Given::default()
        };
        let configured: Vec<_> = serde_json::from_str(configured).unwrap();
        Credentials::read(&configured, &given)
    }

    #[test]
    fn a_credential_is_carried_and_never_shown() {
        let read = read(r#"[{"bearer": {"env": "KEY"}}]"#, &format!("{SECRET}\n"));
        let credentials = read.unwrap().unwrap();
        let credential = credentials.pick();
        let (name, value) = credential.header();
        assert_eq!(name, "authorization");
        assert_eq!(value, format!("Bearer {SECRET}").as_str());
        for shown in [format!("{credential:?}"), format!("{value:?}")] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
        assert_eq!(
            format!("{credential:?}"),
            "Credential(1: authorization from environment variable KEY)"
        );
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_without_being_shown() {
        let long = "x".repeat(SECRET_BYTES_MAX + 1);
        for secret in [
            "",
            "\n",
            "two words",
            "a\r\nx-admin: 1",
            "ключ-0123456789",
            &long,
        ] {
            let refused = read(r#"[{"name": "main", "azure": {"env": "KEY"}}]"#, secret);
            let told = refused.err().expect(secret).to_string();
            assert!(told.starts_with("credential `main`: "), "{told}");
            let leaks = secret.trim().len() > 2 && told.contains(secret.trim());
            assert!(!leaks, "{told}");
        }
        let refused = read(r#"[{"azure": {"env": "OTHER"}}]"#, "x").err().unwrap();
        assert_eq!(
            refused.to_string(),
            "credential `1`: environment variable OTHER cannot be read: it is not set"
        );
    }

    #[test]
    fn an_answer_that_repeats_it_is_found_out() {
        let credentials = read(r#"[{"google": {"env": "KEY"}}]"#, SECRET)
            .unwrap()
            .unwrap();
        let mut answer = HeaderMap::new();
        answer.insert("x-echo", format!("got {SECRET}!").parse().unwrap());
        answer.insert("x-other", "sk-very-secret".parse().unwrap());
        assert_eq!(credentials.pick().leaks(&answer), ["x-echo"]);
        let short = read(r#"[{"google": {"env": "KEY"}}]"#, "abc")
            .unwrap()
            .unwrap();
        answer.insert("x-echo", "abc".parse().unwrap());
        assert!(
            short.pick().leaks(&answer).is_empty(),
            "a word of any answer"
        );
    }
}
