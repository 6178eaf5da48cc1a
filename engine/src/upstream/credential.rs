//! What an upstream knows the proxy by: read when a generation is built, shown nowhere.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use penstock_config::upstream as config;
use penstock_plugins::Shared;
use penstock_plugins::build::{Materials, Unreadable};
use penstock_plugins::split::{Distribution, Turns};

use super::pauses::{Pauses, Why};

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
    pauses: Arc<Pauses>,
}

/// Tells secrets of one name apart, in this process alone.
static TELLS_APART: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Credentials {
    /// Reads the credentials of an upstream; none if it has none. Where each is left alone is
    /// found in `shared`.
    ///
    /// # Errors
    /// One of them cannot be read, or cannot stand in a header.
    pub fn read(
        upstream: &str,
        configured: &[config::Credential],
        materials: &dyn Materials,
        shared: &Shared,
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
            let built = Credential::read(upstream, &name, credential, materials, shared);
            let built = built.map_err(|cause| CredentialError { name, cause })?;
            read.push((credential.weight, Arc::new(built)));
        }
        let headers = read.iter().map(|(_, built)| built.header.clone()).collect();
        let choice = Distribution::new(read).map_err(|_| CredentialError {
            name: String::new(),
            cause: Cause::NoWeight,
        })?;
        // Each is to be used at every endpoint, whose turns are taken along with these.
        let turns = shared.keep("credentials", upstream, Turns::aside);
        let choice = choice.continuing(turns);
        Ok(Some(Credentials { choice, headers }))
    }

    /// The credential whose turn it is at a server: of those that are not left alone there
    /// and have not failed the request, else of those that have not failed it, else of all.
    pub fn pick(
        &self,
        server: &str,
        now: Duration,
        failed: impl Fn(&Arc<Credential>) -> bool,
    ) -> &Arc<Credential> {
        let turn = self.choice.pick();
        let is_out = |credential: &Arc<Credential>| credential.is_paused(server, now);
        if !self.are_several() || !is_out(turn) && !failed(turn) {
            return turn;
        }
        let choice = &self.choice;
        choice
            .pick_excluding(|credential| is_out(credential) || failed(credential))
            .or_else(|| choice.pick_excluding(failed))
            .unwrap_or(turn)
    }

    /// Whether there is one for a server that is not left alone there and has not failed the
    /// request.
    pub fn has_other(
        &self,
        server: &str,
        now: Duration,
        failed: impl Fn(&Arc<Credential>) -> bool,
    ) -> bool {
        let mut all = self.choice.targets();
        all.any(|credential| !credential.is_paused(server, now) && !failed(credential))
    }

    /// When the first of them may be used again at a server; none if one may be now.
    pub fn paused_until(&self, server: &str, now: Duration) -> Option<Duration> {
        let ends = self.choice.targets();
        let ends = ends.map(|credential| credential.pauses.until(server, now));
        ends.collect::<Option<Vec<_>>>()?.into_iter().min()
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
        upstream: &str,
        name: &str,
        configured: &config::Credential,
        materials: &dyn Materials,
        shared: &Shared,
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
        // What is said of one secret does not hold for the next of that name.
        let kept = format!("{upstream} {name} {:016x}", TELLS_APART.hash_one(&value));
        let pauses = || Pauses::new(upstream, name);
        Ok(Credential {
            pauses: shared.keep("credential", &kept, pauses),
            name: name.into(),
            reference: configured.to_string().into(),
            header: kind.header().parse().map_err(|_| Cause::NotAHeader)?,
            value,
            secret: secret.into(),
        })
    }

    /// Whether it is left alone at a server.
    pub fn is_paused(&self, server: &str, now: Duration) -> bool {
        self.pauses.until(server, now).is_some()
    }

    /// Leaves it alone at a server, as the configuration writes that, until then.
    pub fn pause(&self, server: &Arc<str>, until: Duration, why: Why, now: Duration) {
        self.pauses.add(server, until, why, now);
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
        Credentials::read("u", &configured, &given, &Shared::default())
    }

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn turn(credentials: &Credentials) -> &Arc<Credential> {
        credentials.pick("a:1", NOW, |_| false)
    }

    #[test]
    fn one_that_is_left_alone_makes_way_at_that_server_alone() {
        let three = r#"[{"azure": {"env": "KEY"}}, {"google": {"env": "KEY"}}, {"anthropic": {"env": "KEY"}}]"#;
        let credentials = read(three, SECRET).unwrap().unwrap();
        let server: Arc<str> = "a:1".into();
        let second = Duration::from_secs(1);
        let picked = |server: &str, now| {
            let names = (0..30).map(|_| credentials.pick(server, now, |_| false).name.to_string());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        let all: Vec<_> = credentials.shares().map(|(_, one)| one.clone()).collect();
        all[0].pause(&server, NOW + 5 * second, Why::Limited, NOW);
        assert!(picked("a:1", NOW).into_iter().eq(["2", "3"]));
        assert_eq!(picked("b:1", NOW).len(), 3);
        assert_eq!(picked("a:1", NOW + 5 * second).len(), 3);
        assert_eq!(credentials.paused_until("a:1", NOW), None);
        all[1].pause(&server, NOW + 4 * second, Why::Limited, NOW);
        let third_failed = |one: &Arc<Credential>| Arc::ptr_eq(one, &all[2]);
        assert!(!credentials.has_other("a:1", NOW, third_failed));
        let picked_then = credentials.pick("a:1", NOW, third_failed);
        assert!(
            !third_failed(picked_then),
            "what failed this request is the last resort"
        );
        all[2].pause(&server, NOW + 6 * second, Why::Limited, NOW);
        assert_eq!(credentials.paused_until("a:1", NOW), Some(NOW + 4 * second));
        assert_eq!(picked("a:1", NOW).len(), 3, "the endpoint decides then");
    }

    #[test]
    fn pauses_are_of_the_secret_and_outlive_a_generation() {
        let shared = Shared::default();
        let build = |secret: &str| {
            let mut given = Given::default();
            given.environment.insert("KEY".into(), secret.into());
            let configured = r#"[{"azure": {"env": "KEY"}}]"#;
            let configured: Vec<_> = serde_json::from_str(configured).unwrap();
            Credentials::read("u", &configured, &given, &shared)
                .unwrap()
                .unwrap()
        };
        let before = build("secret-one");
        turn(&before).pause(&"a:1".into(), NOW * 2, Why::Refused, NOW);
        assert!(turn(&build("secret-one")).is_paused("a:1", NOW));
        assert!(!turn(&build("secret-two")).is_paused("a:1", NOW));
        assert!(!format!("{shared:?}").contains("secret-one"));
    }

    #[test]
    fn a_credential_is_carried_and_never_shown() {
        let read = read(r#"[{"bearer": {"env": "KEY"}}]"#, &format!("{SECRET}\n"));
        let credentials = read.unwrap().unwrap();
        let credential = turn(&credentials);
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
        assert_eq!(turn(&credentials).leaks(&answer), ["x-echo"]);
        let short = read(r#"[{"google": {"env": "KEY"}}]"#, "abc")
            .unwrap()
            .unwrap();
        answer.insert("x-echo", "abc".parse().unwrap());
        assert!(
            turn(&short).leaks(&answer).is_empty(),
            "a word of any answer"
        );
    }
}
