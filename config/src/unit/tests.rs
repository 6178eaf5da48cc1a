//! What each type takes, refuses and shows.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::{Duration as StdDuration, Instant};

use super::{
    Attempts, Cidr, Duration, ErrorStatus, Glob, HeaderName, HostPort, Identifier, Invalid,
    KeyHash, Line, MediaType, Method, ModelName, Name, NameServer, Percent, Secret, Size,
    Timestamp, Weight,
};

/// Each text reads as a value that shows as the second text, and that reads back.
fn takes<T: FromStr<Err = Invalid> + Display + Debug + PartialEq>(cases: &[(&str, &str)]) {
    for (text, shown) in cases {
        let value: T = text
            .parse()
            .unwrap_or_else(|error| panic!("{text} should be taken: {error}"));
        assert_eq!(value.to_string(), *shown, "{text} as shown");
        assert_eq!(
            shown.parse::<T>().as_ref(),
            Ok(&value),
            "{text} does not read back from {shown}"
        );
    }
}

/// Each text is refused with a message that holds the second text.
fn refuses<T: FromStr<Err = Invalid> + Debug>(cases: &[(&str, &str)]) {
    for (text, part) in cases {
        let error = text.parse::<T>().expect_err(text).to_string();
        assert!(
            error.contains(part),
            "{text:?} is refused with {error:?}, which should say {part:?}"
        );
        assert!(!error.contains(char::is_control), "{error:?} is one line");
    }
}

#[test]
fn durations() {
    takes::<Duration>(&[
        ("250ms", "250ms"),
        ("30s", "30s"),
        ("60s", "1m"),
        ("90s", "90s"),
        ("1.5s", "1500ms"),
        ("1.50s", "1500ms"),
        ("0.001s", "1ms"),
        ("0.5h", "30m"),
        ("10m", "10m"),
        ("24h", "24h"),
        ("86400s", "24h"),
        ("1.000000000000s", "1s"),
    ]);
    refuses::<Duration>(&[
        ("", "is not a duration"),
        ("30", "`30` has no unit: write the unit, as in `30s`"),
        ("s", "write a number and its unit"),
        ("-1s", "write a number and its unit"),
        ("30S", "must be `ms`, `s`, `m` or `h`"),
        ("30 s", "must be `ms`, `s`, `m` or `h`"),
        ("1d", "must be `ms`, `s`, `m` or `h`"),
        ("0s", "is zero"),
        ("0.0h", "is zero"),
        ("25h", "is too long"),
        ("24.001h", "is too long"),
        ("99999999999999999999s", "is too long"),
        ("9999999999999999999h", "is too long"),
        ("1.5ms", "is finer than a millisecond"),
        ("1.0005s", "is finer than a millisecond"),
        ("0.00000000000001h", "is finer than a millisecond"),
        ("1.s", "is not a duration"),
        (".5s", "is not a duration"),
        ("1.2.3s", "is not a duration"),
        ("\u{1b}[2J", "is not a duration"),
    ]);
    let half_minute: Duration = "30s".parse().unwrap();
    assert_eq!(
        half_minute.get(),
        StdDuration::from_secs(30),
        "the standard library's value"
    );
    assert_eq!(
        Duration::try_from(StdDuration::from_secs(30)),
        Ok(half_minute),
        "and back"
    );
    assert!(
        Duration::try_from(StdDuration::ZERO).is_err(),
        "zero is refused from there too"
    );
}

#[test]
fn sizes() {
    takes::<Size>(&[
        ("1B", "1B"),
        ("512B", "512B"),
        ("1024B", "1KiB"),
        ("64KiB", "64KiB"),
        ("16MiB", "16MiB"),
        ("1GiB", "1GiB"),
        ("1KB", "1KB"),
        ("10MB", "10MB"),
        ("2GB", "2GB"),
        ("1024GiB", "1024GiB"),
    ]);
    refuses::<Size>(&[
        ("", "is not a size"),
        ("64", "`64` has no unit: write the unit, as in `64KiB`"),
        ("KiB", "write a whole number and its unit"),
        ("-1B", "write a whole number and its unit"),
        ("1.5GiB", "is not a whole number"),
        ("16M", "its unit must be"),
        ("16mib", "its unit must be"),
        ("0KiB", "at least `1B`"),
        ("1025GiB", "at most `1024GiB`"),
        ("99999999999999999999GiB", "at most `1024GiB`"),
    ]);
    assert_eq!(
        "64KiB".parse::<Size>().map(Size::bytes),
        Ok(65_536),
        "KiB is 1024 bytes"
    );
    assert_eq!(
        "64KB".parse::<Size>().map(Size::bytes),
        Ok(64_000),
        "KB is 1000 bytes"
    );
}

