//! What plugins read while they are built: files, the environment, the time.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use penstock_config::unit::Secret;
use penstock_plugins::build::{Materials, SecretBytes, Unreadable};

use crate::clock;
use crate::files::Files;

/// Largest file that a plugin can read: a full rule set or a hundred thousand keys fit.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The materials of the machine that this runs on, and the files that are read of it.
pub struct Machine<'f>(pub &'f Files);

impl Materials for Machine<'_> {
    fn file(&self, path: &Path) -> Result<Bytes, Unreadable> {
        let refuse = |why: String| Unreadable::new(path.display(), why);
        self.0.file(path, FILE_BYTES_MAX).map_err(refuse)
    }

    fn secret(&self, secret: &Secret) -> Result<SecretBytes, Unreadable> {
        let refuse = |why: String| Unreadable::new(secret, why);
        match secret {
            Secret::File(path) => {
                let read = self.0.file(path, FILE_BYTES_MAX).map_err(refuse)?;
                SecretBytes::new(secret, &read)
            }
            Secret::Env(name) => match std::env::var_os(name) {
                Some(value) => SecretBytes::new(secret, &value.into_encoded_bytes()),
                None => Err(refuse("it is not set".into())),
            },
        }
    }

    fn now(&self) -> Duration {
        clock::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_a_file_or_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "s3cret\n").unwrap();
        let files = Files::default();
        let machine = Machine(&files);
        let secret = machine.secret(&Secret::File(path)).unwrap();
        assert_eq!(secret.expose(), b"s3cret");
        let path = machine.secret(&Secret::Env("PATH".into())).unwrap();
        assert!(!path.expose().is_empty());
        let unset = machine.secret(&Secret::Env("PENSTOCK_NO_SUCH_VARIABLE".into()));
        let told = unset.unwrap_err().to_string();
        assert_eq!(
            told,
            "environment variable PENSTOCK_NO_SUCH_VARIABLE cannot be read: it is not set"
        );
    }
}
