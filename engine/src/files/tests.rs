//! What is told of files.

use super::*;

/// What is told when a file that held `old` holds `new`.
fn told(old: &[u8], new: &[u8]) -> Vec<String> {
    let path = Path::new("/f");
    Content::of(old).changes(path, &Content::of(new))
}

#[test]
fn what_has_no_names_only_changed() {
    assert!(told(b"secret", b"secret").is_empty());
    assert_eq!(told(b"secret", b"other"), ["file /f: its content changed"]);
}

#[test]
fn certificates_are_told_by_name_end_and_fingerprint() {
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.self_signed(&key).unwrap().pem()
    };
    let lines = told(issue("old.test").as_bytes(), issue("new.test").as_bytes());
    let [gone, come] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert!(
        gone.starts_with("file /f: certificate of old.test, expires "),
        "{gone}"
    );
    assert!(
        gone.ends_with("removed") && come.ends_with("added"),
        "{lines:?}"
    );
    let fingerprint = come.split("SHA-256 ").nth(1).unwrap();
    assert_eq!(fingerprint.matches(':').count(), 31, "{come}");
}

#[test]
fn the_keys_of_a_set_are_told_by_name() {
    let set = |keys: &str| format!(r#"{{"keys":[{keys}]}}"#).into_bytes();
    let (a, b) = (r#"{"kid":"a","n":"1"}"#, r#"{"kid":"b","n":"1"}"#);
    assert_eq!(
        told(
            &set(&format!("{a},{b}")),
            &set(r#"{"kid":"a","n":"2"},{"kid":"c"}"#)
        ),
        [
            "file /f: key `b` removed",
            "file /f: key `a` changed",
            "file /f: key `c` added",
        ]
    );
}

#[test]
fn api_keys_are_told_by_name() {
    let key =
        |digit: &str, rest: &str| format!("- {{ hash: 'sha256:{}', {rest} }}\n", digit.repeat(64));
    let old = key("a", "consumer: search, id: k-1") + &key("b", "consumer: trial");
    let new = key("a", "consumer: search, id: k-1, roles: [r]") + &key("c", "consumer: trial");
    assert_eq!(
        told(old.as_bytes(), new.as_bytes()),
        [
            "file /f: key `trial-bbbbbbbbbbbb` removed",
            "file /f: key `k-1` changed",
            "file /f: key `trial-cccccccccccc` added",
        ]
    );
}

#[test]
fn a_file_is_read_once_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, "first").unwrap();
    let files = Files::default();
    assert_eq!(&*files.file(&path, 5).unwrap(), b"first");
    std::fs::write(&path, "second").unwrap();
    assert_eq!(
        &*files.file(&path, 5).unwrap(),
        b"first",
        "two parts see the same"
    );
    assert!(files.file(&path, 4).is_err(), "each part has its own bound");
    assert!(read(&path, 5).unwrap_err().contains("larger than 5 bytes"));
    assert!(read(folder.path(), 5).is_err(), "a folder is no file");
    let folder = files.file(folder.path(), 5).unwrap_err();
    assert_eq!(folder, "it is not a regular file");
    let seen = files.seen();
    assert_eq!(seen.paths().collect::<Vec<_>>(), [path.as_path()]);
    let lines = &seen.changes_on_disk()[path.as_path()];
    assert!(lines[0].contains("larger than"), "{lines:?}");
    std::fs::write(&path, "other").unwrap();
    let lines = &seen.changes_on_disk()[path.as_path()];
    assert!(lines[0].ends_with("its content changed"), "{lines:?}");
    std::fs::write(&path, "first").unwrap();
    assert!(seen.changes_on_disk()[path.as_path()].is_empty());
}