#[test]
fn names() {
    takes::<Name>(&[("vllm", "vllm"), ("a.b_c-D9", "a.b_c-D9"), ("9", "9")]);
    refuses::<Name>(&[
        ("", "the first character"),
        ("-a", "the first character"),
        (".a", "the first character"),
        ("a b", "letters, digits"),
        ("ä", "the first character"),
        ("aä", "letters, digits"),
        ("a/b", "letters, digits"),
        (&"a".repeat(65), "at most 64"),
    ]);
    takes::<ModelName>(&[
        ("meta-llama/Llama 3:8b", "meta-llama/Llama 3:8b"),
        ("模型", "模型"),
    ]);
    refuses::<ModelName>(&[
        ("", "at least one"),
        ("a\nb", "a control character"),
        (&"ä".repeat(257), "at most 256"),
    ]);
}

#[test]
fn identifiers_and_lines() {
    takes::<Identifier>(&[
        ("team-a", "team-a"),
        ("alice@example.com", "alice@example.com"),
        ("auth0|5f7c", "auth0|5f7c"),
    ]);
    refuses::<Identifier>(&[
        ("", "write at least one character"),
        (&"a".repeat(129), "at most 128"),
        ("a b", "use letters"),
        ("a,b", "use letters"),
        ("a\r\nx-admin: 1", "use letters"),
        ("Zoë", "use letters"),
    ]);
    takes::<Line>(&[("Zoë's team, floor 4", "Zoë's team, floor 4")]);
    refuses::<Line>(&[
        ("", "write at least one character"),
        ("a\nb", "control character"),
        (&"ä".repeat(257), "at most 256"),
    ]);
}

