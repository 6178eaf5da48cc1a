//! The source tree: its files, its packages, its examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The workspace's packages, as Cargo tells of them.
pub(crate) fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata failed: {said}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata.get("packages").and_then(Value::as_array);
    packages.unwrap().clone()
}

pub(crate) fn examples() -> Vec<PathBuf> {
    let mut examples = files(&["yaml"]);
    // What lies deeper are files that the examples name.
    let folder = root().join("config/examples");
    examples.retain(|path| path.parent() == Some(&folder));
    assert!(!examples.is_empty(), "no examples in config/examples");
    examples
}

pub(crate) fn rust_files() -> impl Iterator<Item = (String, String)> {
    files(&["rs"])
        .into_iter()
        .map(|path| (relative(&path), read(&path)))
}

/// The tree's files with these endings, sorted; nothing that is built or hidden.
pub(crate) fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name());
            let ending = path.extension().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(b".") || path == root().join("target") {
                continue;
            } else if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if endings.iter().any(|wanted| ending == *wanted) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
