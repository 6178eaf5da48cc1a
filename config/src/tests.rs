//! The examples, as an operator would use them.

use std::fs;
use std::path::PathBuf;

use crate::{Config, parse, schema, to_yaml};

/// Every example: its file name and its text.
pub(crate) fn examples() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    examples.sort();
    assert!(
        examples.len() >= 7,
        "the examples are where they are looked for"
    );
    examples
}

fn parsed(name: &str, text: &str) -> Config {
    parse(text).unwrap_or_else(|report| panic!("{}", report.render(name, text)))
}

#[test]
fn every_example_is_valid_and_names_its_schema() {
    for (name, text) in examples() {
        parsed(&name, &text);
        assert!(
            text.starts_with("# yaml-language-server: $schema=../schema.json\n#\n# "),
            "{name} opens with the line that editors read, and says what it shows"
        );
    }
}

#[test]
fn what_is_written_back_reads_as_the_same_configuration() {
    for (name, text) in examples() {
        let config = parsed(&name, &text);
        let yaml = to_yaml(&config);
        assert_eq!(
            parsed(&name, &yaml),
            config,
            "{name} came back different from:\n{yaml}"
        );
    }
    for (name, text) in examples() {
        let config = parsed(&name, &text);
        let json = serde_json::to_string(&config).unwrap();
        let back: Config = serde_json::from_str(&json).unwrap();
        assert_eq!(back, config, "{name} came back different from:\n{json}");
    }
    let defaults = Config::default();
    assert_eq!(
        parsed("defaults", &to_yaml(&defaults)),
        defaults,
        "so do the defaults"
    );
}

#[test]
fn what_is_written_back_keeps_awkward_values() {
    let text = r#"
server: { admin: off, log: { access: off }, upgrade_socket: "/tmp/with: colon # and hash" }
upstreams:
  "1": { endpoints: [{ address: "[::1]:1", weight: 0 }, "h:2"] }
  "null": { endpoints: ["h:1"], tls: { verify: none, server_name: "10.0.0.1" } }
routes:
  - name: "true"
    match: { headers: { x-a: "? *: #[]{}&!|>'\"%@`" }, models: ["1.10", "~", "yes"] }
    split: [{ upstream: "1", model: "null" }, { upstream: "null", model: " padded " }]
"#;
    let config = parsed("awkward", text);
    let yaml = to_yaml(&config);
    assert_eq!(
        parsed("awkward", &yaml),
        config,
        "came back different from:\n{yaml}"
    );
}

#[test]
fn a_secret_never_shows_anything_but_its_reference() {
    let text = r#"
server:
  listen:
    - address: 127.0.0.1:1
      tls: { certificate: /c.pem, private_key: { env: PENSTOCK_TEST_KEY } }
    - address: 127.0.0.1:2
      tls: { certificate: /c.pem, private_key: { file: /run/key.pem } }
"#;
    let config = parsed("secret", text);
    let yaml = to_yaml(&config);
    for shown in [
        &yaml,
        &format!("{config:?}"),
        &serde_json::to_string(&config).unwrap(),
    ] {
        assert!(
            shown.contains("PENSTOCK_TEST_KEY"),
            "the variable's name is shown in {shown}"
        );
        assert!(
            shown.contains("/run/key.pem"),
            "the file's path is shown in {shown}"
        );
    }
    assert_eq!(parsed("secret", &yaml), config, "references come back");
}

#[test]
fn a_literal_secret_is_refused_without_repeating_it() {
    const LITERAL: &str = "sk-very-secret-0123456789";
    let spellings = [
        format!("private_key: {LITERAL}"),
        format!("private_key: [{LITERAL}]"),
        format!("private_key: {{ value: {LITERAL} }}"),
        format!("private_key: {{ env: {LITERAL} }}"),
        format!("private_key: {{ env: [{LITERAL}] }}"),
        format!("private_key: {{ env: A, file: {LITERAL} }}"),
        format!("private_key: \"{LITERAL}"),
        format!("private_key: |\n            {LITERAL}"),
        format!("private_key: {{ env: A }}\n        private_key: {LITERAL}"),
        format!("private_key: {{ env: A }}\n        privat_key: {LITERAL}"),
        format!("private_key: {{ env: A }}\n        token: {LITERAL}"),
        format!("private_key: !secret {LITERAL}"),
    ];
    for spelling in spellings {
        let text = format!(
            "server:\n  listen:\n    - address: 127.0.0.1:1\n      tls:\n        certificate: /c.pem\n        {spelling}\n"
        );
        let report = parse(&text).expect_err(&spelling);
        for shown in [
            report.to_string(),
            format!("{report:?}"),
            report.render("f", &text),
        ] {
            assert!(
                !shown.contains(LITERAL),
                "the literal of\n{spelling}\nis repeated in\n{shown}"
            );
        }
    }
}

#[test]
fn the_written_schemas_are_those_of_the_types() {
    for (file, schema, command) in [
        ("schema.json", schema(), "schema"),
        ("keys.schema.json", crate::keys::schema(), "schema --keys"),
    ] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        let written: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(
            written == schema,
            "config/{file} is stale: renew it with `cargo run -- {command} > config/{file}`"
        );
    }
}

#[test]
fn the_files_of_keys_among_the_examples_are_valid() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/keys");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            // Public keys of an issuer of tokens.
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let keys = crate::keys::parse(&text);
        let keys = keys.unwrap_or_else(|report| panic!("{}", report.render("keys", &text)));
        assert!(
            !keys.as_slice().is_empty(),
            "{path:?} shows how keys are written"
        );
        let head = "# yaml-language-server: $schema=../../keys.schema.json\n#\n# ";
        assert!(
            text.starts_with(head),
            "{path:?} opens with the line that editors read"
        );
        count += 1;
    }
    assert!(count > 0, "the files are where they are looked for");
}
