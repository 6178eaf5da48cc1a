//! Paths: their one spelling, and what is refused in them.

use super::super::{Escaped, Paths, Rule};
use super::Random;

fn normal(path: &str) -> Result<String, Rule> {
    let normalised = Paths::default().normalise(path);
    normalised.map(|path| path.into_owned())
}

fn with(escaped: Escaped, path: &str) -> Result<String, Rule> {
    let paths = Paths {
        escaped,
        ..Paths::default()
    };
    paths.normalise(path).map(|path| path.into_owned())
}

#[test]
fn a_path_has_one_spelling() {
    for (written, wanted) in [
        ("/", "/"),
        ("*", "*"),
        ("", ""),
        ("/v1/chat", "/v1/chat"),
        ("/v1/", "/v1/"),
        ("//v1///chat//", "/v1/chat/"),
        ("/a/./b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/../../c", "/c"),
        ("/a/..", "/"),
        ("/a//../b", "/b"),
        ("/%61/%2e%2E/b", "/b"),
        ("/%7euser/%41%5f", "/~user/A_"),
        ("/a%2bb%3a", "/a%2Bb%3A"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/.well-known/x", "/.well-known/x"),
        ("/..a/...", "/..a/..."),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a;b=1/c", "/a;b=1/c"),
        ("/a%0d%0ab%09%20", "/a%0D%0Ab%09%20"),
    ] {
        assert_eq!(normal(written).as_deref(), Ok(wanted), "{written}");
    }
}

#[test]
fn a_path_that_hides_something_is_refused() {
    for (path, rule) in [
        ("/..", Rule::PathDots),
        ("/../a", Rule::PathDots),
        ("/a/../../b", Rule::PathDots),
        ("/%2e%2e/a", Rule::PathDots),
        ("/a/..;/b", Rule::PathDots),
        ("/a/..;x=1/b", Rule::PathDots),
        ("/a/.%2e%3b/b", Rule::PathDots),
        ("/a/.;", Rule::PathDots),
        ("/a%00", Rule::PathNul),
        ("/a%2fb", Rule::PathSeparator),
        ("/a%5Cb", Rule::PathSeparator),
        ("/a%", Rule::PathEscape),
        ("/a%2", Rule::PathEscape),
        ("/a%zz", Rule::PathEscape),
        ("/a%+1", Rule::PathEscape),
        ("/%c0%af", Rule::PathEscape),
        ("/%c0%ae%c0%ae/", Rule::PathEscape),
        ("/%e0%80%af", Rule::PathEscape),
        ("/%f0%80%80%af", Rule::PathEscape),
    ] {
        assert_eq!(normal(path), Err(rule), "{path}");
    }
}

#[test]
fn escaped_separators_are_what_the_configuration_says() {
    let slashes = "/a%2Fb%5cc";
    assert_eq!(with(Escaped::Refuse, slashes), Err(Rule::PathSeparator));
    assert_eq!(with(Escaped::Unescape, slashes).as_deref(), Ok("/a/b/c"));
    assert_eq!(with(Escaped::Keep, slashes).as_deref(), Ok("/a%2Fb%5Cc"));
    assert_eq!(
        with(Escaped::KeepIfSame, slashes).as_deref(),
        Ok("/a%2Fb%5Cc")
    );
    let paths = Paths {
        escaped: Escaped::KeepIfSame,
        ..Paths::default()
    };
    for (path, readings) in [
        ("/a/b%252F", &[][..]),
        ("/a%2Fb%2Fc", &["/a/b/c"]),
        ("/a/%2Fb", &["/a/b"]),
        ("/a%2Fb%5Cc", &["/a/b/c", "/a/b%5Cc", "/a%2Fb/c"]),
    ] {
        let found: Vec<_> = paths.readings(path).collect();
        assert_eq!(found, readings, "{path}");
    }
    assert_eq!(Paths::default().readings(slashes).next(), None);
    let above = "/a/b%2f..%2f..%2fc";
    assert_eq!(with(Escaped::Unescape, above).as_deref(), Ok("/c"));
    for hidden in ["/a/..%2fb", "/a/b%2f..", "/a/b%5c.%2fc", "/a%2F..;%2Fb"] {
        for escaped in [Escaped::Keep, Escaped::KeepIfSame] {
            assert_eq!(with(escaped, hidden), Err(Rule::PathDots), "{hidden}");
        }
    }
}

#[test]
fn slashes_are_left_if_the_configuration_says_so() {
    let paths = Paths {
        merge_slashes: false,
        ..Paths::default()
    };
    for (written, wanted) in [
        ("//a///b//", "//a///b//"),
        ("/a//../b", "/a/b"),
        ("/a/./b", "/a/b"),
    ] {
        assert_eq!(paths.normalise(written).unwrap(), wanted, "{written}");
    }
}

const PIECES: &[&str] = &[
    "/", "/", "//", ".", "..", "/../", "/./", "a", "b", "%2e", "%2E", "%2f", "%5c", "%41", "%7e",
    "%25", "%252e", "%c3%a9", "%C0%AF", "%00", "%", "%zz", ";", "%3b", "..;", "*", "é", "@",
];

#[test]
fn normalising_twice_changes_nothing_more() {
    let mut random = Random(0x5eed_0001);
    for _ in 0..200_000 {
        let mut path = String::from("/");
        for _ in 0..random.below(10) {
            path.push_str(random.pick(PIECES));
        }
        for merge_slashes in [true, false] {
            for escaped in [
                Escaped::Refuse,
                Escaped::Unescape,
                Escaped::Keep,
                Escaped::KeepIfSame,
            ] {
                let paths = Paths {
                    merge_slashes,
                    escaped,
                };
                let Ok(once) = paths.normalise(&path) else {
                    continue;
                };
                assert!(once.starts_with('/'), "{path}: {once}");
                let segments = || once.split('/').skip(1);
                assert!(
                    !segments().any(|part| part == "." || part == ".."),
                    "{path}: {once}"
                );
                if merge_slashes {
                    assert!(!once.contains("//"), "{path}: {once}");
                }
                let twice = paths.normalise(&once);
                assert_eq!(twice.as_deref(), Ok(&*once), "{path} by {paths:?}");
            }
        }
    }
}