#[test]
fn timestamps() {
    takes::<Timestamp>(&[
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2026-12-31T23:59:59Z", "2026-12-31T23:59:59Z"),
        ("2027-01-01T00:59:59+01:00", "2026-12-31T23:59:59Z"),
        ("2026-12-31T23:59:59.25Z", "2026-12-31T23:59:59.25Z"),
        ("2028-02-29T12:00:00z", "2028-02-29T12:00:00Z"),
        (
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59.999999999Z",
        ),
    ]);
    refuses::<Timestamp>(&[
        ("", "write it as in"),
        ("2026-12-31", "add the time, as in `2026-12-31T00:00:00Z`"),
        (
            "2026-12-31T23:59:59",
            "write it as in `2026-12-31T23:59:59Z`",
        ),
        ("2026-02-29T00:00:00Z", "write it as in"),
        ("2026-12-31T24:00:00Z", "write it as in"),
        ("1767225599", "write it as in"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("9999-12-31T23:59:59-00:01", "after the year 9999"),
    ]);
    let time: Timestamp = "2026-12-31T23:59:59Z".parse().unwrap();
    assert_eq!(time.since_epoch(), StdDuration::from_secs(1_798_761_599));
}

#[test]
fn hashes_of_keys() {
    let digits = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let text = format!("sha256:{digits}");
    takes::<KeyHash>(&[
        (&text, &text),
        (&format!("sha256:{}", digits.to_uppercase()), &text),
    ]);
    let hash: KeyHash = text.parse().unwrap();
    assert_eq!(hash.short(), "9f86d081884c");
    assert_eq!(format!("{hash:?}"), "KeyHash(sha256:9f86d081884c..)");
    assert_eq!(hash.digest()[31], 0x08);
    for secret in [
        "psk_live-0123456789abcdef",
        digits,
        &text[..70],
        &format!("{text}0"),
        &text.replace('9', "g"),
        &text.replace('9', "é"),
    ] {
        let error = secret.parse::<KeyHash>().unwrap_err().to_string();
        assert!(error.contains("penstock hash-key"), "{error}");
        assert!(
            !error.contains(secret),
            "{error} repeats what may be the key"
        );
    }
}

#[test]
fn hosts_and_ports() {
    takes::<HostPort>(&[
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("Models.Internal:1", "models.internal:1"),
        ("my_service:65535", "my_service:65535"),
        ("[::1]:80", "[::1]:80"),
        ("[2001:DB8:0::1]:80", "[2001:db8::1]:80"),
        ("3com.example:80", "3com.example:80"),
    ]);
    refuses::<HostPort>(&[
        ("", "add the port"),
        ("localhost", "add the port"),
        (
            "http://localhost:8000/",
            "drop the scheme `http://` and write `localhost:8000`",
        ),
        ("localhost:8000/v1", "drop the path"),
        ("localhost:", "from 1 to 65535"),
        ("localhost:0", "from 1 to 65535"),
        ("localhost:65536", "from 1 to 65535"),
        ("localhost:+80", "from 1 to 65535"),
        (":80", "the host is missing"),
        ("::1:80", "in brackets"),
        ("[::1]", "as in `[::1]:8000`"),
        ("[::1:80", "as in `[::1]:8000`"),
        ("[127.0.0.1]:80", "as in `[::1]:8000`"),
        ("[fe80::1%eth0]:80", "as in `[::1]:8000`"),
        ("300.0.0.1:80", "not a valid IPv4 address"),
        ("1.2.3:80", "not a valid IPv4 address"),
        ("-a.b:80", "starts or ends with `-`"),
        ("a..b:80", "1 to 63 characters"),
        ("a b:80", "cannot be in a host name"),
        ("user@host:80", "`@` cannot be in a host name"),
        (&format!("{}:80", "a".repeat(64)), "1 to 63 characters"),
        (&format!("{}a:80", "a.".repeat(130)), "at most 253"),
    ]);
    let address: HostPort = "[::1]:80".parse().unwrap();
    assert_eq!(
        (address.host(), address.port()),
        ("::1", 80),
        "the parts, without brackets"
    );
    assert!(
        address.ip().is_some_and(|ip| ip.is_loopback()),
        "an address is known as one"
    );
    assert_eq!(
        "localhost:80".parse::<HostPort>().unwrap().ip(),
        None,
        "a name is none"
    );
}

#[test]
fn headers_and_methods() {
    takes::<HeaderName>(&[("X-Request-ID", "x-request-id"), ("host", "host")]);
    refuses::<HeaderName>(&[
        ("", "is not a header's name"),
        ("x y", "is not a header's name"),
        ("x-a:", "drop the colon and write `x-a`"),
        (":path", "is not a header's name"),
        (&"x".repeat(257), "at most 256"),
    ]);
    assert!(
        "Transfer-Encoding"
            .parse::<HeaderName>()
            .unwrap()
            .is_of_connection(),
        "it frames the message"
    );
    assert!(
        !"x-request-id"
            .parse::<HeaderName>()
            .unwrap()
            .is_of_connection(),
        "this one is free"
    );
    takes::<Method>(&[("GET", "GET"), ("M-SEARCH", "M-SEARCH")]);
    refuses::<Method>(&[
        ("get", "methods are in upper case, write `GET`"),
        ("", "is not a method"),
        ("G T", "is not a method"),
        (&"A".repeat(33), "is not a method"),
    ]);
}

#[test]
fn numbers() {
    assert_eq!(
        Weight::default().get(),
        1,
        "a target takes its share unless told otherwise"
    );
    assert_eq!(
        Weight::try_from(1_000_000).map(Weight::get),
        Ok(1_000_000),
        "the greatest weight"
    );
    assert!(Weight::try_from(1_000_001).is_err(), "above it");
    assert_eq!(Attempts::covering(1).get(), 2, "one try and one more");
    assert_eq!(Attempts::covering(3).get(), 3, "one for each target");
    assert!(
        Attempts::try_from(0).is_err(),
        "no try at all is not a route"
    );
    assert!(Attempts::try_from(11).is_err(), "above the greatest");
    assert_eq!(Percent::try_from(100).map(Percent::get), Ok(100));
    assert!(Percent::try_from(101).is_err(), "above the whole");
    assert_eq!(ErrorStatus::try_from(599).map(ErrorStatus::get), Ok(599));
    for status in [399, 600] {
        assert!(ErrorStatus::try_from(status).is_err(), "{status}: no error");
    }
    for text in ["-1", "1.5", "\"1\"", "1000001", "null", "[]"] {
        assert!(
            serde_json::from_str::<Weight>(text).is_err(),
            "{text} is no weight"
        );
    }
}

#[test]
fn other_formats_get_the_same_messages() {
    let error = serde_json::from_str::<Duration>("30")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`30` has no unit"),
        "a bare number is refused with the hint: {error}"
    );
    let error = serde_json::from_str::<Secret>("\"sk-1\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("write a reference") && !error.contains("sk-1"),
        "a literal is not repeated: {error}"
    );
    let secret: Secret = serde_json::from_str(r#"{"env":"KEY"}"#).unwrap();
    assert_eq!(secret, Secret::Env("KEY".to_owned()), "a reference is read");
    assert_eq!(
        secret.to_string(),
        "environment variable KEY",
        "as a log has it"
    );
}

/// Every pattern that the schema gives an editor takes the examples beside it.
#[test]
fn schema_patterns_take_their_examples() {
    let schema = crate::schema();
    let mut seen = 0;
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        let Some(pattern) = definition["pattern"].as_str() else {
            continue;
        };
        let pattern =
            regex_lite::Regex::new(pattern).unwrap_or_else(|error| panic!("{name}: {error}"));
        for example in definition["examples"].as_array().unwrap() {
            assert!(
                pattern.is_match(example.as_str().unwrap()),
                "{name} takes {example}"
            );
            seen += 1;
        }
    }
    assert!(seen > 15, "the examples are where they are looked for");
}

