//! Files that are wrong, and files that are out to do harm.

mod bad_files;
mod bad_parts;
mod hostile;
mod issuers;
mod keys;

use super::parse;
use crate::Config;

/// An upstream for routes to lead to, on lines 1 and 2.
const UPSTREAM: &str = "upstreams:\n  a: { endpoints: [a:1] }\n";

/// The places and messages of a text's mistakes.
fn mistakes(text: &str) -> Vec<(usize, usize, String)> {
    let report = match parse(text) {
        Ok(_) => return Vec::new(),
        Err(report) => report,
    };
    let tell = |mistake: &crate::Mistake| {
        let hint = mistake
            .hint
            .as_ref()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        (
            mistake.line,
            mistake.column,
            format!("{}{hint}", mistake.message),
        )
    };
    report.mistakes().iter().map(tell).collect()
}

/// The text has these mistakes and no others: line, column, part of the message or hint.
#[track_caller]
fn expect(text: &str, expected: &[(usize, usize, &str)]) {
    let found = mistakes(text);
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(
            |((line, column, message), (at_line, at_column, part))| {
                (line, column) == (at_line, at_column) && message.contains(part)
            },
        );
    assert!(fits, "in\n{text}\nexpected {expected:#?}\nfound {found:#?}");
}

#[test]
fn an_empty_file_is_the_default_configuration() {
    for text in [
        "",
        "\n\n",
        "# nothing\n",
        "---\n",
        "---\n...\n",
        "\u{feff}",
        "{}",
        "null",
    ] {
        assert_eq!(parse(text).ok(), Some(Config::default()), "{text:?}");
    }
}

#[test]
fn words_and_numbers_mean_what_the_type_says() {
    let text = r#"
server: { admin: off, log: { access: off } }
upstreams: { 1.10: { endpoints: [h:1] } }
routes: [{ name: 007, match: { models: [1.10, no, 0x10] }, split: [{ upstream: 1.10, model: 1e3 }] }]
"#;
    let config = parse(text).unwrap_or_else(|report| panic!("{}", report.render("test", text)));
    assert_eq!(
        config.server.admin,
        crate::server::Admin::Off,
        "`off` is no boolean here"
    );
    assert_eq!(
        config.routes[0].name.as_str(),
        "007",
        "a name is not a number"
    );
    let models: Vec<&str> = config.routes[0]
        .matches
        .models
        .iter()
        .map(|glob| glob.as_str())
        .collect();
    assert_eq!(models, ["1.10", "no", "0x10"], "nor is a model's");
    assert_eq!(
        config.routes[0].split[0].model.as_ref().unwrap().as_str(),
        "1e3",
        "nor is this one"
    );
}

#[test]
fn booleans_of_yaml_1_1_writers_are_read() {
    let text = "server: { admin: false, log: { access: true } }";
    let server = parse(text).unwrap().server;
    assert_eq!(
        server.admin,
        crate::server::Admin::Off,
        "a template turned `off` into `false`"
    );
    assert_eq!(
        server.log.access,
        crate::server::Access::On,
        "and `on` into `true`"
    );
}

#[test]
fn aliases_stand_for_what_they_refer_to() {
    let text = "
upstreams:
  a: &plain { endpoints: [a:1], timeouts: &slow { read: 20m } }
  b: *plain
  c: { endpoints: [c:1], timeouts: *slow }
";
    let config = parse(text).unwrap();
    assert_eq!(
        config.upstreams["a"], config.upstreams["b"],
        "a whole upstream"
    );
    assert_eq!(
        config.upstreams["a"].timeouts, config.upstreams["c"].timeouts,
        "a part of one"
    );
}

#[test]
fn files_within_the_bounds_are_read() {
    let endpoints: String = (0..1024).map(|port| format!("h:{}, ", port + 1)).collect();
    let upstreams: String = (0..1000)
        .map(|n| format!("  u{n}: {{ endpoints: [h:1] }}\n"))
        .collect();
    let routes: String = (0..9_999)
        .map(|n| {
            format!("- {{name: r{n}, match: {{models: [m{n}]}}, split: [{{upstream: u1}}]}}\n")
        })
        .collect();
    assert!(
        mistakes(&format!(
            "upstreams:\n  u: {{ endpoints: [{endpoints}] }}\n"
        ))
        .is_empty(),
        "1,024 endpoints"
    );
    let text = format!(
        "upstreams:\n{upstreams}routes:\n{routes}- {{name: last, split: [{{upstream: u0}}]}}\n"
    );
    assert_eq!(mistakes(&text), [], "1,000 upstreams and 10,000 routes");
}
