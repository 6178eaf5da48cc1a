//! The files that a configuration names: each read once for a generation, and known
//! afterwards by what it held, so that a change can be told without keeping a secret.

mod content;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use content::Content;

/// Reads a file of at most so many bytes. What is read is what was there at one opening:
/// a file that another takes the place of meanwhile is read to its own end.
///
/// # Errors
/// It cannot be read or is larger, in words.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let expected = file
        .metadata()
        .map_or(0, |known| known.len())
        .min(bytes_max);
    let mut bytes = Vec::with_capacity(usize::try_from(expected).map_or(0, |known| known + 1));
    // One byte more tells a file that is too large from one that just fits.
    let mut file = file.take(bytes_max.saturating_add(1));
    file.read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("it is larger than {bytes_max} bytes"));
    }
    Ok(bytes)
}

/// The files that one generation is built from. A file that several parts name is read
/// once, so that they see the same.
#[derive(Default)]
pub struct Files(Mutex<BTreeMap<PathBuf, Held>>);

/// What a file held.
struct Held {
    bytes: Bytes,
    bytes_max: u64,
}

impl Files {
    /// The content of a file.
    ///
    /// # Errors
    /// It cannot be read or is larger than `bytes_max`, in words.
    pub fn file(&self, path: &Path, bytes_max: u64) -> Result<Bytes, String> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match files.get(path) {
            Some(held) => held.bytes.clone(),
            None => {
                // Opening a pipe that nobody writes to would wait for ever.
                let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
                if !kind.is_file() {
                    return Err("it is not a regular file".to_owned());
                }
                let bytes = Bytes::from(read(path, bytes_max)?);
                let held = Held {
                    bytes: bytes.clone(),
                    bytes_max,
                };
                files.insert(path.to_owned(), held);
                bytes
            }
        };
        if bytes.len() as u64 > bytes_max {
            return Err(format!("it is larger than {bytes_max} bytes"));
        }
        Ok(bytes)
    }

    /// What the files held.
    pub fn seen(self) -> Seen {
        Seen {
            read: Mutex::new(Some(self)),
            known: OnceLock::new(),
        }
    }
}

/// What files held when they were read: digests, and names of what is public in them.
/// The digests never leave the process: whoever has one of a short secret can guess it.
pub struct Seen {
    /// The files, until they are looked at, which is not done while a reload waits.
    read: Mutex<Option<Files>>,
    known: OnceLock<BTreeMap<PathBuf, Known>>,
}

struct Known {
    content: Content,
    /// What was allowed when it was read.
    bytes_max: u64,
}

impl Seen {
    /// Looks at the files, and lets go of what they held.
    pub fn settle(&self) {
        self.known();
    }

    fn known(&self) -> &BTreeMap<PathBuf, Known> {
        self.known.get_or_init(|| {
            let read = self
                .read
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let files = read.unwrap_or_default().0.into_inner();
            let files = files.unwrap_or_else(PoisonError::into_inner).into_iter();
            let known = files.map(|(path, Held { bytes, bytes_max })| {
                let content = Content::of(&bytes);
                (path, Known { content, bytes_max })
            });
            known.collect()
        })
    }

    /// The files, by path.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.known().keys().map(PathBuf::as_path)
    }

    /// What differs in the files that both generations have read, a line each.
    pub fn changes(&self, new: &Seen) -> Vec<String> {
        let both = self
            .known()
            .iter()
            .filter_map(|(path, old)| Some((path, old, new.known().get(path)?)));
        both.flat_map(|(path, old, new)| old.content.changes(path, &new.content))
            .collect()
    }

    /// What differs on disk now, a line each, by path. Blocks on files.
    pub fn changes_on_disk(&self) -> BTreeMap<&Path, Vec<String>> {
        let changes = self.known().iter().map(|(path, old)| {
            let lines = match read(path, old.bytes_max) {
                Ok(bytes) => old.content.changes(path, &Content::of(&bytes)),
                Err(why) => vec![format!("file {} cannot be read now: {why}", path.display())],
            };
            (path.as_path(), lines)
        });
        changes.collect()
    }
}