#[test]
fn globs_in_paths_and_in_text() {
    // Pattern, text, whether it matches as a path, whether as any other text.
    let cases = [
        ("/v1/models", "/v1/models", true, true),
        ("/v1/models", "/v1/model", false, false),
        ("/v1/models", "/v1/models/", false, false),
        ("*", "", true, true),
        ("*", "gpt-4", true, true),
        ("*", "meta/llama", false, true),
        ("**", "/a/b/c", true, true),
        ("/v1/*", "/v1/chat", true, true),
        ("/v1/*", "/v1/", true, true),
        ("/v1/*", "/v1/chat/completions", false, true),
        ("/v1/**", "/v1/chat/completions", true, true),
        ("/**/completions", "/v1/chat/completions", true, true),
        ("/*/completions", "/v1/chat/completions", false, true),
        ("/**/x/*", "/a/x/b/x/c", true, true),
        ("/**/x/*/y", "/a/x/b/x/c/y", true, true),
        ("/**/x/*/y", "/a/x/b/c/y", false, true),
        ("a?c", "abc", true, true),
        ("a?c", "a/c", false, true),
        ("a?c", "ac", false, false),
        ("?", "ä", true, true),
        ("*.*", "a.b", true, true),
        ("***", "/a", true, true),
        ("*?", "", false, false),
        ("a*b*c", "aXbXbXc", true, true),
        ("a*b*c", "aXcXb", false, false),
        ("[a]{b}", "[a]{b}", true, true),
        ("gpt-4*", "gpt-4o-mini", true, true),
        ("GPT", "gpt", false, false),
    ];
    for (pattern, text, path, other) in cases {
        let glob: Glob = pattern.parse().unwrap();
        assert_eq!(
            glob.matches_path(text),
            path,
            "`{pattern}` and the path `{text}`"
        );
        assert_eq!(
            glob.matches_text(text),
            other,
            "`{pattern}` and the text `{text}`"
        );
    }
    takes::<Glob>(&[("/v1/**", "/v1/**"), ("?*", "?*")]);
    refuses::<Glob>(&[
        ("", "write `*` for anything"),
        ("a\tb", "a control character"),
        (&"a".repeat(257), "at most 256 bytes"),
    ]);
}

