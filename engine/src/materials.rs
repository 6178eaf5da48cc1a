//! What plugins read while they are built: files, the environment, the time.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock_config::unit::Secret;
use penstock_plugins::build::{Materials, SecretBytes, Unreadable};

/// Largest file that a plugin can read: a full rule set or a hundred thousand keys fit.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The materials of the machine that this runs on.
pub struct Machine;

impl Materials for Machine {
    fn file(&self, path: &Path) -> Result<Vec<u8>, Unreadable> {
        let refuse = |why: String| Unreadable::new(path.display(), why);
        read(path, FILE_BYTES_MAX).map_err(refuse)
    }

    fn secret(&self, secret: &Secret) -> Result<SecretBytes, Unreadable> {
        let refuse = |why: String| Unreadable::new(secret, why);
        let read = match secret {
            Secret::File(path) => read(path, FILE_BYTES_MAX).map_err(refuse)?,
            Secret::Env(name) => match std::env::var_os(name) {
                Some(value) => value.into_encoded_bytes(),
                None => return Err(refuse("it is not set".into())),
            },
        };
        SecretBytes::new(secret, &read)
    }

    fn now(&self) -> Duration {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let tell = |error: std::io::Error| error.to_string();
    // Opening a pipe that nobody writes to would wait for ever.
    if !std::fs::metadata(path).map_err(tell)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(tell)?;
    // One byte more tells a file of the limit from one over it, even while it grows.
    let read = file.take(bytes_max + 1).read_to_end(&mut content);
    if read.map_err(tell)? as u64 > bytes_max {
        return Err(format!("it is larger than {bytes_max} bytes"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err(), "it is larger than 4 bytes");
        let folder = folder.path();
        assert_eq!(read(folder, 5).unwrap_err(), "it is not a regular file");
        let none = Machine.file(&folder.join("none")).unwrap_err().to_string();
        assert!(none.contains("none cannot be read: No such file"), "{none}");
    }

    #[test]
    fn a_secret_comes_from_a_file_or_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = Machine.secret(&Secret::File(path)).unwrap();
        assert_eq!(secret.expose(), b"s3cret");
        let path = Machine.secret(&Secret::Env("PATH".into())).unwrap();
        assert!(!path.expose().is_empty());
        let unset = Machine.secret(&Secret::Env("PENSTOCK_NO_SUCH_VARIABLE".into()));
        let told = unset.unwrap_err().to_string();
        assert_eq!(
            told,
            "environment variable PENSTOCK_NO_SUCH_VARIABLE cannot be read: it is not set"
        );
    }
}
