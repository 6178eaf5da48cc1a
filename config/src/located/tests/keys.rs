//! Files of keys, keys in the configuration, and the plugins that use them.

use super::UPSTREAM;
use crate::keys::{self, Key, Keys};
use crate::{Mistake, Report};

/// The hash whose digits all are this one.
fn hash(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// A configuration with these keys in it.
fn in_configuration(keys: &str) -> String {
    let head = "chain:\n- authenticate:\n    keys:\n      inline:\n".to_owned();
    keys.lines()
        .fold(head, |text, line| text + "      " + line + "\n")
}

fn read(text: &str) -> Vec<Key> {
    let keys = keys::parse(text);
    let keys = keys.unwrap_or_else(|report| panic!("{}", report.render("keys", text)));
    keys.as_slice().to_vec()
}

fn refused(text: &str) -> Report {
    keys::parse(text).expect_err(text)
}

/// The file has these mistakes and no others: line, column, part of the message.
#[track_caller]
fn expect(text: &str, expected: &[(usize, usize, &str)]) {
    fits(text, refused(text).mistakes(), expected);
}

/// The same for a configuration.
#[track_caller]
fn expect_in_config(text: &str, expected: &[(usize, usize, &str)]) {
    let report = crate::parse(text).expect_err(text);
    fits(text, report.mistakes(), expected);
}

#[track_caller]
fn fits(text: &str, found: &[Mistake], expected: &[(usize, usize, &str)]) {
    let fit = found.len() == expected.len()
        && found.iter().zip(expected).all(|(mistake, wanted)| {
            (mistake.line, mistake.column) == (wanted.0, wanted.1)
                && mistake.to_string().contains(wanted.2)
        });
    assert!(fit, "in\n{text}\nexpected {expected:#?}\nfound {found:#?}");
}

#[test]
fn a_key_says_who_where_and_how_long() {
    let text = format!(
        "- hash: {}
  consumer: search
  tenant: acme
  id: search-2026
  roles: [chat, admin]
  models: [gpt-4o*, llama-3]
  routes: [chat]
  not_before: 2026-01-01T00:00:00Z
  expires: 2027-01-01T00:00:00+01:00
  metadata: {{ team: Search, cost_center: 4711 }}
- {{ hash: {}, consumer: batch }}
",
        hash('a'),
        hash('b')
    );
    let keys = read(&text);
    let [first, second] = keys.as_slice() else {
        panic!("{keys:?}");
    };
    assert_eq!(first.public_id(), "search-2026");
    assert_eq!(first.tenant.as_ref().unwrap().as_str(), "acme");
    assert_eq!(first.expires.unwrap().to_string(), "2026-12-31T23:00:00Z");
    assert_eq!(first.metadata["cost_center"].as_str(), "4711");
    assert_eq!(first.models.as_ref().unwrap()[0].as_str(), "gpt-4o*");
    assert_eq!(second.public_id(), "batch-bbbbbbbbbbbb");
    assert_eq!(
        (&second.tenant, &second.models, &second.expires),
        (&None, &None, &None),
        "what is not written does not restrict"
    );
    let written = serde_saphyr::to_string(&Keys::new(keys.clone())).unwrap();
    assert_eq!(read(&written), keys, "it reads back from\n{written}");
}

#[test]
fn an_old_key_may_stand_beside_its_successor() {
    let text = format!(
        "- {{ hash: {}, consumer: a, expires: 2026-12-01T00:00:00Z }}\n- {{ hash: {}, consumer: a }}",
        hash('a'),
        hash('b')
    );
    assert_eq!(read(&text).len(), 2);
}

#[test]
fn an_empty_file_is_not_taken_for_a_list_without_keys() {
    for text in ["", "\n", "# keys\n", "null", "\u{feff}"] {
        expect(text, &[(1, 1, "no keys are in the file (write `[]`")]);
    }
    assert_eq!(read("[]").len(), 0);
}

#[test]
fn every_mistake_is_located() {
    let text = format!(
        "- consumer: a
- hash: {a}
- hash: {a}
  consumer: two words
- {{ hash: {b}, consumer: b, models: [] }}
- {{ hash: {c}, consumer: c, expires: tomorrow }}
- {{ hash: {c}, consumer: d }}
- {{ hash: {d}, consumer: d, role: x }}
- {{ hash: {e}, consumer: d, id: x, not_before: 2026-01-02T00:00:00Z, expires: 2026-01-01T00:00:00Z }}
- {{ hash: {f}, consumer: d, id: x, metadata: {{ a b: c }} }}
",
        a = hash('a'),
        b = hash('b'),
        c = hash('c'),
        d = hash('d'),
        e = hash('e'),
        f = hash('f'),
    );
    let wide = |column: usize| column + hash('a').len();
    expect(
        &text,
        &[
            (1, 3, "the key `hash` is missing"),
            (2, 3, "the key `consumer` is missing"),
            (4, 13, "`two words` is not a name"),
            (5, wide(34), "the list is empty"),
            (6, wide(35), "`tomorrow` is not a point in time"),
            (7, 11, "this key stands here twice: first on line 6"),
            (8, wide(26), "did you mean `roles`?"),
            (9, wide(45), "the key never works"),
            (10, wide(30), "the id `x` is taken by the key on line 9"),
            (10, wide(45), "`a b` is not a name"),
        ],
    );
}

#[test]
fn what_may_be_a_key_is_never_repeated() {
    const SECRET: &str = "psk_live-0123456789abcdef";
    let good = hash('a');
    for text in [
        format!("- hash: {SECRET}\n  consumer: a"),
        format!("- {{ hash: [{SECRET}], consumer: a }}"),
        format!("- {{ hash: {{ {SECRET}: }}, consumer: a }}"),
        format!("- {SECRET}"),
        format!("- [{SECRET}]"),
        format!("- {SECRET}: a"),
        format!("- {{ {SECRET}, hash: {good}, consumer: a }}"),
        format!("- key: {SECRET}\n  consumer: a"),
        format!("- {{ hash: {good}, secret: {SECRET}, consumer: a }}"),
        SECRET.to_owned(),
        format!("keys:\n  - {SECRET}"),
        format!("{SECRET}: a"),
        format!("- hash: {SECRET}: {SECRET}"),
        format!("- hash: \"{SECRET}"),
    ] {
        let report = refused(&text);
        let mut shown = vec![
            report.to_string(),
            format!("{report:?}"),
            report.render("keys.yaml", &text),
        ];
        if text.starts_with("- ") {
            let config = in_configuration(&text);
            let report = crate::parse(&config).expect_err(&config);
            shown.extend([report.to_string(), report.render("config", &config)]);
        }
        for shown in shown {
            assert!(!shown.contains(SECRET), "{text} is told as\n{shown}");
        }
    }
}

#[test]
fn a_key_in_the_place_of_their_source_is_never_repeated() {
    for secret in ["psk_live-0123456789abcdef", "hunter2"] {
        for keys in [
            secret.to_owned(),
            format!("\"{secret}\""),
            format!("[{secret}]"),
            format!("{{ {secret}: {{ consumer: a }} }}"),
            format!("{{ {secret} }}"),
            format!("{{ file: /k, {secret}: a }}"),
            format!("\n      {secret}:\n        consumer: a"),
            format!("\n      - {secret}"),
        ] {
            let text = format!("chain:\n- authenticate:\n    keys: {keys}\n");
            let report = crate::parse(&text).expect_err(&text);
            for shown in [report.to_string(), report.render("config", &text)] {
                assert!(!shown.contains(secret), "{text} is told as\n{shown}");
            }
        }
    }
    expect_in_config(
        "chain:\n- authenticate:\n    keys: { fil: /k }\n",
        &[(3, 13, "did you mean `file`?")],
    );
}

#[test]
fn what_may_be_a_secret_is_not_shown_where_the_text_is_not_yaml() {
    const SECRET: &str = "sk-live-0123456789abcdef";
    for line in [
        "bearer: \"SECRET",
        "  a: { endpoints: [\"a:1\"], credentials: [{ bearer: \"SECRET }] }",
        "  a: { endpoints: [\"a:1\"], x: \"SECRET }",
        "- \"SECRET",
        "- [SECRET",
        "SECRET: \"",
        "a: SECRET: SECRET",
        "headers: { authorization: \"hunter2 }",
        "azure: \"hunter2",
    ] {
        let text = line.replace("SECRET", SECRET);
        let report = crate::parse(&text).expect_err(&text);
        let shown = report.render("config", &text);
        assert!(shown.contains("not valid YAML"), "{shown}");
        assert!(
            !shown.contains(SECRET) && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn a_number_of_a_keys_own_is_for_a_limit_that_is_there() {
    const LIMIT: &str = "limits: [{ name: per-key, requests: 1, per: 1s, by: [key] }]";
    let key = |limit: &str| {
        let hash = hash('a');
        format!("- {{ hash: {hash}, limits: {{ per-key: 5, {limit}: 5 }}, consumer: a }}\n")
    };
    let column = 23 + hash('a').len();
    let names = ["per-key", "tokens"].map(|name| name.parse().unwrap());
    let limits = names.into_iter().collect();
    let for_them = |text: &str| keys::parse_each(text, Some(&limits), |key| key);
    assert!(for_them(&key("tokens")).is_ok());
    assert!(
        keys::parse(&key("token")).is_ok(),
        "nobody said which there are"
    );
    for (limit, hint) in [
        (
            "token",
            "no limit is named `token` (did you mean `tokens`?)",
        ),
        (
            "other",
            "no limit is named `other` (defined: `per-key` and `tokens`)",
        ),
    ] {
        let report = for_them(&key(limit)).unwrap_err();
        fits(&key(limit), report.mistakes(), &[(1, column + 12, hint)]);
    }
    let in_config = |limit: &str| format!("{}- {LIMIT}\n", in_configuration(&key(limit)));
    let route = format!(
        "{UPSTREAM}routes:\n- {{ name: r, chain: [{{ {} }}], split: [{{ upstream: a }}] }}\n",
        LIMIT.replace("per-key", "tokens")
    );
    let whole = format!("{route}{}", in_config("tokens"));
    assert!(crate::parse(&whole).is_ok(), "{:?}", crate::parse(&whole));
    expect_in_config(
        &in_config("other"),
        &[(
            5,
            column + 18,
            "no limit is named `other` (defined: `per-key`)",
        )],
    );
    let mistaken = in_config("other").replace("by: [key]", "by: [kye]");
    expect_in_config(&mistaken, &[(6, 56, "kye")]);
}

#[test]
fn files_are_bounded() {
    let entry = |n: usize| format!("- {{hash: 'sha256:{n:064x}', consumer: c{n}}}\n");
    let most: String = (0..20_000).map(entry).collect();
    assert_eq!(read(&most).len(), 20_000);
    let more = format!("{most}{}", entry(20_000));
    expect(&more, &[(1, 1, "20001 keys are too many: at most 20000")]);
    let large = format!("# {}\n", "x".repeat(8 << 20));
    expect(&large, &[(1, 1, "at most 8388608 are read")]);
    let roles = "r,".repeat(33);
    expect(
        &format!("- {{hash: '{}', consumer: a, roles: [{roles}]}}", hash('a')),
        &[(1, 105, "33 elements are too many: write at most 32")],
    );
    let hundreds: String = (0..20_000)
        .map(|n| format!("- {{ consumer: c{n} }}\n"))
        .collect();
    assert_eq!(refused(&hundreds).mistakes().len(), 100, "and no more");
}

#[test]
fn keys_may_stand_in_the_configuration() {
    let text = |keys: &str| format!("{UPSTREAM}chain:\n- authenticate:\n    keys: {keys}\n");
    assert!(crate::parse(&text("{ file: /etc/penstock/keys.yaml }")).is_ok());
    let (a, b) = (hash('a'), hash('b'));
    let two = format!("{{ inline: [{{ hash: {a}, consumer: a }}, {{ hash: {b}, consumer: a }}] }}");
    let config = crate::parse(&text(&two)).unwrap();
    let yaml = crate::to_yaml(&config);
    assert_eq!(crate::parse(&yaml).as_ref(), Ok(&config), "from\n{yaml}");
    let twice =
        format!("{{ inline: [{{ hash: {a}, consumer: a }}, {{ hash: {a}, consumer: b }}] }}");
    expect_in_config(&text(&twice), &[(5, 126, "this key stands here twice")]);
}

#[test]
fn a_plugin_that_could_not_do_its_work_is_refused() {
    expect_in_config(
        "chain: [{ authenticate: {} }]",
        &[(1, 11, "nobody could be authenticated")],
    );
    expect_in_config(
        "chain:\n- authenticate:\n    keys: {}\n",
        &[(3, 5, "nobody could be authenticated")],
    );
    let roles = "authorize: { roles: { all: { routes: ['*'] } } }";
    expect_in_config(
        &format!("chain:\n- {roles}\n"),
        &[(
            2,
            3,
            "`authorize` refuses every request where nothing says who asks",
        )],
    );
    let route =
        |own: &str| format!("routes:\n- {{name: r, chain: [{own}], split: [{{upstream: a}}]}}\n");
    let authenticate = "{ authenticate: { keys: { file: /k } } }";
    let alone = route(&format!("{{ {roles} }}"));
    expect_in_config(
        &format!("{UPSTREAM}{alone}"),
        &[(4, 21, "`authorize` refuses every")],
    );
    for right in [
        format!("chain: [{authenticate}, {{ {roles} }}]"),
        format!("{UPSTREAM}chain: [{authenticate}]\n{alone}"),
        format!(
            "{UPSTREAM}{}",
            route(&format!("{{ {roles} }}, {authenticate}"))
        ),
    ] {
        assert!(
            crate::parse(&right).is_ok(),
            "{right}: {:?}",
            crate::parse(&right)
        );
    }
    expect_in_config(
        &format!(
            "chain: [{authenticate}, {{ authorize: {{ roles: {{ a: {{ models: ['*'] }} }} }} }}]"
        ),
        &[(1, 75, "the key `routes` is missing")],
    );
}

#[test]
fn the_schema_of_the_file_takes_what_the_reader_takes() {
    let text = format!(
        "- {{ hash: {}, consumer: a, models: ['*'], expires: 2026-12-01T00:00:00Z, metadata: {{ a: b }} }}",
        hash('a')
    );
    let schema = keys::schema();
    let items = &schema["items"]["$ref"];
    assert_eq!(items, "#/$defs/Key", "{schema:#}");
    assert_eq!(
        crate::schema::tests::violation_of(&schema, &crate::located::json(&text)),
        None
    );
    let wrong = crate::located::json("- { hash: psk_abc, consumer: a }");
    assert!(crate::schema::tests::violation_of(&schema, &wrong).is_some());
}