/// The definition, which takes exponential time: what the real matcher must agree with.
fn matches_by_definition(pattern: &[char], text: &[char], separator: Option<char>) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => {
            (0..=text.len()).any(|at| matches_by_definition(rest, &text[at..], separator))
        }
        ['*', rest @ ..] => (0..=text.len())
            .take_while(|at| *at == 0 || Some(text[at - 1]) != separator)
            .any(|at| matches_by_definition(rest, &text[at..], separator)),
        ['?', rest @ ..] => {
            matches!(text, [c, after @ ..] if Some(*c) != separator && matches_by_definition(rest, after, separator))
        }
        [wanted, rest @ ..] => {
            matches!(text, [c, after @ ..] if c == wanted && matches_by_definition(rest, after, separator))
        }
    }
}

#[test]
fn globs_agree_with_their_definition_on_every_short_pattern() {
    let words = |alphabet: &[char], longest: usize| {
        let mut words = vec![Vec::new()];
        let mut last = words.clone();
        for _ in 0..longest {
            last = last
                .iter()
                .flat_map(|word| alphabet.iter().map(|c| [word.as_slice(), &[*c]].concat()))
                .collect();
            words.extend(last.iter().cloned());
        }
        words
    };
    let texts = words(&['a', 'b', '/'], 4);
    for pattern in words(&['a', '/', '?', '*'], 5).into_iter().skip(1) {
        // Three stars are two: the definition above takes them for two and one.
        let written: String = pattern.iter().collect();
        if written.contains("***") {
            continue;
        }
        let glob: Glob = written.parse().unwrap();
        for text in &texts {
            let text_written: String = text.iter().collect();
            assert_eq!(
                glob.matches_path(&text_written),
                matches_by_definition(&pattern, text, Some('/')),
                "`{written}` and the path `{text_written}`"
            );
            assert_eq!(
                glob.matches_text(&text_written),
                matches_by_definition(&pattern, text, None),
                "`{written}` and the text `{text_written}`"
            );
        }
    }
}

#[test]
fn hostile_globs_take_time_in_proportion() {
    let start = Instant::now();
    for pattern in [
        "*a".repeat(127) + "b",
        "**/".repeat(85),
        "a*".repeat(128),
        "?*".repeat(128),
    ] {
        let glob: Glob = pattern.parse().unwrap();
        for text in ["a".repeat(5_000), "/a".repeat(2_500)] {
            glob.matches_path(&text);
            glob.matches_text(&text);
        }
    }
    // Sixteen matches of 5,000 characters, at most 256 places each: well below a
    // second even unoptimised. A matcher that backtracks would not end today.
    assert!(
        start.elapsed() < StdDuration::from_secs(20),
        "took {:?}",
        start.elapsed()
    );
}

#[test]
fn networks() {
    takes::<Cidr>(&[
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
    ]);
    refuses::<Cidr>(&[
        ("", "write it as in `10.0.0.0/8`"),
        ("10.0.0.0/33", "is not a network"),
        ("10.0.0/8", "is not a network"),
        ("localhost", "is not a network"),
        ("10.1.2.3/8", "beyond the prefix: write `10.0.0.0/8`"),
        ("2001:db8::1/32", "write `2001:db8::/32`"),
        ("::ffff:10.0.0.0/104", "write the IPv4 network"),
    ]);
}

#[test]
fn name_servers() {
    takes::<NameServer>(&[
        ("10.96.0.10", "10.96.0.10"),
        ("10.96.0.10:53", "10.96.0.10"),
        ("127.0.0.1:5353", "127.0.0.1:5353"),
        ("FD00::1", "fd00::1"),
        ("[fd00::1]:5353", "[fd00::1]:5353"),
    ]);
    refuses::<NameServer>(&[
        ("", "write it as in `10.96.0.10`"),
        ("dns.example", "is not the IP address of a name server"),
        ("10.96.0.10:0", "is not the IP address of a name server"),
        ("10.96.0.10:65536", "is not the IP address of a name server"),
        ("10.96.0.10:", "is not the IP address of a name server"),
    ]);
}

#[test]
fn media_types() {
    takes::<MediaType>(&[
        ("application/json", "application/json"),
        ("Application/VND.api+JSON", "application/vnd.api+json"),
        ("image/*", "image/*"),
        ("*/*", "*/*"),
    ]);
    refuses::<MediaType>(&[
        ("", "write it as in"),
        ("json", "write it as in"),
        ("*/json", "write it as in"),
        ("text/", "write it as in"),
        ("text/plain; charset=utf-8", "drop its parameters"),
        ("a/b/c", "write it as in"),
    ]);
}
